//! The only unsafe code of the workspace: vector instructions that no safe function offers yet. It decides nothing.
//!
//! Each function has a form in plain Rust, which is what other processors run and what the tests compare with.

mod text;

pub use text::{STEP, first_stop};
