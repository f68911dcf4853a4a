//! Where a JSON string stops, sixteen bytes at a time.

/// Bytes that [`first_stop`] looks at.
pub const STEP: usize = 16;

/// The place of the first byte that cannot stand unescaped in a JSON string, [`STEP`] where there is none; and whether any of
/// the bytes is not ASCII.
///
/// Source: RFC 8259 section 7: the quotation mark, the reverse solidus, and U+0000 to U+001F.
#[inline]
#[must_use]
pub fn first_stop(chunk: [u8; STEP]) -> (usize, bool) {
    #[cfg(target_arch = "x86_64")]
    {
        #[expect(unsafe_code, reason = "a vector function can be called safely only by another one")]
        // SAFETY: SSE2, which the function asks for, belongs to every x86-64 processor.
        unsafe {
            sse2(chunk)
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        plain(chunk)
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn sse2(chunk: [u8; STEP]) -> (usize, bool) {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };
    let [low, high] = words(chunk);
    let bytes = _mm_set_epi64x(high.cast_signed(), low.cast_signed());
    let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"'.cast_signed()));
    let slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\'.cast_signed()));
    let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    let stop = _mm_or_si128(_mm_or_si128(quote, slash), control);
    // The bit above the last byte's stands for "none".
    let mask = _mm_movemask_epi8(stop).cast_unsigned() | 1 << STEP;
    (mask.trailing_zeros() as usize, _mm_movemask_epi8(bytes) != 0)
}

/// The same without vectors, eight bytes at a time.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn plain(chunk: [u8; STEP]) -> (usize, bool) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES * 0x80;
    // The highest bit of each byte that is below `limit`; exact up to the first such byte, which is all that counts.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH;
    let is = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let words = words(chunk);
    let stops = words.map(|word| is(word, b'"') | is(word, b'\\') | below(word, 0x20));
    let first = match stops {
        [0, 0] => STEP,
        [0, high] => 8 + high.trailing_zeros() as usize / 8,
        [low, _] => low.trailing_zeros() as usize / 8,
    };
    (first, (words[0] | words[1]) & HIGH != 0)
}

#[inline]
fn words(chunk: [u8; STEP]) -> [u64; 2] {
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| chunk[at + byte]));
    [word(0), word(8)]
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
                    assert_eq!(plain(chunk), by_byte(chunk), "{chunk:?}");
                }
            }
        }
    }
}
