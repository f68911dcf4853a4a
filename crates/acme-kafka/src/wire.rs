//! Between messages and bytes: headers, versions, and a reader that believes no length.
//!
//! The messages themselves come from the codec. It reserves memory for as many elements as an array announces, so
//! what it reads from is [`Checked`]: a count or length that is larger than the bytes that remain ends the decoding.
//! Only flexible versions are used (KIP-482), in which every count is a varint.

use crate::error::{Error, Result};
use bytes::{Buf, Bytes, BytesMut, TryGetError};
use kafka_protocol::messages::RequestHeader;
use kafka_protocol::protocol::buf::ByteBuf;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes, VersionRange};
use std::ops::Range;

/// Tag numbers may be larger than the bytes that remain; they are never this large.
const TAG_MAX: usize = 1_000;

/// A length-prefixed request without a correlation id yet: that is written when the request is sent.
#[derive(Debug)]
pub(crate) struct Frame {
    head: BytesMut,
    body: Vec<Bytes>,
}

/// Where the correlation id lies: after length, key and version.
const CORRELATION: Range<usize> = 8..12;

impl Frame {
    /// Encodes a request of a version that the broker knows.
    pub(crate) fn of<R: Request>(client_id: &str, request: &R, version: i16) -> Result<Self> {
        let mut head = header(client_id, R::KEY, version, R::header_version(version))?;
        request.encode(&mut head, version).map_err(|error| unfit(R::KEY, version, &error))?;
        Ok(Self { head, body: Vec::new() })
    }

    /// A request whose body is written by hand; the parts are sent as they are, without a copy.
    pub(crate) fn raw(client_id: &str, key: i16, version: i16, body: Vec<Bytes>) -> Result<Self> {
        Ok(Self { head: header(client_id, key, version, 2)?, body })
    }

    /// Fills in length and correlation id.
    pub(crate) fn seal(mut self, correlation: i32) -> Result<(Bytes, Vec<Bytes>)> {
        let length = self.head.len() - 4 + self.body.iter().map(Bytes::len).sum::<usize>();
        let length =
            i32::try_from(length).map_err(|_| Error::protocol("request", "it is larger than 2 GiB"))?;
        self.head[0..4].copy_from_slice(&length.to_be_bytes());
        self.head[CORRELATION].copy_from_slice(&correlation.to_be_bytes());
        Ok((self.head.freeze(), self.body))
    }
}

fn header(client_id: &str, key: i16, version: i16, header_version: i16) -> Result<BytesMut> {
    let mut head = BytesMut::with_capacity(256);
    head.extend_from_slice(&[0; 4]);
    RequestHeader::default()
        .with_request_api_key(key)
        .with_request_api_version(version)
        .with_client_id(Some(text(client_id)))
        .encode(&mut head, header_version)
        .map_err(|error| unfit(key, version, &error))?;
    Ok(head)
}

fn unfit(key: i16, version: i16, error: &dyn std::fmt::Display) -> Error {
    Error::protocol(format!("request {} version {version}", api_name(key)), error)
}

/// Decodes the answer to a request: header (the correlation id is checked already), body, and nothing after it.
pub(crate) fn decode<R: Request>(response: Bytes, version: i16) -> Result<R::Response> {
    let mut buffer = Checked::new(response);
    let fault = |reason: &dyn std::fmt::Display| {
        Error::protocol(format!("response {} version {version}", api_name(R::KEY)), reason)
    };
    skip_header(&mut buffer, R::Response::header_version(version)).map_err(|error| fault(&error))?;
    let message = R::Response::decode(&mut buffer, version).map_err(|error| fault(&error))?;
    if buffer.has_remaining() {
        return Err(fault(&format!("{} bytes are left over", buffer.remaining())));
    }
    Ok(message)
}

fn skip_header(buffer: &mut Checked, header_version: i16) -> std::result::Result<(), TryGetError> {
    buffer.try_get_i32()?;
    if header_version >= 1 {
        let mut reader = Reader { bytes: std::mem::take(&mut buffer.bytes) };
        let skipped = reader.tags();
        buffer.bytes = reader.bytes;
        skipped.map_err(|_| TryGetError { requested: 1, available: 0 })?;
    }
    Ok(())
}

/// The highest version that both sides know, if it is a flexible one.
pub(crate) fn common_version<R: Request>(broker: VersionRange, ours_max: i16) -> Option<i16> {
    let ours = VersionRange { min: R::VERSIONS.min, max: R::VERSIONS.max.min(ours_max) };
    let both = ours.intersect(&broker);
    // A flexible request has header version 2.
    (!both.is_empty() && R::header_version(both.max) >= 2).then_some(both.max)
}

/// The name of a request, for messages.
pub(crate) fn api_name(key: i16) -> String {
    kafka_protocol::messages::ApiKey::try_from(key)
        .map_or_else(|()| format!("of key {key}"), |key| format!("{key:?}"))
}

/// A text as the codec wants it.
pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Bytes of a response for the codec, which may not announce more than there is.
struct Checked {
    bytes: Bytes,
    varint: usize,
    shift: u32,
}

impl Checked {
    fn new(bytes: Bytes) -> Self {
        Self { bytes, varint: 0, shift: 0 }
    }
}

impl Buf for Checked {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    /// The codec reads varints by this method, and besides them only booleans.
    fn try_get_u8(&mut self) -> std::result::Result<u8, TryGetError> {
        let byte = self.bytes.try_get_u8()?;
        self.varint |= usize::from(byte & 0x7f) << self.shift;
        self.shift += 7;
        if byte < 0x80 || self.shift >= 35 {
            let announced = std::mem::take(&mut self.varint);
            self.shift = 0;
            if announced > (self.bytes.len() + 1).max(TAG_MAX) {
                return Err(TryGetError { requested: announced, available: self.bytes.len() });
            }
        }
        Ok(byte)
    }
}

impl ByteBuf for Checked {
    fn peek_bytes(&mut self, range: Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.bytes.split_to(size)
    }
}

/// Reads the primitive types of the protocol from the front of a buffer, for the messages decoded by hand.
///
/// Every error is the same: the bytes end too early or a length is impossible.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reader {
    pub(crate) bytes: Bytes,
}

/// The bytes end before the message does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it ends early, or a length in it is wrong")]
pub(crate) struct Short;

impl From<TryGetError> for Short {
    fn from(_: TryGetError) -> Self {
        Self
    }
}

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes }
    }

    pub(crate) fn i16(&mut self) -> Result<i16, Short> {
        Ok(self.bytes.try_get_i16()?)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Short> {
        Ok(self.bytes.try_get_i32()?)
    }

    /// An unsigned varint of at most 32 bits.
    pub(crate) fn varint(&mut self) -> Result<u32, Short> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.bytes.try_get_u8()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Short)
    }

    /// A string with a length of two bytes, as the versions before KIP-482 have it.
    pub(crate) fn short_string(&mut self) -> Result<StrBytes, Short> {
        let length = usize::try_from(self.i16()?).map_err(|_| Short)?;
        if length > self.bytes.len() {
            return Err(Short);
        }
        StrBytes::from_utf8(self.bytes.split_to(length)).map_err(|_| Short)
    }

    /// Skips the tagged fields.
    pub(crate) fn tags(&mut self) -> Result<(), Short> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let length = self.varint()? as usize;
            if length > self.bytes.len() {
                return Err(Short);
            }
            self.bytes.advance(length);
        }
        Ok(())
    }
}

/// Appends an unsigned varint.
pub(crate) fn put_varint(buffer: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        buffer.extend_from_slice(&[(value & 0x7f) as u8 | 0x80]);
        value >>= 7;
    }
    buffer.extend_from_slice(&[value as u8]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest, MetadataResponse};

    #[test]
    fn an_array_cannot_announce_more_elements_than_there_are_bytes() {
        // Correlation id, no tags, throttle time, and brokers: 2^32 - 2 of them.
        let response: Vec<u8> = [&[0, 0, 0, 1, 0, 0, 0, 0, 0][..], &[0xff, 0xff, 0xff, 0xff, 0x0f]].concat();
        let error = decode::<MetadataRequest>(Bytes::from(response), 12).unwrap_err();
        assert!(error.to_string().contains("Metadata version 12 does not follow the protocol"), "{error}");
    }

    #[test]
    fn what_the_codec_writes_is_read_back() {
        let mut bytes = BytesMut::from(&[0, 0, 0, 7, 0][..]);
        let response = MetadataResponse::default().with_cluster_id(Some(text("c")));
        response.encode(&mut bytes, 12).unwrap();
        assert_eq!(decode::<MetadataRequest>(bytes.freeze(), 12).unwrap(), response);
    }

    #[test]
    fn a_response_with_bytes_left_over_is_refused() {
        let mut bytes = BytesMut::from(&[0, 0, 0, 7, 0][..]);
        MetadataResponse::default().encode(&mut bytes, 12).unwrap();
        bytes.extend_from_slice(&[1]);
        let error = decode::<MetadataRequest>(bytes.freeze(), 12).unwrap_err();
        assert!(error.to_string().contains("1 bytes are left over"), "{error}");
    }

    #[test]
    fn only_flexible_versions_are_chosen() {
        let old = VersionRange { min: 0, max: 2 };
        assert_eq!(common_version::<ApiVersionsRequest>(old, i16::MAX), None);
        assert_eq!(common_version::<MetadataRequest>(VersionRange { min: 0, max: 12 }, i16::MAX), Some(12));
        assert_eq!(common_version::<MetadataRequest>(VersionRange { min: 0, max: 99 }, 9), Some(9));
        assert_eq!(common_version::<MetadataRequest>(VersionRange { min: 50, max: 99 }, i16::MAX), None);
    }

    #[test]
    fn a_varint_of_six_bytes_is_no_varint() {
        assert_eq!(Reader::new(Bytes::from_static(&[0xff; 6])).varint(), Err(Short));
        let mut buffer = BytesMut::new();
        for value in [0, 127, 128, 300, u32::MAX] {
            buffer.clear();
            put_varint(&mut buffer, value);
            assert_eq!(Reader::new(buffer.clone().freeze()).varint(), Ok(value));
        }
    }
}
