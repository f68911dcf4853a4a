//! Incremental fetch sessions (KIP-227), bounded.

/// All sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    _max: usize,
}

impl Sessions {
    pub(crate) fn new(max: usize) -> Self {
        Self { _max: max }
    }
}
