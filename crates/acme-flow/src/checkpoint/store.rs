//! Where checkpoints and links are kept.

use std::io;

/// Named objects that are written once. The local disk is one such store, every object store another.
pub trait CheckpointStore: Send + Sync {
    /// Stores an object durably under a name that is free; `false` where the name is taken.
    ///
    /// The object is there whole or not at all. After an error it may or may not be there.
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> io::Result<bool>;
    /// The object, or `None` where there is none.
    fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Names that begin with a prefix, sorted. It may miss what was stored a moment ago: a listing proves nothing.
    fn list(&self, prefix: &str) -> io::Result<Vec<String>>;
    /// Removes an object; one that is not there is no error.
    fn delete(&self, name: &str) -> io::Result<()>;
}
