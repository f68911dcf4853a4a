//! How checkpoints and links look on disk.
//!
//! `ACME`, a kind byte, a version byte, the CRC-32C of the body (big-endian), the body: JSON, but for the state of steps. A
//! newer version than this program knows is refused, never guessed at; an older one is read for ever (`tests/golden/`).

use serde::Serialize;
use serde::de::DeserializeOwned;

const MAGIC: &[u8; 4] = b"ACME";
/// The oldest version that says what is to be said: 2 for checkpoints that name the state of steps.
const VERSION: u8 = 1;
pub(super) const WITH_STATE: u8 = 2;
const HEADER: usize = 10;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Checkpoint,
    Link,
    State,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::Checkpoint => b'C',
            Self::Link => b'L',
            Self::State => b'S',
        }
    }
}

pub(super) fn write(kind: Kind, body: &impl Serialize) -> Vec<u8> {
    write_version(kind, VERSION, body)
}

pub(super) fn write_version(kind: Kind, version: u8, body: &impl Serialize) -> Vec<u8> {
    with_header(kind, version, &serde_json::to_vec(body).expect("our own types are always valid JSON"))
}

pub(super) fn write_bytes(kind: Kind, body: &[u8]) -> Vec<u8> {
    with_header(kind, VERSION, body)
}

fn with_header(kind: Kind, version: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[kind.byte(), version]);
    bytes.extend_from_slice(&crc32c::crc32c(body).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Reads an object back; the error is a clause that says what is wrong with it.
pub(super) fn read<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<T, String> {
    let body = read_bytes(kind, bytes)?;
    serde_json::from_slice(body).map_err(|error| format!("its body cannot be read: {error}"))
}

/// The body of an object.
pub(super) fn read_bytes(kind: Kind, bytes: &[u8]) -> Result<&[u8], String> {
    let (header, body) = bytes.split_at_checked(HEADER).ok_or("it is shorter than its header")?;
    if &header[..4] != MAGIC || header[4] != kind.byte() {
        return Err("it is not an object of this kind".to_owned());
    }
    if !(VERSION..=WITH_STATE).contains(&header[5]) {
        return Err(format!("it has version {}, this program knows {WITH_STATE}", header[5]));
    }
    let expected = u32::from_be_bytes([header[6], header[7], header[8], header[9]]);
    let found = crc32c::crc32c(body);
    if expected != found {
        return Err(format!("its checksum is {found:#010x}, expected {expected:#010x}"));
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = write(Kind::Link, &vec!["a", "b"]);
        assert_eq!(read::<Vec<String>>(Kind::Link, &good), Ok(vec!["a".to_owned(), "b".to_owned()]));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(read::<Vec<String>>(Kind::Link, &bad).is_err(), "bit {bit}");
        }
        for length in 0..good.len() {
            assert!(read::<Vec<String>>(Kind::Link, &good[..length]).is_err(), "length {length}");
        }
    }
}
