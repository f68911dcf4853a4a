//! The fast path against the careful one: the same rows and the same refusals, for any bytes.
//!
//! `ACME_FUZZ_SECONDS=600 cargo test --release --workspace --lib both_paths` goes on that long; `ACME_FUZZ_SEED` begins elsewhere.
//! What it finds is put into `tests/corpus/json`, which every run tries first.

use super::super::{As, Decoder, Wanted};
use super::grammar::{Histogram, Topic};
use super::random::Random;
use crate::{Block, Cut, Decode, Decoded};
use acme_types::{DocumentPath, LogRecord, PathStep};
use arrow::array::{Array, AsArray};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Float64Type};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Documents of a normal run.
const DOCUMENTS: u64 = 300_000;
const KINDS: &[As] = &[As::Text, As::Number, As::Double, As::Bool, As::Scalar, As::Json];

/// One block through both decoders: what differs, if anything does.
pub(super) fn difference(fast: &mut Decoder, careful: &mut Decoder, block: &[u8]) -> Option<String> {
    let block = Buffer::from(block);
    compare(&fast.decode_bytes(&block, 7), &careful.decode_bytes(&block, 7), &block)
}

/// The same for the values of a log, with these bytes before, between and behind them.
pub(super) fn difference_of_values(
    fast: &mut Decoder,
    careful: &mut Decoder,
    values: &[&[u8]],
    between: &[u8],
) -> Option<String> {
    let (mut bytes, mut records) = (between.to_vec(), Vec::new());
    for (offset, value) in (40..).step_by(2).zip(values) {
        let at = |bytes: &[u8]| u32::try_from(bytes.len()).expect("it is short");
        let start = at(&bytes);
        bytes.extend_from_slice(value);
        let value = Some(start..at(&bytes));
        records.push(LogRecord { offset, timestamp_ms: 0, key: None, value, headers: 0..0, header_count: 0 });
        bytes.extend_from_slice(between);
    }
    let bytes = Buffer::from(bytes);
    let block = Block { bytes: &bytes, cut: Cut::Values(&records) };
    compare(&fast.decode(block), &careful.decode(block), &bytes)
}

fn compare(fast: &Decoded, careful: &Decoded, block: &[u8]) -> Option<String> {
    if fast.rejected != careful.rejected {
        let only =
            |these: &Decoded, those: &Decoded| {
                these.rejected.iter().find(|bad| !those.rejected.contains(bad)).map(|bad| {
                    format!("{}: {}", String::from_utf8_lossy(&block[bad.bytes.clone()]), bad.cause)
                })
            };
        return Some(format!(
            "refused only by the fast path: {:?}, only by the careful one: {:?}",
            only(fast, careful),
            only(careful, fast)
        ));
    }
    if fast.rows.schema() != careful.rows.schema() {
        return Some(format!("types: {:?} and {:?}", fast.rows.schema(), careful.rows.schema()));
    }
    let columns = fast.rows.columns().iter().zip(careful.rows.columns());
    for ((fast, careful), field) in columns.zip(fast.rows.schema().fields()) {
        // As bits, so that the sign of zero counts.
        let bits = |array: &dyn Array| -> Vec<Option<u64>> {
            array.as_primitive::<Float64Type>().iter().map(|value| value.map(f64::to_bits)).collect()
        };
        let same = match field.data_type() {
            DataType::Float64 => bits(fast) == bits(careful),
            _ => fast == careful,
        };
        if !same {
            return Some(format!("column \"{}\": {fast:?} and {careful:?}", field.name()));
        }
    }
    None
}

/// A few fields, of any kind, anywhere.
fn wanted(random: &mut Random) -> Vec<Wanted> {
    const STEPS: &[&str] = &[
        "a",
        "b",
        "c",
        "id",
        "user",
        "name",
        "items",
        "größe",
        "a_name_of_more_than_sixteen_bytes",
        "\"",
        "",
        "0",
    ];
    let step = |random: &mut Random, first: bool| {
        if !first && random.one_in(3) {
            PathStep::Index(random.below(3))
        } else {
            PathStep::Key(random.of(STEPS).to_owned())
        }
    };
    (0..random.below(6))
        .map(|at| {
            let depth = 1 + random.below(6) / 3;
            let path = DocumentPath((0..depth).map(|depth| step(random, depth == 0)).collect());
            Wanted { path, kind: random.of(KINDS), column: format!("c{at}") }
        })
        .collect()
}

/// Takes lines away for as long as the rest still differs.
fn shrunk(wanted: &[Wanted], blocks: &[Vec<u8>]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> =
        blocks.iter().flat_map(|block| block.split_inclusive(|&byte| byte == b'\n')).collect();
    let differs = |lines: &[&[u8]]| {
        let (mut fast, mut careful) = (Decoder::new(wanted.to_vec()), Decoder::careful(wanted.to_vec()));
        difference(&mut fast, &mut careful, &lines.concat()).is_some()
    };
    if !differs(&lines) {
        return blocks.concat();
    }
    let mut at = 0;
    while at < lines.len() {
        let line = lines.remove(at);
        if !differs(&lines) {
            lines.insert(at, line);
            at += 1;
        }
    }
    lines.concat()
}

fn corpus() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "corpus", "json"].iter().collect()
}

/// What one seed makes: a topic, fields, and three blocks.
fn case(seed: u64, made: &mut Histogram, fast: impl Fn(Vec<Wanted>) -> Decoder) -> Result<u64, String> {
    let mut random = Random(seed);
    let wanted = wanted(&mut random);
    let topic = Topic::new(&mut random);
    let (mut fast, mut careful) = (fast(wanted.clone()), Decoder::careful(wanted.clone()));
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    for _ in 0..3 {
        let mut block = Vec::new();
        for _ in 0..60 {
            topic.line(&mut random, &mut block, made);
        }
        if random.one_in(2) {
            // The last line may lack its end.
            block.pop();
        }
        blocks.push(block);
        let block = blocks.last().expect("just pushed");
        if let Some(difference) = difference(&mut fast, &mut careful, block) {
            return Err(format!(
                "seed {seed}: {difference}\nfields: {wanted:?}\n{}",
                String::from_utf8_lossy(&shrunk(&wanted, &blocks))
            ));
        }
        let rejected = careful.decode_bytes(&Buffer::from(&block[..]), 0).rejected;
        let types = rejected.iter().filter(|bad| bad.cause.starts_with("field ")).count();
        *made.entry("= refused: not a valid document").or_default() += (rejected.len() - types) as u64;
        *made.entry("= refused: another type").or_default() += types as u64;
    }
    let ways = fast.ways();
    *made.entry("= taken by guesses alone").or_default() += ways.guessed;
    *made.entry("= taken by the scanner").or_default() += ways.scanned;
    *made.entry("= left to the careful path").or_default() += ways.careful;
    Ok(ways.guessed + ways.scanned + ways.careful)
}

#[expect(clippy::disallowed_methods, reason = "a limit of time needs the clock")]
fn now() -> Instant {
    Instant::now()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

#[test]
fn any_bytes_decode_the_same_by_both_paths() {
    let first = number("ACME_FUZZ_SEED").unwrap_or(1);
    let limit = number("ACME_FUZZ_SECONDS").map(Duration::from_secs);
    let start = now();
    let mut made = Histogram::new();
    let mut documents = 0;
    for seed in first.. {
        documents += case(seed, &mut made, Decoder::new)
            .unwrap_or_else(|fault| panic!("{fault}\n(a case of its own goes into {})", corpus().display()));
        if documents >= DOCUMENTS && limit.is_none_or(|limit| start.elapsed() >= limit) {
            break;
        }
    }
    println!("{documents} documents from seed {first} on");
    for (what, count) in &made {
        println!("{count:>9} {what}");
    }
    // The fast path leaves nothing to the careful one but what is no document.
    assert_eq!(made["= left to the careful path"], made["= refused: not a valid document"]);
    let expected = [
        "= left to the careful path",
        "= refused: another type",
        "= refused: not a valid document",
        "= taken by guesses alone",
        "= taken by the scanner",
        "CR LF",
        "array inside",
        "blank",
        "boolean",
        "damaged",
        "doubled name",
        "escaped name",
        "escaped text",
        "lone surrogate",
        "missing member",
        "new member",
        "no object",
        "null",
        "number of any kind",
        "object inside",
        "other order",
        "text beyond ASCII",
        "very deep",
    ];
    for what in expected {
        assert!(made.get(what).is_some_and(|&count| count >= 100), "hardly any of \"{what}\": {made:#?}");
    }
}

#[test]
fn what_was_found_once_stays_mended() {
    let mut files = 0;
    for entry in std::fs::read_dir(corpus()).expect("the corpus is there") {
        let path = entry.expect("it can be listed").path();
        let block = std::fs::read(&path).expect("it can be read");
        files += 1;
        for seed in 0..200 {
            let wanted = wanted(&mut Random(seed));
            let (mut fast, mut careful) = (Decoder::new(wanted.clone()), Decoder::careful(wanted.clone()));
            // Twice: the second time the shape is known.
            for _ in 0..2 {
                let difference = difference(&mut fast, &mut careful, &block);
                assert_eq!(difference, None, "{}: {wanted:?}", path.display());
            }
        }
    }
    assert!(files > 0);
}

/// The checker must find a decoder that is wrong in one respect only.
#[track_caller]
fn finds(planted: impl Fn(Vec<Wanted>) -> Decoder) {
    let found = (0..2_000).find_map(|seed| case(seed, &mut Histogram::new(), &planted).err());
    assert!(found.is_some(), "the planted mistake was not found");
}

#[test]
fn a_decoder_that_ignores_escapes_in_names_is_found() {
    finds(|wanted| {
        let mut decoder = Decoder::new(wanted);
        let fast = decoder.fast_path();
        for name in ["\\u0061", "i\\u0064", "us\\u0065r"] {
            fast.plant(name);
        }
        decoder
    });
}

#[test]
fn a_decoder_that_compares_the_beginnings_of_names_is_found() {
    finds(|wanted| {
        let mut decoder = Decoder::new(wanted);
        decoder.decode_bytes(&Buffer::from(b"{\"a_name_of_more_than_sixteen_bytes\":1}\n{\"a_name_of_more_than_sixteen_bytes\":1,\"a\":1}\n{\"a\":1}\n"), 0);
        decoder.fast_path().cut_tails();
        decoder
    });
}

#[test]
fn a_decoder_that_mixes_up_two_names_is_found() {
    finds(|wanted| {
        let mut decoder = Decoder::new(wanted);
        decoder
            .decode_bytes(&Buffer::from(b"{\"a\":1,\"b\":1,\"id\":1}\n{\"id\":1,\"a\":2}\n{\"b\":2}\n"), 0);
        decoder.fast_path().swap_first_two();
        decoder
    });
}
