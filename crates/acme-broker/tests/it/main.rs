//! The broker as its clients see it: on the wire, with our own client, with `kcat` and with the Java tools.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

mod admin;
mod bounds;
mod clients;
mod coordinators;
mod differ;
mod fetch;
mod foreign;
mod groups;
mod hostile;
mod java;
mod local;
mod produce;
mod security;
mod streams;
mod support;
mod transactions;
mod versions;
