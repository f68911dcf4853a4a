//! The text that a JSON string stands for.

use std::borrow::Cow;

/// The text of a string given without its quotation marks, whose escapes are well formed; `None` where half a surrogate pair
/// stands alone, which stands for no text (RFC 8259 section 7 and 8.2).
pub(super) fn unescape(string: &str) -> Option<Cow<'_, str>> {
    let Some(first) = memchr::memchr(b'\\', string.as_bytes()) else { return Some(Cow::Borrowed(string)) };
    let mut text = String::with_capacity(string.len());
    let mut rest = string;
    let mut at = first;
    loop {
        text.push_str(&rest[..at]);
        let (character, length) = escape(&rest.as_bytes()[at..])?;
        text.push(character);
        rest = &rest[at + length..];
        match memchr::memchr(b'\\', rest.as_bytes()) {
            Some(next) => at = next,
            None => {
                text.push_str(rest);
                return Some(Cow::Owned(text));
            }
        }
    }
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
    let unit = |at: usize| u32::from_str_radix(std::str::from_utf8(bytes.get(at..at + 4)?).ok()?, 16).ok();
    let first = unit(2)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first)?, 6));
    }
    if bytes.get(6..8)? != b"\\u" {
        return None;
    }
    let second = unit(8).filter(|unit| (0xdc00..0xe000).contains(unit))?;
    Some((char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))?, 12))
}
