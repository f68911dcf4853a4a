//! Everything that reads what a client sends, as a function of bytes: for `fuzz/`, and for the test that runs its corpus.
//!
//! It must come back, whatever the bytes are, without a panic and without a large allocation.

use crate::api;
use crate::frame;
use crate::sasl;
use acme_types::Secret;
use bytes::BytesMut;
use std::collections::BTreeMap;

/// A frame without its length, from its header to its last field. True if it is a request that would be handled.
#[must_use]
pub fn request(data: &[u8]) -> bool {
    let mut frame = BytesMut::from(data);
    let Ok(head) = frame::head(&mut frame) else { return false };
    api::reads(&head, frame)
}

/// A token of SASL PLAIN. True if it opens the door.
#[must_use]
pub fn token(data: &[u8]) -> bool {
    let users = BTreeMap::from([("alice".to_owned(), Secret::new("secret".to_owned()))]);
    sasl::is_user(&users, data)
}
