//! Between bytes and messages: headers, versions, and no belief in any length.
//!
//! The codec reserves memory for as many elements as an array announces. So every body is first walked along the shape of
//! its message ([`crate::shape`]): a count or a length that is larger than the bytes that remain ends it there.

use crate::shape;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::{Encodable, HeaderVersion, Message, Request, StrBytes};

/// What every request begins with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) key: i16,
    pub(crate) version: i16,
    pub(crate) correlation: i32,
    pub(crate) client_id: StrBytes,
}

/// A request that cannot be answered: the connection ends, as it does at Kafka.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("a frame of {0} bytes; at most {1} are taken")]
    Size(i32, usize),
    #[error("its header ends early")]
    Header,
    #[error("request {0} in version {1} is not known")]
    Unknown(i16, i16),
    #[error("request {0} in version {1} does not follow the protocol")]
    Malformed(i16, i16),
    #[error("request {0} before authentication")]
    Unauthenticated(i16),
    #[error("the user or the password is wrong")]
    Authentication,
    #[error("the answer to request {0} in version {1} cannot be written: {2}")]
    Answer(i16, i16, String),
    #[error("records without acknowledgement could not be taken")]
    Unacknowledged,
}

/// Takes the fixed part of the header off the front of a frame. What is left is the header's tags, if the version has them,
/// and the body.
pub(crate) fn head(frame: &mut BytesMut) -> Result<Head, Refused> {
    let mut head = Head {
        key: frame.try_get_i16().map_err(|_| Refused::Header)?,
        version: frame.try_get_i16().map_err(|_| Refused::Header)?,
        correlation: frame.try_get_i32().map_err(|_| Refused::Header)?,
        client_id: StrBytes::new(),
    };
    let length = frame.try_get_i16().map_err(|_| Refused::Header)?;
    if length < -1 {
        return Err(Refused::Header);
    }
    let length = usize::try_from(length).unwrap_or(0);
    if length > frame.len() {
        return Err(Refused::Header);
    }
    // Copied: a name of some bytes must not keep a frame of megabytes.
    let name = Bytes::copy_from_slice(&frame.split_to(length));
    head.client_id = StrBytes::from_utf8(name).map_err(|_| Refused::Header)?;
    Ok(head)
}

/// Skips the tags of a header of version 2.
pub(crate) fn skip_tags(frame: &mut BytesMut) -> Result<(), Refused> {
    let before = frame.len();
    let mut rest = &frame[..];
    shape::walk("t", &mut rest).map_err(|_| Refused::Header)?;
    let skipped = before - rest.len();
    frame.advance(skipped);
    Ok(())
}

/// Decodes a body whose header has been taken off.
pub(crate) fn decode<R: Request>(mut body: Bytes, version: i16) -> Result<R, Refused> {
    let malformed = || Refused::Malformed(R::KEY, version);
    shape::check(R::KEY, version, &body).map_err(|_| malformed())?;
    R::decode(&mut body, version).map_err(|_| malformed())
}

/// Room for the length, and the header of the answer.
pub(crate) fn answer_head(correlation: i32, header_version: i16) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(512);
    bytes.put_i32(0);
    bytes.put_i32(correlation);
    if header_version >= 1 {
        bytes.put_u8(0);
    }
    bytes
}

/// Writes the length in front of an answer whose parts follow each other.
pub(crate) fn seal(mut head: BytesMut, others: usize) -> Bytes {
    let length = head.len() - 4 + others;
    // Answers are bounded far below 2 GiB by what a fetch may return.
    let length = i32::try_from(length).expect("an answer is smaller than 2 GiB");
    head[0..4].copy_from_slice(&length.to_be_bytes());
    head.freeze()
}

/// Encodes a whole answer.
pub(crate) fn encode<M: Encodable + HeaderVersion + Message>(
    response: &M,
    key: i16,
    version: i16,
    correlation: i32,
) -> Result<Bytes, Refused> {
    let mut bytes = answer_head(correlation, M::header_version(version));
    response.encode(&mut bytes, version).map_err(|error| Refused::Answer(key, version, error.to_string()))?;
    Ok(seal(bytes, 0))
}

/// A text for the codec.
pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
