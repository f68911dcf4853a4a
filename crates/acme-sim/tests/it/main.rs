//! The product's own code in worlds that die.

mod commit;
mod driver;
mod group;
mod model;
