//! The text that a JSON string stands for.

/// Appends the text of a string given without its quotation marks, whose escapes are well formed. `None` where half a
/// surrogate pair stands alone, which stands for no text (RFC 8259 sections 7 and 8.2).
pub(super) fn unescape(mut string: &str, text: &mut String) -> Option<()> {
    while let Some(at) = memchr::memchr(b'\\', string.as_bytes()) {
        text.push_str(&string[..at]);
        let (character, length) = escape(&string.as_bytes()[at..])?;
        text.push(character);
        string = &string[at + length..];
    }
    text.push_str(string);
    Some(())
}

/// The character of the escape at the beginning, and the escape's length.
fn escape(bytes: &[u8]) -> Option<(char, usize)> {
    let character = match bytes.get(1)? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode(bytes),
        &byte => char::from(byte),
    };
    Some((character, 2))
}

/// `\uXXXX`, or two of them that are a surrogate pair.
fn unicode(bytes: &[u8]) -> Option<(char, usize)> {
    let first = unit(bytes)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first)?, 6));
    }
    let second = unit(bytes.get(6..)?).filter(|unit| (0xdc00..0xe000).contains(unit))?;
    Some((char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))?, 12))
}

/// The number of the `\uXXXX` at the beginning.
fn unit(bytes: &[u8]) -> Option<u32> {
    let (escape, digits) = bytes.get(..6)?.split_at(2);
    if escape != b"\\u" {
        return None;
    }
    digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
}
