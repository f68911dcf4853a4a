//! The destination against an emulator, and against scripted servers that answer what the real service is documented to
//! answer and an emulator does not.

mod emulator;
mod exactness;
mod harness;
mod login;
mod merging;
mod script;
mod scripted;
mod server;
