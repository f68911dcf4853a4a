//! The fast path: one pass over a line that checks all of it and finds the wanted values.
//!
//! It answers only where it is sure: every document that it takes, the careful path (`document.rs`) takes too, and finds the same
//! values. What it does not take may still be right; that is the careful path's to say.

use super::learned::{Member, Names};
use super::paths::PathTree;
use super::scan::{Found, Kind, Scanner};
use super::text::unescape;

/// Walks documents along the wanted paths, and learns their shape.
#[derive(Clone, Debug)]
pub(super) struct FastPath {
    tree: PathTree,
    /// By node of the tree.
    names: Vec<Names>,
}

/// A document that was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// The line without its end.
    pub(super) end: usize,
    /// Where the next line begins.
    pub(super) next: usize,
    /// Every member of it was guessed.
    pub(super) guessed: bool,
}

impl FastPath {
    pub(super) fn new(tree: PathTree) -> Self {
        let names = vec![Names::new(); tree.len()];
        Self { tree, names }
    }

    /// Finds the wanted values of the document in the line that begins at `start`, by node of the tree.
    pub(super) fn line(
        &mut self,
        scanner: &mut Scanner<'_>,
        start: usize,
        found: &mut [Found],
    ) -> Option<Taken> {
        let (end, guessed) = self.document(scanner, start, found)?;
        let end = scanner.blanks(end);
        if end < scanner.bytes.len() && scanner.byte(end) != b'\n' {
            return None;
        }
        let carriage_return = usize::from(scanner.bytes[end - 1] == b'\r');
        Some(Taken { end: end - carriage_return, next: end + 1, guessed })
    }

    /// Finds the wanted values of the document that begins at `start`, by node of the tree: where it ends, whatever follows, and
    /// whether every member was guessed.
    #[inline]
    pub(super) fn document(
        &mut self,
        scanner: &mut Scanner<'_>,
        start: usize,
        found: &mut [Found],
    ) -> Option<(usize, bool)> {
        found.fill(Found::ABSENT);
        scanner.in_doubt = false;
        let open = scanner.blanks(start);
        if scanner.byte(open) != b'{' {
            return None;
        }
        let mut walk = Walk { tree: &self.tree, names: &mut self.names, scanner, found, guessed: true };
        let end = walk.object(PathTree::ROOT, open + 1)?;
        let guessed = walk.guessed;
        if scanner.in_doubt && std::str::from_utf8(&scanner.bytes[start..end]).is_err() {
            return None;
        }
        Some((end, guessed))
    }
}

/// The way through one document.
struct Walk<'a, 'd> {
    tree: &'a PathTree,
    names: &'a mut [Names],
    scanner: &'a mut Scanner<'d>,
    found: &'a mut [Found],
    guessed: bool,
}

impl Walk<'_, '_> {
    /// The end of the object whose inside begins at `at`.
    fn object(&mut self, node: usize, at: usize) -> Option<usize> {
        let mut at = self.scanner.blanks(at);
        if self.scanner.byte(at) == b'}' {
            return Some(at + 1);
        }
        let mut previous = Names::NONE;
        loop {
            let member = match self.names[node].guess(previous, self.scanner.bytes, at) {
                Some(member) => member,
                None => self.member(node, previous, at)?,
            };
            previous = member.id;
            let value = self.scanner.blanks(member.end);
            at = match member.child {
                None => self.scanner.value(value)?.end,
                Some(child) => self.wanted(child, value)?,
            };
            at = self.scanner.blanks(at);
            match self.scanner.byte(at) {
                b',' => at = self.scanner.blanks(at + 1),
                b'}' => return Some(at + 1),
                _ => return None,
            }
        }
    }

    /// The member whose name begins at `at`, without a guess.
    #[cold]
    fn member(&mut self, node: usize, previous: usize, at: usize) -> Option<Member> {
        self.guessed = false;
        let bytes = self.scanner.bytes;
        if self.scanner.byte(at) != b'"' {
            return None;
        }
        let (end, escaped) = self.scanner.string(at)?;
        let colon = self.scanner.colon(end)?;
        let name = &bytes[at + 1..end - 1];
        let names = &mut self.names[node];
        if escaped {
            let mut text = String::new();
            unescape(std::str::from_utf8(name).ok()?, &mut text)?;
            return Some(Member { id: Names::NONE, child: self.tree.key(node, text.as_bytes()), end: colon });
        }
        let (id, child) = names.find(name).unwrap_or_else(|| {
            let child = self.tree.key(node, name);
            (names.learn(name, &bytes[at..colon], child), child)
        });
        names.follow(previous, id);
        Some(Member { id, child, end: colon })
    }

    /// The end of the array whose inside begins at `at`.
    fn array(&mut self, node: usize, at: usize) -> Option<usize> {
        let mut at = self.scanner.blanks(at);
        if self.scanner.byte(at) == b']' {
            return Some(at + 1);
        }
        let mut index = 0;
        loop {
            at = match self.tree.index(node, index) {
                None => self.scanner.value(at)?.end,
                Some(child) => self.wanted(child, at)?,
            };
            index += 1;
            at = self.scanner.blanks(at);
            match self.scanner.byte(at) {
                b',' => at = self.scanner.blanks(at + 1),
                b']' => return Some(at + 1),
                _ => return None,
            }
        }
    }

    /// The end of the value at `start`, which is wanted, or in which something is.
    #[inline]
    fn wanted(&mut self, node: usize, start: usize) -> Option<usize> {
        let found = match self.scanner.byte(start) {
            open @ (b'{' | b'[') if !self.tree.is_leaf(node) => {
                let end =
                    if open == b'{' { self.object(node, start + 1)? } else { self.array(node, start + 1)? };
                Found { kind: Kind::Container, start, end }
            }
            _ => self.scanner.value(start)?,
        };
        self.found[node] = found;
        Some(found.end)
    }
}

/// Mistakes for the checker to find.
#[cfg(test)]
impl FastPath {
    /// A name with escapes, known as one that nobody wants, whatever it stands for.
    pub(super) fn plant(&mut self, name: &str) {
        let names = &mut self.names[PathTree::ROOT];
        let id = names.learn(name.as_bytes(), format!("\"{name}\":").as_bytes(), None);
        names.follow(Names::NONE, id);
    }

    pub(super) fn cut_tails(&mut self) {
        self.names.iter_mut().for_each(Names::cut_tails);
    }

    pub(super) fn swap_first_two(&mut self) {
        self.names[PathTree::ROOT].swap_first_two();
    }
}
