//! Bytes to Arrow batches and back: one module for each format.
//!
//! It does not know where bytes or schemas come from; both are handed in.

mod decode;
mod encode;
pub mod json;

pub use decode::{Decode, Decoded, Undecodable};
pub use encode::{Encode, Encoded};
