//! Bytes to Arrow batches and back: one module for each format.
//!
//! It does not know where bytes or schemas come from; both are handed in.

pub mod csv;
mod declared;
mod decode;
mod encode;
pub mod json;
pub mod metadata;
mod sql_type;
mod text;
mod time;

pub use declared::{Declared, TypedDecoder};
pub use decode::{Block, Cut, Decode, Decoded, Undecodable};
pub use encode::{Encode, Encoded};
pub use sql_type::SqlType;
