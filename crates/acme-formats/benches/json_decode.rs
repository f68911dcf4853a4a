//! How much faster the JSON decoder's fast path is than its careful path, on clean and on messy documents.
//!
//! `cargo bench --workspace --bench json_decode`. The input is made here, the same each time: bids, persons and auctions after the
//! Nexmark benchmark. The same blocks go through both paths in turn; the best of several rounds counts.

use acme_formats::Decode;
use acme_formats::json::{As, Decoder, Wanted};
use acme_types::{DocumentPath, PathStep};
use arrow::buffer::Buffer;
use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: usize = 40_000;
const BLOCK: usize = 1 << 20;
const ROUNDS: usize = 15;

const BID: &[(&str, As)] = &[
    ("auction", As::Number),
    ("bidder", As::Number),
    ("price", As::Number),
    ("channel", As::Text),
    ("url", As::Text),
    ("date_time", As::Number),
    ("extra", As::Text),
];
const ONE: &[(&str, As)] = &[("auction", As::Number)];
const NESTED: &[(&str, As)] =
    &[("bid.auction", As::Number), ("bid.rate", As::Double), ("ok", As::Bool), ("tags", As::Json)];

#[expect(clippy::print_stdout, reason = "the measurement is the output")]
fn main() {
    println!("{:<44}{:>10}{:>10}{:>9}{:>9}", "", "careful", "fast", "ratio", "guessed");
    show("bids, 1 field", ONE, &bid);
    show("bids, 7 fields", BID, &bid);
    show("bids, no field", &[], &bid);
    show("spaces behind , and :", BID, &|random, text| with(text, |text| bid(random, text), spaced));
    show("nulls and missing members", BID, &sparse);
    show("members in any order", BID, &shuffled);
    show("bids, persons, auctions", BID, &mixed);
    show("escapes, text beyond ASCII", BID, &escaped);
    show("nested, floats, booleans, arrays", NESTED, &nested);
    show("1 % broken lines", BID, &broken);
    show("lines end with CR LF", BID, &|random, text| {
        with(text, |text| bid(random, text), |text| text + "\r");
    });
}

/// Measures one input and prints a line: GB/s by both paths, their ratio, and the share of lines guessed as a whole.
#[expect(clippy::print_stdout, reason = "the measurement is the output")]
fn show(name: &str, fields: &[(&str, As)], make: &dyn Fn(&mut Random, &mut String)) {
    // Cargo adds `--bench`; any other argument chooses inputs by their names.
    let mut chosen = std::env::args().skip(1).filter(|argument| argument != "--bench").peekable();
    if chosen.peek().is_some() && !chosen.any(|part| name.contains(&part)) {
        return;
    }
    let mut random = Random(7);
    let mut text = String::new();
    for _ in 0..ROWS {
        make(&mut random, &mut text);
        text.push('\n');
    }
    let blocks = blocks(&text);
    let wanted: Vec<Wanted> = fields
        .iter()
        .map(|(path, kind)| Wanted {
            path: DocumentPath(path.split('.').map(|key| PathStep::Key(key.to_owned())).collect()),
            kind: *kind,
            column: (*path).to_owned(),
        })
        .collect();
    let mut paths = [Decoder::careful(wanted.clone()), Decoder::new(wanted)];
    let mut best = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        for (decoder, best) in paths.iter_mut().zip(&mut best) {
            let took = time(|| {
                blocks.iter().map(|block| decoder.decode_bytes(black_box(block), 0).rows.num_rows()).sum()
            });
            *best = took.min(*best);
        }
    }
    let bytes: usize = blocks.iter().map(Buffer::len).sum();
    let rate = |time: Duration| bytes as f64 / time.as_secs_f64() / 1e9;
    let ways = paths[1].ways();
    let guessed = ways.guessed as f64 / (ways.guessed + ways.scanned + ways.careful) as f64;
    let [careful, fast] = best;
    let ratio = careful.as_secs_f64() / fast.as_secs_f64();
    println!("{name:<44}{:>10.2}{:>10.2}{ratio:>8.1}x{:>8.0}%", rate(careful), rate(fast), 100.0 * guessed);
}

#[expect(clippy::disallowed_methods, reason = "a measurement needs the clock")]
fn time(work: impl FnOnce() -> usize) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

/// Whole lines in blocks, as the file source makes them.
fn blocks(text: &str) -> Vec<Buffer> {
    let mut blocks = Vec::new();
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let limit = rest.len().min(BLOCK);
        let end = rest[..limit].iter().rposition(|&byte| byte == b'\n').map_or(limit, |at| at + 1);
        blocks.push(Buffer::from(&rest[..end]));
        rest = &rest[end..];
    }
    blocks
}

fn with(text: &mut String, make: impl FnOnce(&mut String), change: impl Fn(String) -> String) {
    let mut line = String::new();
    make(&mut line);
    text.push_str(&change(line));
}

fn put(text: &mut String, parts: std::fmt::Arguments<'_>) {
    text.write_fmt(parts).expect("a string takes all");
}

fn members(random: &mut Random) -> Vec<String> {
    let channel =
        if random.below(2) == 0 { "Apple".to_owned() } else { format!("channel-{}", random.below(9999)) };
    let url = format!(
        "https://www.nexmark.com/{}/{}/item.htm?query=1&channel_id={}",
        random.word(3, 5),
        random.word(3, 5),
        random.below(1 << 30)
    );
    vec![
        format!("\"auction\":{}", 1000 + random.below(160_000)),
        format!("\"bidder\":{}", 1000 + random.below(54_000)),
        format!("\"price\":{}", 100 + random.below(100_000_000) / (1 + random.below(10_000))),
        format!("\"channel\":\"{channel}\""),
        format!("\"url\":\"{url}\""),
        format!("\"date_time\":{}", 1_700_000_000_000u64 + random.below(276_000)),
        format!("\"extra\":\"{}\"", random.word(15, 90)),
    ]
}

fn bid(random: &mut Random, text: &mut String) {
    let members = members(random);
    put(text, format_args!("{{{}}}", members.join(",")));
}

fn spaced(line: String) -> String {
    line.replace(",\"", ", \"").replace("\":", "\": ")
}

fn sparse(random: &mut Random, text: &mut String) {
    let mut members = members(random);
    members.retain_mut(|member| {
        if random.below(4) == 0 {
            member.truncate(member.find(':').expect("a member has a colon") + 1);
            member.push_str("null");
        }
        random.below(5) > 0
    });
    put(text, format_args!("{{{}}}", members.join(",")));
}

fn shuffled(random: &mut Random, text: &mut String) {
    let mut members = members(random);
    for at in (1..members.len()).rev() {
        members.swap(at, random.index(at + 1));
    }
    put(text, format_args!("{{{}}}", members.join(",")));
}

fn mixed(random: &mut Random, text: &mut String) {
    match random.below(3) {
        0 => bid(random, text),
        1 => put(
            text,
            format_args!(
                "{{\"id\":{},\"name\":\"{}\",\"email_address\":\"{}@{}.com\",\"city\":\"{}\",\"date_time\":{},\"extra\":\"{}\"}}",
                random.below(9999),
                random.word(8, 14),
                random.word(6, 8),
                random.word(5, 6),
                random.word(5, 10),
                random.below(1 << 40),
                random.word(50, 120),
            ),
        ),
        _ => put(
            text,
            format_args!(
                "{{\"id\":{},\"item_name\":\"{}\",\"description\":\"{}\",\"initial_bid\":{},\"expires\":{},\"extra\":\"{}\"}}",
                random.below(9999),
                random.word(15, 20),
                random.word(60, 99),
                random.below(1 << 20),
                random.below(1 << 40),
                random.word(100, 300),
            ),
        ),
    }
}

fn escaped(random: &mut Random, text: &mut String) {
    let mut members = members(random);
    let words = ["\\n", "\\\"x\\\"", "\\u00e9", "\\ud83d\\ude00", "größer ", "東京都", "\\\\", "\\/"];
    for member in [3, 4, 6] {
        for _ in 0..3 {
            let at = members[member].len() - 1;
            members[member].insert_str(at, words[random.index(words.len())]);
        }
    }
    put(text, format_args!("{{{}}}", members.join(",")));
}

fn nested(random: &mut Random, text: &mut String) {
    put(
        text,
        format_args!(
            "{{\"kind\":\"bid\",\"bid\":{{\"auction\":{},\"rate\":{}.{:03},\"of\":{{\"x\":[1,2,{{\"y\":null}}],\"z\":\"{}\"}}}},\"ok\":{},\"tags\":[\"{}\",{}],\"at\":1.5e3}}",
            random.below(1 << 30),
            random.below(1000),
            random.below(1000),
            random.word(20, 60),
            random.below(2) == 0,
            random.word(4, 9),
            random.below(99),
        ),
    );
}

fn broken(random: &mut Random, text: &mut String) {
    with(text, |text| bid(random, text), |line| line);
    if random.below(100) == 0 {
        text.pop();
    }
}

/// A small generator of pseudo-random numbers (SplitMix64): the same input each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % limit
    }

    fn index(&mut self, limit: usize) -> usize {
        usize::try_from(self.below(limit as u64)).expect("below a usize")
    }

    fn word(&mut self, shortest: u64, longest: u64) -> String {
        let length = shortest + self.below(longest - shortest);
        (0..length).map(|_| char::from(b'a' + u8::try_from(self.below(26)).expect("a letter"))).collect()
    }
}
