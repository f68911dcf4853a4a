//! Who commits for a run: one rule, asked before the start by what the file says, and at the start by what the systems say.

/// Who holds the commit point of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A chain of checkpoints in the store.
    Chain,
    /// The destination with this index, in its own transactions.
    Sink(usize),
    /// The group that shares the only source: by itself, or in the transactions of a destination on the same cluster.
    Group {
        /// That destination.
        transaction: Option<usize>,
    },
}

/// What a destination could do for the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Several workers may write to it at once.
    pub is_shareable: bool,
    /// Its transactions can carry the positions of the group that shares the source: it is on the same cluster.
    pub is_beside: bool,
    /// Its transactions can hold the commit point by themselves.
    pub can_hold: bool,
    /// It only takes dead letters.
    pub takes_letters: bool,
}

impl Holder {
    /// Decides. `is_shared` says whether there is one source only, whose splits the workers of a group share.
    ///
    /// A destination beside the group is best. One that can hold the commit point is better than the group alone, which
    /// could not commit together with it. What only takes dead letters holds it only where nothing else is beside the group.
    #[must_use]
    pub fn of(is_shared: bool, sinks: &[Candidate]) -> Self {
        let alone = sinks.iter().position(|it| it.can_hold && !it.takes_letters);
        if is_shared && sinks.iter().all(|it| it.is_shareable) {
            let beside = (0..sinks.len()).filter(|index| sinks[*index].is_beside);
            let transaction = beside.min_by_key(|index| (sinks[*index].takes_letters, *index));
            if transaction.is_some() || alone.is_none() {
                return Self::Group { transaction };
            }
        }
        alone.map_or(Self::Chain, Self::Sink)
    }

    /// The destination in whose transactions the run commits.
    #[must_use]
    pub fn sink(self) -> Option<usize> {
        match self {
            Self::Chain => None,
            Self::Sink(index) => Some(index),
            Self::Group { transaction } => transaction,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Candidate =
        Candidate { is_shareable: true, is_beside: false, can_hold: false, takes_letters: false };
    const DATABASE: Candidate = Candidate { is_shareable: false, can_hold: true, ..FILE };
    const ELSEWHERE: Candidate = Candidate { can_hold: true, ..FILE };
    const BESIDE: Candidate = Candidate { is_beside: true, ..ELSEWHERE };

    fn letters(candidate: Candidate) -> Candidate {
        Candidate { takes_letters: true, ..candidate }
    }

    #[test]
    fn who_commits_follows_from_the_source_and_the_destinations() {
        let group = |transaction| Holder::Group { transaction };
        let cases: &[(bool, &[Candidate], Holder)] = &[
            (false, &[FILE], Holder::Chain),
            (false, &[FILE, DATABASE], Holder::Sink(1)),
            (false, &[letters(DATABASE), FILE], Holder::Chain),
            (true, &[FILE], group(None)),
            (true, &[FILE, BESIDE], group(Some(1))),
            // A database has its own transaction, which the group has no part in.
            (true, &[DATABASE], Holder::Sink(0)),
            (true, &[BESIDE, DATABASE], Holder::Sink(0)),
            (true, &[ELSEWHERE], Holder::Sink(0)),
            (true, &[ELSEWHERE, BESIDE], group(Some(1))),
            // Dead letters go along with what commits, and carry the positions where nothing else can.
            (true, &[letters(BESIDE), BESIDE], group(Some(1))),
            (true, &[letters(BESIDE), FILE], group(Some(0))),
            (true, &[letters(ELSEWHERE), FILE], group(None)),
        ];
        for (is_shared, sinks, expected) in cases {
            assert_eq!(Holder::of(*is_shared, sinks), *expected, "{is_shared} {sinks:?}");
        }
    }
}
