//! Where a JSON string stops, sixteen bytes at a time.
//!
//! Plain arithmetic on words. Vector instructions would need `unsafe`; whole bids were read about a twentieth faster by them.

/// Bytes that [`first_stop`] looks at.
pub(super) const STEP: usize = 16;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = ONES * 0x80;

/// The place of the first byte that cannot stand unescaped in a JSON string, [`STEP`] where there is none; and whether any of
/// the bytes is not ASCII.
///
/// Source: RFC 8259 section 7: the quotation mark, the reverse solidus, and U+0000 to U+001F.
#[inline]
pub(super) fn first_stop(chunk: [u8; STEP]) -> (usize, bool) {
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| chunk[at + byte]));
    let words = [word(0), word(8)];
    let stops = words.map(|word| is(word, b'"') | is(word, b'\\') | below(word, 0x20));
    let first = match stops {
        [0, 0] => STEP,
        [0, high] => 8 + high.trailing_zeros() as usize / 8,
        [low, _] => low.trailing_zeros() as usize / 8,
    };
    (first, (words[0] | words[1]) & HIGH != 0)
}

/// The highest bit of each byte that is below `limit`; exact up to the first such byte, which is all that counts.
#[inline]
fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH
}

#[inline]
fn is(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * u64::from(byte)), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_byte(chunk: [u8; STEP]) -> (usize, bool) {
        let first = chunk.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        (first.unwrap_or(STEP), !chunk.is_ascii())
    }

    #[test]
    fn many_bytes_at_once_give_what_one_at_a_time_gives() {
        for first in 0..=255 {
            for second in 0..=255 {
                for at in 0..STEP - 1 {
                    let mut chunk = *b"abcdefghijklmnop";
                    chunk[at] = first;
                    chunk[at + 1] = second;
                    assert_eq!(first_stop(chunk), by_byte(chunk), "{chunk:?}");
                }
            }
        }
    }
}
