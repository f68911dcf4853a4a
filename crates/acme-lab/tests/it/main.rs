//! That the systems which other tests rely on do what those tests take for granted.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

mod kafka;
