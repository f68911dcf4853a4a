//! The broker as its clients see it: on the wire, with our own client, with `kcat` and with the Java tools.

mod admin;
mod bounds;
mod clients;
mod fetch;
mod hostile;
mod local;
mod produce;
mod security;
mod support;
mod versions;
