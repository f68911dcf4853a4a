//! The destination against real servers, and against one that answers what a real server cannot be told to answer.

mod real;
mod rows;
mod scripted;
mod secured;
mod server;
