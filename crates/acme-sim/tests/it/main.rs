//! The product's own code in worlds that die.

mod commit;
mod driver;
mod group;
mod kafka;
mod model;
