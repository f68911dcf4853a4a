//! Authentication of a connection: SASL PLAIN (RFC 4616) behind SaslHandshake, in either of its two versions.

use crate::api::Reply;
use crate::connection::Session;
use crate::context::Context;
use crate::frame::Refused;
use acme_types::Secret;
use bytes::Bytes;
use kafka_protocol::messages::{ApiVersionsRequest, SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::Request;
use std::collections::BTreeMap;

/// The one mechanism.
pub(crate) const MECHANISM: &str = "PLAIN";

/// How far the authentication of a connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exchange {
    /// Nobody need say who it is.
    Anonymous,
    /// A handshake has to come.
    Handshake,
    /// The token has to come, in a request.
    Token,
    /// The token has to come, as a frame of its own (handshake version 0).
    RawToken,
    /// Refused: the answer says so, and then the connection ends.
    Failed,
    /// One of the users.
    Done,
}

impl Exchange {
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Anonymous | Self::Done)
    }

    pub(crate) fn is_failed(&self) -> bool {
        *self == Self::Failed
    }

    /// Whether the next frame is no request.
    pub(crate) fn takes_raw(&self) -> bool {
        *self == Self::RawToken
    }

    /// Whether a request of this key may come now.
    pub(crate) fn permits(&self, key: i16) -> bool {
        match self {
            Self::Anonymous | Self::Done => true,
            Self::Handshake => matches!(key, ApiVersionsRequest::KEY | SaslHandshakeRequest::KEY),
            Self::Token => key == SaslAuthenticateRequest::KEY,
            Self::RawToken | Self::Failed => false,
        }
    }
}

/// Whether a token `[authzid] NUL user NUL password` is that of one of the users.
pub(crate) fn is_user(users: &BTreeMap<String, Secret>, token: &[u8]) -> bool {
    is_known(users, token).unwrap_or(false)
}

fn is_known(users: &BTreeMap<String, Secret>, token: &[u8]) -> Option<bool> {
    let mut parts = token.split(|byte| *byte == 0);
    let (authorised, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let user = std::str::from_utf8(user).ok()?;
    // Also for a user that is not known, so that the time does not tell who is.
    let known = users.get(user);
    let expected = known.map_or("", |secret| secret.reveal());
    let same = equal(expected.as_bytes(), password) && known.is_some();
    let own = authorised.is_empty() || authorised == user.as_bytes();
    Some(same && own && !password.is_empty())
}

/// Compares in a time that does not tell where they differ.
fn equal(expected: &[u8], found: &[u8]) -> bool {
    let differing = (0..found.len()).fold(0, |differing, at| {
        let byte = expected.get(at % expected.len().max(1)).copied().unwrap_or(0);
        differing | (byte ^ found[at])
    });
    differing == 0 && expected.len() == found.len()
}

/// Takes a token that is a frame of its own; the answer is an empty frame.
pub(crate) fn raw(context: &Context, session: &Session, token: &[u8]) -> Result<Reply, Refused> {
    if !is_user(&context.options.users, token) {
        return Err(Refused::Authentication);
    }
    *session.exchange() = Exchange::Done;
    Ok(Reply::of(Bytes::from_static(&[0, 0, 0, 0])))
}
