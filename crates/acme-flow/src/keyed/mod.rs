//! What state is kept by: keys, their hashes, the table of those that are known.

mod hash;
mod table;

pub use hash::{KEY_GROUPS, hashes, key_group, shard_of};
pub use table::KeyTable;
