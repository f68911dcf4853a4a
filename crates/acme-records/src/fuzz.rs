//! Everything that reads batches, as a function of bytes: for `fuzz/`, and for the test that runs its corpus.

use crate::{Compression, end_offset, index, marker_is_abort, next_batch};
use bytes::Bytes;

/// The most bytes that may come out of one batch.
const BATCH_MAX: usize = 1 << 20;

/// Record batches, one after the other. True if any was read. Never a panic, never a large allocation.
#[must_use]
pub fn batches(data: &[u8]) -> bool {
    let mut rest = Bytes::copy_from_slice(data);
    let mut any = end_offset(&rest).is_err();
    while let Ok(Some(batch)) = next_batch(&mut rest, false) {
        let _ = marker_is_abort(&batch);
        let Ok(compression) = Compression::of(batch.compression) else { continue };
        let (mut buffer, mut records) = (Vec::new(), Vec::new());
        let read = compression
            .decompress(&batch.records, &mut buffer, BATCH_MAX)
            .and_then(|()| index(&batch, &buffer, 0, 0, &mut records));
        if read.is_ok() {
            any = true;
            for record in records {
                let _ = (record.key(&buffer), record.value(&buffer), record.headers(&buffer).count());
            }
        }
    }
    any
}
