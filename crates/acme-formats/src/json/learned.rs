//! The learned shape of the objects at one place: the names that occurred there, and which followed which.
//!
//! Documents of one topic are made by few programs, so what follows a member is nearly always one of a few names, written the
//! same way. A guess is the whole text from the name's quotation mark to the colon, `"price":`, compared in one step; where it
//! matches, everything that was found out about that text when it was first scanned holds again. A guess that fails costs that
//! one member a scan, not the row. So several kinds of documents in one topic, members that are missing at times and members in
//! another order are all learned, and nothing is ever believed: each byte is compared or scanned.

/// Guesses for what follows a member.
const WAYS: usize = 8;
/// Names known at one place.
const NAMES_MAX: usize = 256;
/// The longest text that is learned, from the quotation mark to the colon.
const LENGTH_MAX: usize = 128;
/// Strange names after which a full table is emptied: the topic has changed.
const STRANGE_MAX: u32 = 4096;
/// Bytes of a text that are compared in one step.
const HEAD: usize = 16;

/// What was learned about one place.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// The first stands for the beginning of the object.
    known: Vec<Name>,
    /// Indices into `known` by hash, with open addressing; 0 is free.
    table: Vec<u16>,
    strange: u32,
}

#[derive(Clone, Debug, Default)]
struct Name {
    /// The first bytes of the text, and which of them count.
    head: u128,
    mask: u128,
    /// The bytes behind those.
    tail: Box<[u8]>,
    /// The length of the whole text.
    length: usize,
    /// The name alone.
    name: Box<[u8]>,
    child: Option<usize>,
    /// What followed; 0 is free.
    next: [u16; WAYS],
    /// The guess to be given up next.
    oldest: u8,
}

/// A member that was recognised.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// To be handed in with the next member.
    pub(super) id: usize,
    /// The node of the path tree.
    pub(super) child: Option<usize>,
    /// Behind its colon.
    pub(super) end: usize,
}

impl Names {
    /// What stands for "no member yet", and for a member that is not known.
    pub(super) const NONE: usize = 0;

    pub(super) fn new() -> Self {
        Self { known: vec![Name::default()], table: vec![0; 2 * NAMES_MAX], strange: 0 }
    }

    /// The member at `at`, if it is one of those that followed the previous one before.
    #[inline]
    pub(super) fn guess(&self, previous: usize, bytes: &[u8], at: usize) -> Option<Member> {
        let head = u128::from_le_bytes(*bytes.get(at..)?.first_chunk::<HEAD>()?);
        for &id in &self.known[previous].next {
            let name = &self.known[usize::from(id)];
            if id != 0
                && (head ^ name.head) & name.mask == 0
                && (name.tail.is_empty() || bytes[at + HEAD..].starts_with(&name.tail))
            {
                return Some(Member { id: usize::from(id), child: name.child, end: at + name.length });
            }
        }
        None
    }

    /// The id and node of a name that is known.
    pub(super) fn find(&self, name: &[u8]) -> Option<(usize, Option<usize>)> {
        let id = usize::from(self.table[self.place(name)]);
        (id != 0).then(|| (id, self.known[id].child))
    }

    /// Learns a name that [`Names::find`] does not know: its text and node. Returns its id.
    pub(super) fn learn(&mut self, name: &[u8], text: &[u8], child: Option<usize>) -> usize {
        if self.known.len() == NAMES_MAX {
            self.strange += 1;
            if self.strange == STRANGE_MAX {
                *self = Self::new();
            }
            return Self::NONE;
        }
        // The rest of the line is found to be UTF-8 without what is guessed, so that must be UTF-8 by itself.
        if text.len() > LENGTH_MAX || std::str::from_utf8(text).is_err() {
            return Self::NONE;
        }
        let (start, tail) = text.split_at(text.len().min(HEAD));
        let pad = |byte: u8| {
            let mut padded = [0; HEAD];
            for (to, from) in padded.iter_mut().zip(start) {
                *to = from | byte;
            }
            u128::from_le_bytes(padded)
        };
        let id = self.known.len();
        let place = self.place(name);
        self.table[place] = u16::try_from(id).expect("below NAMES_MAX");
        self.known.push(Name {
            head: pad(0),
            mask: pad(0xff),
            tail: tail.into(),
            length: text.len(),
            name: name.into(),
            child,
            ..Name::default()
        });
        id
    }

    /// Remembers that one member followed the other.
    pub(super) fn follow(&mut self, previous: usize, id: usize) {
        let Some(known) = self.known.get_mut(previous) else { return };
        let id = u16::try_from(id).expect("below NAMES_MAX");
        if id == 0 || known.next.contains(&id) {
            return;
        }
        let free = known.next.iter().position(|&next| next == 0);
        let way = free.unwrap_or(usize::from(known.oldest) % WAYS);
        known.next[way] = id;
        known.oldest = known.oldest.wrapping_add(u8::from(free.is_none()));
    }

    /// Where a name stands in the table, or would.
    fn place(&self, name: &[u8]) -> usize {
        let mut place = hash(name);
        loop {
            place %= self.table.len();
            let id = usize::from(self.table[place]);
            if id == 0 || *self.known[id].name == *name {
                return place;
            }
            place += 1;
        }
    }
}

/// Spreads names by their length, first and last bytes. Who sends names that collide slows down his own rows, at most by the
/// few names that are kept.
fn hash(name: &[u8]) -> usize {
    let (first, last) = match (name.first_chunk(), name.last_chunk()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => (name.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)), 0),
    };
    let mixed = (first ^ last.rotate_left(29) ^ name.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> 40).expect("24 bits")
}

/// Mistakes for the checker to find.
#[cfg(test)]
impl Names {
    pub(super) fn cut_tails(&mut self) {
        self.known.iter_mut().for_each(|name| name.tail = Box::default());
    }

    pub(super) fn swap_first_two(&mut self) {
        let (first, second) = (self.known[1].child, self.known[2].child);
        (self.known[1].child, self.known[2].child) = (second, first);
    }
}
