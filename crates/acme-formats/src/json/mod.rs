//! JSON: one object a line in, one object a line out.
//!
//! The decoder reads only the fields that the plan uses; the document itself travels on as it came. It has two ways: the
//! fast path (`fast`, over `scan` and `learned`), and the careful one over a JSON library (`document`), which takes what the
//! fast one does not and is what it is tested against.

mod decode;
mod digits;
mod document;
mod encode;
mod fast;
mod learned;
mod number;
mod paths;
mod read;
mod scan;
mod stop;
mod text;
mod value;

pub use decode::{Decoder, Wanted, Ways};
pub use encode::JsonEncoder;
pub(crate) use encode::cell_options;
pub use number::{WIDE_NUMBER, parse_wide, write_wide};
pub use read::read_member;
pub use value::As;

#[cfg(test)]
mod tests;
