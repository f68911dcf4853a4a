//! JSON: one object a line in, one object a line out.
//!
//! The decoder reads only the fields that the plan uses; the document itself travels on as it came.

mod decode;
mod document;
mod encode;
mod number;
mod read;
mod value;

pub use decode::{Decoder, Wanted};
pub use encode::JsonEncoder;
pub(crate) use encode::cell_options;
pub use number::{WIDE_NUMBER, parse_wide, write_wide};
pub use read::read_member;
pub use value::As;

#[cfg(test)]
mod tests;
