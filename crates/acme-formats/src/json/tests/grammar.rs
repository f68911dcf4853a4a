//! Documents made after the grammar, and then damaged: all that a topic may hold.

use super::random::Random;
use std::collections::BTreeMap;

/// Names as they are written. Some mean the same, some are longer than what is compared at once or learned at all.
const NAMES: &[&str] = &[
    "a",
    "b",
    "c",
    "id",
    "x",
    "y",
    "user",
    "name",
    "items",
    "price",
    "größe",
    "東京",
    "",
    "a.b",
    "\\u0061",
    "i\\u0064",
    "us\\u0065r",
    "\\\"",
    "a_name_of_more_than_sixteen_bytes",
    "a_name_of_more_than_sixteen_bytez",
    "tab\\there",
];

/// Texts as they are written.
const TEXTS: &[&str] = &[
    "",
    "x",
    "plain text",
    "exactly12byt",
    "thirteen byte",
    "a text that is longer than sixteen bytes by some",
    "größer",
    "東京都",
    "😀",
    "\\n",
    "\\\"",
    "a\\\\b",
    "\\/",
    "\\b\\f\\r\\t",
    "\\u00fc",
    "\\ud83d\\ude00",
    "tail\\u0000",
    "null",
    "{\\\"a\\\":1}",
    "\u{7f}",
    "\u{2028}",
    "0123456789abcdef\\n",
    "\\uD83D\\uDE00x",
];

/// Texts that only some readers take.
const LONE: &[&str] = &["\\ud800", "\\udc00x", "\\ud800\\u0041", "\\ud800\\ud800", "\\ude00\\ud83d"];

/// Numbers of every kind.
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "-1",
    "7",
    "12345678",
    "123456789",
    "1700000000000",
    "999999999999999999",
    "1000000000000000000",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "9007199254740993",
    "0.1",
    "-0.0",
    "1.50",
    "3.141592653589793238462643383279",
    "1e3",
    "1E+2",
    "25e-1",
    "-12.75e2",
    "1e-25",
    "1e60",
    "1e400",
    "5e-324",
    "123456789012345678901234567890123456789012345678901234567890",
    "0e5",
    "0.000000000000000000000001",
];

/// Bytes that damage a document in telling ways.
const DAMAGE: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b" ",
    b"\t",
    b"\r",
    b"\x00",
    b"\x1f",
    b"\x0c",
    b"\x7f",
    b"0",
    b"-",
    b"+",
    b".",
    b"e",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\\u",
    b"\\x",
    b"NaN",
    b"//",
    b"'",
    b"tru",
    b",,",
    b"\xf0\x9f\x98\x80",
];

/// What was made, and how often.
pub(super) type Histogram = BTreeMap<&'static str, u64>;

/// A topic: a few shapes of documents, and how they are written.
pub(super) struct Topic {
    shapes: Vec<Vec<&'static str>>,
    /// Chances, as one in so many; large numbers are rare.
    stray: usize,
    damaged: usize,
    spaced: usize,
    wild: bool,
}

impl Topic {
    pub(super) fn new(random: &mut Random) -> Self {
        let shape = |random: &mut Random| {
            let mut names: Vec<&str> = (0..random.below(9)).map(|_| random.of(NAMES)).collect();
            names.dedup();
            names
        };
        Self {
            shapes: (0..1 + random.below(3)).map(|_| shape(random)).collect(),
            stray: 2 + random.below(30),
            damaged: 4 + random.below(60),
            spaced: 1 + random.below(20),
            wild: random.one_in(3),
        }
    }

    /// Appends one line with its end.
    pub(super) fn line(&self, random: &mut Random, out: &mut Vec<u8>, made: &mut Histogram) {
        let start = out.len();
        if random.one_in(60) {
            *made.entry("blank").or_default() += 1;
            out.extend_from_slice(random.of(&["", " ", "\t \r", "\x0c"]).as_bytes());
        } else {
            let mut writer =
                Writer { random: &mut *random, made: &mut *made, wild: self.wild, spaced: self.spaced };
            if writer.random.one_in(40) {
                writer.strange(out);
            } else {
                let shape = &self.shapes[writer.random.below(self.shapes.len())];
                writer.document(shape, self.stray, out);
            }
        }
        if random.one_in(self.damaged) {
            damage(random, out, start, made);
        }
        match random.below(12) {
            0 => {
                *made.entry("CR LF").or_default() += 1;
                out.extend_from_slice(b"\r\n");
            }
            1 if random.one_in(20) => out.extend_from_slice(b"\r\r\n"),
            _ => out.push(b'\n'),
        }
    }
}

struct Writer<'a> {
    random: &'a mut Random,
    made: &'a mut Histogram,
    wild: bool,
    spaced: usize,
}

impl Writer<'_> {
    fn count(&mut self, what: &'static str) {
        *self.made.entry(what).or_default() += 1;
    }

    /// A document of a shape, from which it may stray: members missing, doubled, in another order.
    fn document(&mut self, shape: &[&'static str], stray: usize, out: &mut Vec<u8>) {
        let mut names = shape.to_vec();
        if self.random.one_in(stray) && !names.is_empty() {
            let at = self.random.below(names.len());
            match self.random.below(4) {
                0 => {
                    self.count("missing member");
                    names.remove(at);
                }
                1 => {
                    self.count("doubled name");
                    names.push(names[at]);
                }
                2 => {
                    self.count("other order");
                    let other = self.random.below(names.len());
                    names.swap(at, other);
                }
                _ => {
                    self.count("new member");
                    names.insert(at, self.random.of(NAMES));
                }
            }
        }
        self.space(out);
        self.members(&names, 3, out);
        self.space(out);
    }

    fn members(&mut self, names: &[&str], depth: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        for (at, name) in names.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            self.space(out);
            if name.contains("\\u") {
                self.count("escaped name");
            }
            quoted(name, out);
            self.space(out);
            out.push(b':');
            self.space(out);
            self.value(name, depth, out);
            self.space(out);
        }
        out.push(b'}');
    }

    /// Mostly what a member of this name usually is.
    fn value(&mut self, name: &str, depth: usize, out: &mut Vec<u8>) {
        let kind = if self.wild || self.random.one_in(12) { self.random.below(9) } else { name.len() % 7 };
        match kind {
            0 | 1 if self.random.one_in(3) => {
                self.count("number of any kind");
                out.extend_from_slice(self.random.of(NUMBERS).as_bytes());
            }
            0 | 1 => {
                let digits = 1 + self.random.below(16);
                let number = self.random.next() % 10u64.pow(u32::try_from(digits).expect("small"));
                out.extend_from_slice(number.to_string().as_bytes());
            }
            2 | 3 => self.text(out),
            4 if depth > 0 => {
                self.count("object inside");
                let names: Vec<&str> = (0..self.random.below(4)).map(|_| self.random.of(NAMES)).collect();
                self.members(&names, depth - 1, out);
            }
            5 if depth > 0 => {
                self.count("array inside");
                out.push(b'[');
                for at in 0..self.random.below(4) {
                    if at > 0 {
                        out.push(b',');
                    }
                    self.space(out);
                    self.value("items", depth - 1, out);
                    self.space(out);
                }
                out.push(b']');
            }
            6 => {
                self.count("boolean");
                out.extend_from_slice(self.random.of(&["true", "false"]).as_bytes());
            }
            7 if self.random.one_in(40) => {
                self.count("very deep");
                let deep = 100 + self.random.below(300);
                let (open, close) = if self.random.one_in(2) { ("[", "]") } else { ("{\"a\":", "}") };
                out.extend_from_slice(open.repeat(deep).as_bytes());
                out.push(b'1');
                out.extend_from_slice(close.repeat(deep).as_bytes());
            }
            _ => {
                self.count("null");
                out.extend_from_slice(b"null");
            }
        }
    }

    fn text(&mut self, out: &mut Vec<u8>) {
        if self.random.one_in(50) {
            self.count("lone surrogate");
            return quoted(self.random.of(LONE), out);
        }
        let text = self.random.of(TEXTS);
        if text.contains('\\') {
            self.count("escaped text");
        }
        if !text.is_ascii() {
            self.count("text beyond ASCII");
        }
        quoted(text, out);
    }

    /// What is no object, or no document at all.
    fn strange(&mut self, out: &mut Vec<u8>) {
        self.count("no object");
        let all = [
            "[1]",
            "1",
            "\"text\"",
            "null",
            "true",
            "{",
            "}",
            "{}x",
            "{}{}",
            "{\"a\"}",
            "{\"a\":1,}",
            "{,}",
            "x",
        ];
        out.extend_from_slice(self.random.of(&all).as_bytes());
    }

    fn space(&mut self, out: &mut Vec<u8>) {
        if self.random.one_in(self.spaced) && self.spaced < 18 {
            out.extend_from_slice(self.random.of(&[" ", " ", "  ", "\t", "\r"]).as_bytes());
        }
    }
}

fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Flips, removes, inserts or repeats bytes of the line that begins at `start`. Its line end may fall to it.
fn damage(random: &mut Random, out: &mut Vec<u8>, start: usize, made: &mut Histogram) {
    *made.entry("damaged").or_default() += 1;
    for _ in 0..=random.below(2) {
        let length = out.len() - start;
        if length == 0 {
            return;
        }
        let at = start + random.below(length);
        match random.below(6) {
            0 => out[at] ^= 1 << random.below(8),
            1 => {
                out.remove(at);
            }
            2 => out.truncate(at),
            3 => {
                let end = at + random.below(out.len() - at);
                out.extend_from_within(at..end);
            }
            4 => out[start..].swap(at - start, length - 1),
            _ => {
                let place = if random.one_in(4) { start } else { at };
                out.splice(place..place, random.of(DAMAGE).iter().copied());
            }
        }
    }
}
