//! Digits, eight at a time.

/// How many of eight bytes, from the first, are digits, and their value.
///
/// Eight digits at once: pairs, then fours, then all, by three multiplications.
#[inline]
pub(super) fn digits(chunk: [u8; 8]) -> (usize, u64) {
    const LOW: u64 = 0x0000_00ff_0000_00ff;
    let bytes = u64::from_le_bytes(chunk) ^ 0x3030_3030_3030_3030;
    // The first byte above 9 gets its high bit here; a carry out of it disturbs only what follows.
    let other = (bytes.wrapping_add(0x7676_7676_7676_7676) | bytes) & 0x8080_8080_8080_8080;
    let count = other.trailing_zeros() / 8;
    if count == 0 {
        return (0, 0);
    }
    // What is no digit goes out at the top; zeros come in front of the first digit.
    let bytes = bytes << (64 - 8 * count);
    let pairs = bytes.wrapping_mul(10).wrapping_add(bytes >> 8);
    let high = (pairs & LOW).wrapping_mul(100 + (1_000_000 << 32));
    let low = (pairs >> 16 & LOW).wrapping_mul(1 + (10_000 << 32));
    (count as usize, high.wrapping_add(low) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_counted_and_read_up_to_the_first_other_byte() {
        for count in 0..=8 {
            for other in (0..=255u8).filter(|byte| !byte.is_ascii_digit()) {
                let mut chunk = *b"98765432";
                chunk[count..].fill(other);
                if count < 7 {
                    chunk[count + 1] = b'7';
                }
                let value = chunk[..count].iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
                assert_eq!(digits(chunk), (count, value), "{chunk:?}");
            }
        }
    }
}
