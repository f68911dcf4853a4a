//! The broker as its clients see it: on the wire, with our own client, with `kcat` and with the Java tools.

mod admin;
mod bounds;
mod clients;
mod coordinators;
mod fetch;
mod groups;
mod hostile;
mod local;
mod produce;
mod security;
mod support;
mod transactions;
mod versions;
