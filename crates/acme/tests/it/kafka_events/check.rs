//! Compares what is in the table, and in the log, with the ledger of what was written: event by event, never by count.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What an event is, by its id alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event(pub u32);

impl Event {
    /// One in eight is a purchase. The others look like it in every way that a comparison could get wrong.
    pub fn kind(self) -> Option<&'static str> {
        match self.0 % 8 {
            0 => Some("purchase"),
            1 => Some("Purchase"),
            2 => Some("purchase "),
            3 => Some("purchases"),
            4 => Some("view"),
            5 => Some(""),
            _ => None,
        }
    }

    pub fn is_purchase(self) -> bool {
        self.kind() == Some("purchase")
    }

    fn user(self) -> u32 {
        self.0 % 9973
    }

    fn cents(self) -> u32 {
        self.0.wrapping_mul(2_654_435_761) % 1_000_000
    }

    /// Appends it as a document. Some have no type, some have none to speak of.
    pub fn write(self, out: &mut String) {
        let (id, user, cents) = (self.0, self.user(), self.cents());
        let kind = match self.kind() {
            Some(kind) => format!(r#","event_type":"{kind}""#),
            None if id % 8 == 6 => r#","event_type":null"#.to_owned(),
            None => String::new(),
        };
        let (whole, part) = (cents / 100, cents % 100);
        write!(out, r#"{{"event_id":{id}{kind},"user_id":{user},"amount":{whole}.{part:02}}}"#)
            .expect("memory takes all");
    }
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Purchase {
    pub id: i64,
    pub kind: String,
    pub user: i64,
    pub amount: f64,
}

impl Purchase {
    /// What the pipeline must make of an event.
    pub fn of(event: Event) -> Self {
        let kind = event.kind().unwrap_or_default().to_owned();
        let (user, amount) = (event.user().into(), f64::from(event.cents()) / 100.0);
        Self { id: event.0.into(), kind, user, amount }
    }

    /// Reads what the emulator's client prints.
    pub fn read(line: &str) -> Option<Self> {
        let mut cells = line.split('|');
        let mut next = || cells.next();
        let (id, kind, user, amount) = (next()?, next()?, next()?, next()?);
        Some(Self {
            id: id.parse().ok()?,
            kind: kind.to_owned(),
            user: user.parse().ok()?,
            amount: amount.parse().ok()?,
        })
    }
}

/// A partition and an offset in it.
pub type Place = (i32, i64);

/// Where each event was acknowledged; the index is its id. A broker that was asked again does not always tell the offset.
#[derive(Clone, Debug, Default)]
pub struct Ledger(pub Vec<Option<(i32, Option<i64>)>>);

/// At most ten of the faults, and how many more there are.
fn told(mut faults: Vec<String>) -> Vec<String> {
    const TOLD: usize = 10;
    if let Some(more) = faults.len().checked_sub(TOLD).filter(|more| *more > 0) {
        faults.truncate(TOLD);
        faults.push(format!("{more} more"));
    }
    faults
}

impl Ledger {
    fn place(&self, id: u32) -> String {
        match self.0.get(id as usize).copied().flatten() {
            Some((partition, Some(offset))) => format!("user-events-{partition}@{offset}"),
            Some((partition, None)) => format!("user-events-{partition}"),
            None => "never acknowledged".to_owned(),
        }
    }

    /// Everything that is wrong with the table: each purchase must be there once, as it was written, and nothing else.
    pub fn judge_table(&self, rows: &[Purchase]) -> Vec<String> {
        let mut found: BTreeMap<i64, Vec<&Purchase>> = BTreeMap::new();
        for row in rows {
            found.entry(row.id).or_default().push(row);
        }
        let mut faults = Vec::new();
        for id in (0..).zip(&self.0).map(|(id, _)| id).filter(|id| Event(*id).is_purchase()) {
            let (rows, place) = (found.remove(&i64::from(id)).unwrap_or_default(), self.place(id));
            match rows.as_slice() {
                [] => faults.push(format!("{id} of {place} is lost")),
                [row] if **row == Purchase::of(Event(id)) => {}
                [row] => faults.push(format!("{id} of {place} is {row:?}")),
                rows => faults.push(format!("{id} of {place} is there {} times", rows.len())),
            }
        }
        faults.extend(found.keys().map(|id| format!("{id} should not be there")));
        told(faults)
    }

    /// Everything that is wrong with the log: each event must be at the offset that was acknowledged, and nowhere else.
    pub fn judge_log(&self, log: &[(Place, u32)]) -> Vec<String> {
        let mut faults = Vec::new();
        let mut left = self.0.clone();
        for ((partition, offset), id) in log {
            match left.get_mut(*id as usize).and_then(Option::take) {
                Some((to, at)) if to == *partition && at.is_none_or(|at| at == *offset) => {}
                _ => {
                    faults
                        .push(format!("{id} is at {partition}@{offset}, and should be {}", self.place(*id)));
                }
            }
        }
        let lost = (0..).zip(&left).filter(|(_, place)| place.is_some());
        faults.extend(lost.map(|(id, _)| format!("{id} of {} is not in the log", self.place(id))));
        told(faults)
    }
}

#[test]
fn the_checker_finds_a_loss_a_double_an_invention_and_a_change() {
    let ledger = Ledger((0..100).map(|id| Some((id % 6, Some(i64::from(id / 6))))).collect());
    let good: Vec<Purchase> =
        (0..100).map(Event).filter(|event| event.is_purchase()).map(Purchase::of).collect();
    assert_eq!(ledger.judge_table(&good), Vec::<String>::new());
    type Plant<'a> = &'a dyn Fn(&mut Vec<Purchase>);
    let planted: [(Plant<'_>, &str); 6] = [
        (&|rows| drop(rows.remove(1)), "8 of user-events-2@1 is lost"),
        (&|rows| rows.push(rows[2].clone()), "16 of user-events-4@2 is there 2 times"),
        (&|rows| rows.push(Purchase::of(Event(7))), "7 should not be there"),
        (&|rows| rows.push(Purchase::of(Event(800))), "800 should not be there"),
        (&|rows| rows[0].amount += 0.01, "0 of user-events-0@0 is "),
        // One for another: no count would show it.
        (&|rows| rows[1] = Purchase::of(Event(1)), "8 of user-events-2@1 is lost"),
    ];
    for (plant, says) in planted {
        let mut rows = good.clone();
        plant(&mut rows);
        let found = ledger.judge_table(&rows);
        assert!(found.first().is_some_and(|fault| fault.starts_with(says)), "{says}: {found:?}");
    }
    let log: Vec<(Place, u32)> = (0..100).map(|id| (((id % 6), i64::from(id / 6)), id as u32)).collect();
    assert_eq!(ledger.judge_log(&log), Vec::<String>::new());
    let (mut lost, mut doubled, mut reordered) = (log.clone(), log.clone(), log);
    lost.remove(3);
    doubled.push(((0, 17), 3));
    (reordered[0].1, reordered[6].1) = (6, 0);
    assert_eq!(ledger.judge_log(&lost), ["3 of user-events-3@0 is not in the log"]);
    assert_eq!(ledger.judge_log(&doubled), ["3 is at 0@17, and should be user-events-3@0"]);
    assert_eq!(ledger.judge_log(&reordered).len(), 2, "two that changed places");
}
