//! The scanner: finds the end of a JSON value and checks every byte of it on the way. It knows the grammar (RFC 8259) and
//! nothing of what is wanted.
//!
//! A line end is no white space here: a document never leaves its line. Where anything is wrong, or merely rare, the answer is
//! `None`, and the careful path judges the line.

use super::digits::digits;
use super::stop::{STEP, first_stop};

/// What a value is, as far as its first bytes and one pass over it tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// There is none.
    Absent,
    Null,
    True,
    False,
    /// A number that is this integer; never `-0`.
    Integer(i64),
    /// Any other number.
    Number,
    /// A string without escapes.
    Text,
    /// A string with escapes.
    Escaped,
    /// An object or an array.
    Container,
}

/// A value in the block, quotation marks included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Found {
    pub(super) const ABSENT: Self = Self { kind: Kind::Absent, start: 0, end: 0 };
}

/// One block, and what was seen of the line under way.
pub(super) struct Scanner<'d> {
    pub(super) bytes: &'d [u8],
    /// Not all of the line is ASCII, so it may not be UTF-8.
    pub(super) in_doubt: bool,
    /// The closing brackets that are due.
    due: Vec<u8>,
}

impl<'d> Scanner<'d> {
    pub(super) fn new(bytes: &'d [u8]) -> Self {
        Self { bytes, in_doubt: false, due: Vec::new() }
    }

    /// The byte at a place; behind the block, one that has no meaning anywhere.
    #[inline]
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    #[inline]
    fn chunk<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes.get(at..)?.first_chunk().copied()
    }

    /// The first place from `at` on that is no white space.
    #[inline]
    pub(super) fn blanks(&self, at: usize) -> usize {
        if self.byte(at) > b' ' { at } else { self.more_blanks(at) }
    }

    fn more_blanks(&self, mut at: usize) -> usize {
        while matches!(self.byte(at), b' ' | b'\t' | b'\r') {
            at += 1;
        }
        at
    }

    /// The value that begins at `at`.
    // Inlined by force: who does not need what the value is does not pay for it.
    #[inline(always)]
    pub(super) fn value(&mut self, at: usize) -> Option<Found> {
        match self.byte(at) {
            b'"' => {
                let (end, escaped) = self.string(at)?;
                let kind = if escaped { Kind::Escaped } else { Kind::Text };
                Some(Found { kind, start: at, end })
            }
            b'-' | b'0'..=b'9' => self.number(at),
            b'{' | b'[' => Some(Found { kind: Kind::Container, start: at, end: self.container(at)? }),
            b't' => self.word(at, b"true", Kind::True),
            b'f' => self.word(at, b"false", Kind::False),
            b'n' => self.word(at, b"null", Kind::Null),
            _ => None,
        }
    }

    fn word(&self, at: usize, word: &[u8], kind: Kind) -> Option<Found> {
        self.bytes[at..].starts_with(word).then_some(Found { kind, start: at, end: at + word.len() })
    }

    /// The end of the string whose quotation mark stands at `at`, and whether it has escapes.
    #[inline(always)]
    pub(super) fn string(&mut self, at: usize) -> Option<(usize, bool)> {
        let mut rest = self.bytes.get(at + 1..)?;
        let mut beyond = false;
        while let Some((chunk, after)) = rest.split_first_chunk::<STEP>() {
            let (stop, beyond_ascii) = first_stop(*chunk);
            beyond |= beyond_ascii;
            if stop == STEP {
                rest = after;
                continue;
            }
            let at = self.bytes.len() - rest.len() + stop;
            self.in_doubt |= beyond;
            return if chunk[stop] == b'"' { Some((at + 1, false)) } else { self.string_on(at) };
        }
        self.in_doubt |= beyond;
        self.string_on(self.bytes.len() - rest.len())
    }

    /// The end of a string that goes on at `at`, where an escape may stand, or the end of the block come near.
    #[inline(never)]
    fn string_on(&mut self, mut at: usize) -> Option<(usize, bool)> {
        let mut escaped = false;
        loop {
            match self.chunk::<STEP>(at) {
                Some(chunk) => {
                    let (stop, beyond_ascii) = first_stop(chunk);
                    self.in_doubt |= beyond_ascii;
                    at += stop;
                    if stop == STEP {
                        continue;
                    }
                }
                None => {
                    let rest = self.bytes.get(at..)?;
                    self.in_doubt |= !rest.is_ascii();
                    at += rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
                }
            }
            match self.bytes[at] {
                b'"' => return Some((at + 1, escaped)),
                b'\\' => {
                    escaped = true;
                    at = self.escape(at)?;
                }
                // A control character.
                _ => return None,
            }
        }
    }

    /// The end of the escape whose reverse solidus stands at `at`.
    ///
    /// Half a surrogate pair is let pass: it matters only to who reads the text (RFC 8259 section 8.2).
    fn escape(&self, at: usize) -> Option<usize> {
        match self.byte(at + 1) {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
            b'u' if self.chunk::<4>(at + 2)?.iter().all(u8::is_ascii_hexdigit) => Some(at + 6),
            _ => None,
        }
    }

    /// The number that begins at `at`.
    #[inline(always)]
    fn number(&self, start: usize) -> Option<Found> {
        let negative = self.byte(start) == b'-';
        let first = start + usize::from(negative);
        let (mut count, mut value) = self.digits(first);
        let mut at = first + count;
        while count == 8 {
            let part;
            (count, part) = self.digits(at);
            at += count;
            // Up to 18 digits fit; more are not used.
            value = value.wrapping_mul(POWERS[count]).wrapping_add(part);
        }
        let count = at - first;
        if count == 0 || count > 1 && self.bytes[first] == b'0' {
            return None;
        }
        if matches!(self.byte(at), b'.' | b'e' | b'E') {
            return Some(Found { kind: Kind::Number, start, end: self.fraction(at)? });
        }
        let kind = match i64::try_from(value) {
            Ok(value) if count <= 18 && !(negative && value == 0) => {
                Kind::Integer(if negative { -value } else { value })
            }
            _ => Kind::Number,
        };
        Some(Found { kind, start, end: at })
    }

    /// The end of the fraction and exponent, one of which begins at `at`.
    fn fraction(&self, mut at: usize) -> Option<usize> {
        if self.byte(at) == b'.' {
            at = self.some_digits(at + 1)?;
        }
        if matches!(self.byte(at), b'e' | b'E') {
            let sign = matches!(self.byte(at + 1), b'+' | b'-');
            at = self.some_digits(at + 1 + usize::from(sign))?;
        }
        Some(at)
    }

    /// The end of the digits at `at`, of which there must be one.
    fn some_digits(&self, start: usize) -> Option<usize> {
        let mut at = start;
        loop {
            let (count, _) = self.digits(at);
            at += count;
            if count < 8 {
                return (at > start).then_some(at);
            }
        }
    }

    /// Up to eight digits at `at`: how many, and their value.
    #[inline]
    fn digits(&self, at: usize) -> (usize, u64) {
        digits(self.chunk::<8>(at).unwrap_or_else(|| self.last_chunk(at)))
    }

    #[cold]
    fn last_chunk(&self, at: usize) -> [u8; 8] {
        std::array::from_fn(|byte| self.byte(at + byte))
    }

    /// The end of the object or array whose bracket stands at `at`. Nothing limits how deep it is but its own length.
    #[inline(never)]
    fn container(&mut self, mut at: usize) -> Option<usize> {
        self.due.clear();
        loop {
            // A value begins here.
            match self.byte(at) {
                open @ (b'{' | b'[') => {
                    let close = if open == b'{' { b'}' } else { b']' };
                    at = self.blanks(at + 1);
                    if self.byte(at) == close {
                        at += 1;
                    } else {
                        self.due.push(close);
                        at = if open == b'{' { self.name(at)? } else { at };
                        continue;
                    }
                }
                _ => at = self.value(at)?.end,
            }
            // A value ended here.
            while let Some(&close) = self.due.last() {
                at = self.blanks(at);
                let byte = self.byte(at);
                at += 1;
                if byte == close {
                    self.due.pop();
                } else if byte == b',' {
                    at = self.blanks(at);
                    at = if close == b'}' { self.name(at)? } else { at };
                    break;
                } else {
                    return None;
                }
            }
            if self.due.is_empty() {
                return Some(at);
            }
        }
    }

    /// The beginning of the value whose name begins at `at`.
    #[inline]
    fn name(&mut self, at: usize) -> Option<usize> {
        if self.byte(at) != b'"' {
            return None;
        }
        let (end, _) = self.string(at)?;
        Some(self.blanks(self.colon(end)?))
    }

    /// Behind the colon of the name that ends at `at`.
    #[inline]
    pub(super) fn colon(&self, at: usize) -> Option<usize> {
        let at = self.blanks(at);
        (self.byte(at) == b':').then_some(at + 1)
    }
}

/// Ten to the power of the index.
const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
