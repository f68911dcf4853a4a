//! Tests: requests that were damaged on the way are refused, and nothing worse. No panic, no abort, no large allocation.

use crate::api::TABLE;
use crate::fuzz;
use crate::shape;
use acme_lab::damage::{corpus, in_little_memory, refused};
use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::ApiKey;

/// A body of a shape, with two elements in every array.
fn body(shape: &str, out: &mut BytesMut) {
    let mut rest = shape;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[1..];
        match letter {
            '[' | '{' | '(' => {
                let mut depth = 1;
                let end = rest.find(|c| {
                    depth += match c {
                        '[' | '{' | '(' => 1,
                        ']' | '}' | ')' => -1,
                        _ => 0,
                    };
                    depth == 0
                });
                let (inner, after) = rest.split_at(end.unwrap());
                rest = &after[1..];
                let count = if letter == '(' { 1 } else { 2 };
                match letter {
                    '[' => out.put_i32(2),
                    '{' => out.put_u8(3),
                    _ => out.put_i8(1),
                }
                (0..count).for_each(|_| body(inner, out));
            }
            't' => out.put_u8(0),
            's' => out.put_slice(&[0, 3, b'a', b'b', b'c']),
            'S' => out.put_slice(&[4, b'a', b'b', b'c']),
            'b' => out.put_slice(&[0, 0, 0, 2, 1, 2]),
            'B' => out.put_slice(&[3, 1, 2]),
            'u' => out.put_slice(&[7; 16]),
            digit => out.put_bytes(0, digit.to_digit(10).unwrap() as usize),
        }
    }
}

/// One request of every kind, in its first and its last version.
fn examples() -> Vec<(String, Vec<u8>)> {
    let mut examples = Vec::new();
    for api in TABLE {
        let key = ApiKey::try_from(api.key).unwrap();
        for version in [api.min, api.max] {
            let mut bytes = BytesMut::new();
            bytes.put_i16(api.key);
            bytes.put_i16(version);
            bytes.put_slice(&[0, 0, 0, 1, 0, 2, b'm', b'e']);
            if key.request_header_version(version) >= 2 {
                bytes.put_u8(0);
            }
            body(shape::of(api.key, version).unwrap(), &mut bytes);
            examples.push((format!("{key:?}-{version}"), bytes.to_vec()));
        }
    }
    examples.dedup();
    examples
}

#[test]
fn every_request_of_the_table_has_a_shape_in_every_version_that_the_codec_reads() {
    for api in TABLE {
        for version in api.min..=api.max {
            let key = ApiKey::try_from(api.key).unwrap();
            let mut bytes = BytesMut::new();
            bytes.put_i16(api.key);
            bytes.put_i16(version);
            bytes.put_slice(&[0, 0, 0, 1, 0xff, 0xff]);
            if key.request_header_version(version) >= 2 {
                bytes.put_u8(0);
            }
            let shape = shape::of(api.key, version).unwrap_or_else(|| panic!("{key:?} {version}"));
            body(shape, &mut bytes);
            assert!(fuzz::request(&bytes), "{key:?} {version}: {shape}");
            let whole = bytes.len();
            bytes.truncate(whole - 1);
            assert!(shape.is_empty() || !fuzz::request(&bytes), "{key:?} {version} cut: {shape}");
        }
    }
}

#[test]
fn damaged_requests_are_refused_and_nothing_worse() {
    if !in_little_memory("fuzz_tests::damaged_requests_are_refused_and_nothing_worse") {
        return;
    }
    for (name, bytes) in corpus(env!("CARGO_MANIFEST_DIR"), "requests", &examples()) {
        assert!(fuzz::request(&bytes), "{name}: undamaged it is read");
        refused(&bytes, 4, fuzz::request);
    }
    assert!(fuzz::token(b"\0alice\0secret"));
    // Some damage undoes itself.
    assert!(refused(b"\0alice\0secret", 0, fuzz::token) > 1_990);
}
