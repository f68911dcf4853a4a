//! Bids as the Nexmark benchmark describes them, as JSON lines: the same file for the same arguments on every machine.
//!
//! Nexmark: of 50 events 46 are bids, 3 auctions, 1 a person; half of the bids go to one hot auction, three quarters come
//! from one hot bidder; half name one of four channels; `extra` fills a bid up.

use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// How the rows look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Seven fields, always in the same order, compact, without an escape.
    Plain,
    /// The same rows with nulls, absent and further fields, escapes, fractions, spaces, and fields in another order.
    Messy,
}

impl Shape {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Messy => "messy",
        }
    }
}

/// Changes whenever other bytes are written, so that an old file is not taken for a new one.
const VERSION: u32 = 1;
/// Milliseconds since the Unix epoch of the first event.
const BASE_MS: u64 = 1_700_000_000_000;
const HOT_CHANNELS: [&str; 4] = ["Apple", "Google", "Facebook", "Baidu"];

/// The file with these rows in a folder; written if it is not there.
pub(crate) fn file(folder: &Path, rows: u64, shape: Shape) -> Result<PathBuf> {
    let path = folder.join(format!("bids-{}-{rows}-v{VERSION}.jsonl", shape.name()));
    if !path.exists() {
        let partial = path.with_extension("partial");
        let file = File::create(&partial).with_context(|| format!("cannot create {}", partial.display()))?;
        write(BufWriter::with_capacity(1 << 20, file), rows, shape)?;
        std::fs::rename(&partial, &path)?;
    }
    Ok(path)
}

/// Writes the rows.
pub(crate) fn write(mut out: impl Write, rows: u64, shape: Shape) -> Result<()> {
    let mut random = Random(0x0ac3);
    let mut line = String::new();
    for row in 0..rows {
        line.clear();
        let bid = Bid::new(row, &mut random);
        match shape {
            Shape::Plain => bid.plain(&mut line),
            Shape::Messy => bid.messy(&mut line, &mut random),
        }
        line.push('\n');
        out.write_all(line.as_bytes())?;
    }
    Ok(out.flush()?)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn letters(&mut self, count: u64) -> String {
        let letter = |n: u64| char::from(b'a' + u8::try_from(n % 26).expect("less than 26"));
        (0..count).map(|_| letter(self.next())).collect()
    }
}

struct Bid {
    auction: u64,
    bidder: u64,
    price: u64,
    channel: String,
    url: String,
    date_time: u64,
    extra: String,
}

impl Bid {
    fn new(row: u64, random: &mut Random) -> Self {
        let event = row / 46 * 50 + row % 46 + 4;
        let (auctions, people) = (event / 50 * 3, event / 50);
        let auction = match random.below(2) {
            0 => auctions / 100 * 100,
            _ => auctions.saturating_sub(random.below(100)),
        };
        let bidder = match random.below(4) {
            0 => people.saturating_sub(random.below(1000)),
            _ => people / 100 * 100 + 1,
        };
        // Prices are even in their logarithm, from 100 to 100 million.
        let magnitude = 10_u64.pow(u32::try_from(random.below(6)).expect("less than 6"));
        let price = 100 * magnitude + random.below(900 * magnitude);
        let (channel, number) = match random.below(8) {
            hot @ 0..4 => (HOT_CHANNELS[usize::try_from(hot).expect("less than 4")].to_owned(), hot),
            _ => {
                let number = random.below(10_000);
                (format!("channel-{number}"), number + 4)
            }
        };
        // The address belongs to the channel.
        let mut own = Random(number);
        let mut part = || own.letters(3 + number % 2);
        let mut url = format!("https://www.nexmark.com/{}/{}/{}/item.htm?query=1", part(), part(), part());
        if number >= 4 {
            let _ = write!(url, "&channel_id={}", own.below(1 << 31));
        }
        let length = 54 + random.below(28);
        Self {
            auction: 1000 + auction,
            bidder: 1000 + bidder,
            price,
            channel,
            url,
            date_time: BASE_MS + event / 10,
            extra: random.letters(length),
        }
    }

    fn plain(&self, line: &mut String) {
        let Self { auction, bidder, price, channel, url, date_time, extra } = self;
        let _ = write!(
            line,
            "{{\"auction\":{auction},\"bidder\":{bidder},\"price\":{price},\"channel\":\"{channel}\",\
             \"url\":\"{url}\",\"date_time\":{date_time},\"extra\":\"{extra}\"}}"
        );
    }

    fn messy(&self, line: &mut String, random: &mut Random) {
        const ESCAPES: [&str; 6] = ["\\\"", "\\n", "\\\\", "\\u00e9", "\\ud83d\\ude00", "né"];
        let mut fields: Vec<(&str, String)> = vec![
            ("auction", self.auction.to_string()),
            ("bidder", self.bidder.to_string()),
            ("price", self.price.to_string()),
            ("channel", format!("\"{}\"", self.channel)),
            ("url", format!("\"{}\"", self.url)),
            ("date_time", self.date_time.to_string()),
            ("extra", format!("\"{}\"", self.extra)),
        ];
        for (_, value) in &mut fields {
            if random.below(25) == 0 {
                "null".clone_into(value);
            }
        }
        match random.below(8) {
            0 => fields[2].1 = format!("{}.{}", self.price, 1 + random.below(99)),
            1 => fields[2].1 = format!("{}.5e2", random.below(1000)),
            _ => {}
        }
        if random.below(4) == 0 {
            let escape = ESCAPES[usize::try_from(random.below(6)).expect("less than 6")];
            fields[6].1 = format!("\"{}{escape}{escape}{}\"", &self.extra[..20], &self.extra[20..]);
        }
        match random.below(8) {
            0 => fields.push(("attributes", format!("{{\"depth\":{{\"n\":{}}},\"a\":[1,2]}}", self.bidder))),
            1 => fields.push(("attributes", format!("[\"x\",{},null,true]", self.bidder))),
            2 => fields.push(("attributes", "\"text, not an object\"".to_owned())),
            3 => drop(fields.remove(usize::try_from(random.below(7)).expect("less than 7"))),
            _ => {}
        }
        if random.below(3) == 0 {
            fields.reverse();
        }
        let (comma, colon) = if random.below(10) == 0 { (", ", " : ") } else { (",", ":") };
        let members: Vec<String> =
            fields.iter().map(|(name, value)| format!("\"{name}\"{colon}{value}")).collect();
        let _ = write!(line, "{{{}}}", members.join(comma));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn text(rows: u64, shape: Shape) -> String {
        let mut out = Vec::new();
        write(&mut out, rows, shape).expect("memory can be written");
        String::from_utf8(out).expect("lines are UTF-8")
    }

    #[test]
    fn the_same_rows_come_out_every_time() {
        for shape in [Shape::Plain, Shape::Messy] {
            assert_eq!(text(2000, shape), text(2000, shape));
        }
        // Other bytes need another VERSION, or files that lie about are taken for them.
        let sum = |text: String| text.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
        assert_eq!(sum(text(2000, Shape::Plain)), 10_762_662_370_042_956_239);
        assert_eq!(sum(text(2000, Shape::Messy)), 520_053_817_957_013_183);
    }

    #[test]
    fn bids_have_the_size_of_nexmarks() {
        let text = text(20_000, Shape::Plain);
        let mean = text.len() / 20_000;
        assert!((240..252).contains(&mean), "{mean}");
    }

    #[test]
    fn every_messy_row_is_json_and_every_kind_of_mess_occurs() {
        let text = text(5000, Shape::Messy);
        let rows: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect();
        let some = |found: fn(&Value) -> bool| assert!(rows.iter().any(found));
        some(|row| row["auction"].is_null() && row.get("auction").is_some());
        some(|row| row.get("auction").is_none());
        some(|row| row["price"].is_f64());
        some(|row| row["attributes"].is_object());
        some(|row| row["attributes"].is_array());
        some(|row| row["extra"].as_str().is_some_and(|extra| extra.contains('"')));
        assert!(text.contains("\\ud83d\\ude00") && text.contains("\" : "));
        assert!(text.lines().any(|line| line.starts_with("{\"extra\"")));
    }
}
