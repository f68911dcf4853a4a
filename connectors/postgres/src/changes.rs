//! What has changed between two descriptions of a table, and how records from before a change lie in the columns of after it.

use crate::catalog::Table;
use crate::pgoutput::Relation;
use std::collections::HashMap;

/// What has changed, in words: `users: column "age" added`; empty where nothing that matters has.
pub(crate) fn between(then: &Table, now: &Table) -> Vec<String> {
    let name = &now.name.table;
    if then.oid != now.oid {
        return vec![format!(
            "{name}: dropped and created again; rows of the former table stay where they are"
        )];
    }
    let mut found = Vec::new();
    for column in &now.columns {
        match then.columns.iter().find(|old| old.attnum == column.attnum) {
            None => found.push(format!("{name}: column \"{}\" added ({})", column.name, column.type_name)),
            Some(old) => {
                if old.name != column.name {
                    found.push(format!("{name}: column \"{}\" renamed to \"{}\"", old.name, column.name));
                }
                if (old.type_oid, old.type_modifier) != (column.type_oid, column.type_modifier) {
                    let (from, to) = (&old.type_name, &column.type_name);
                    found.push(format!("{name}: column \"{}\" changed from {from} to {to}", column.name));
                }
            }
        }
    }
    for column in &then.columns {
        if !now.columns.iter().any(|new| new.attnum == column.attnum) {
            found.push(format!("{name}: column \"{}\" dropped", column.name));
        }
    }
    let key = |table: &Table| -> Vec<i16> {
        table.columns.iter().filter(|column| column.key).map(|column| column.attnum).collect()
    };
    if key(then) != key(now) || then.identity != now.identity {
        let shown = if now.key.is_empty() { "nothing".to_owned() } else { now.key.join(", ") };
        found.push(format!("{name}: rows are now identified by {shown}"));
    }
    found
}

/// For each column of a relation ours, `None` for one that the table does not have any more; the whole is `None` where it
/// cannot be known.
///
/// By name. A column that has another name now is found by its place: columns lie in the order of their numbers, numbers
/// are never used again, and whatever is there now with a number below another that was there then was there then. Where
/// columns were dropped too, several readings may be left, and then there is no answer.
pub(crate) fn align(relation: &Relation<'_>, table: &Table) -> Option<Vec<Option<usize>>> {
    let place = |name: &str| table.columns.iter().position(|column| column.name == name);
    let named: Vec<Option<usize>> = relation.columns.iter().map(|column| place(column.name)).collect();
    let gone = named.iter().any(Option::is_none);
    let new = (0..table.columns.len()).any(|at| !named.contains(&Some(at)));
    // Of another table only the names say anything.
    if !gone || !new || relation.id != table.oid {
        return Some(named);
    }
    let mut readings = Readings {
        gaps: gaps(table),
        taken: taken(&named, table.columns.len()),
        named,
        known: HashMap::new(),
    };
    (readings.count((0, 0, 0)) == 1).then(|| readings.only())
}

/// How many numbers before each column, and behind the last, belong to columns that are gone or not sent.
fn gaps(table: &Table) -> Vec<usize> {
    let mut gaps = vec![0; table.columns.len() + 1];
    for number in &table.hidden {
        let at = table.columns.iter().take_while(|column| column.attnum < *number).count();
        gaps[at] += 1;
    }
    gaps
}

fn taken(named: &[Option<usize>], columns: usize) -> Vec<bool> {
    (0..columns).map(|at| named.contains(&Some(at))).collect()
}

/// The relation's next column, our next column, and how many hidden ones before that were used.
type At = (usize, usize, usize);

/// All ways to read a relation.
struct Readings {
    named: Vec<Option<usize>>,
    taken: Vec<bool>,
    gaps: Vec<usize>,
    /// How many there are from a place on: none, one, or more.
    known: HashMap<At, u8>,
}

impl Readings {
    /// Where the next column may lie: in our next one, or in one that is hidden now.
    fn steps(&self, (theirs, ours, used): At) -> [Option<At>; 2] {
        let fits = match self.named[theirs] {
            Some(place) => place == ours,
            None => ours < self.taken.len() && !self.taken[ours],
        };
        let hidden = self.named[theirs].is_none() && used < self.gaps[ours];
        [fits.then_some((theirs + 1, ours + 1, 0)), hidden.then_some((theirs + 1, ours, used + 1))]
    }

    fn count(&mut self, at: At) -> u8 {
        if at.0 == self.named.len() {
            return 1;
        }
        if let Some(known) = self.known.get(&at) {
            return *known;
        }
        let ways: u8 = self.steps(at).into_iter().flatten().map(|next| self.count(next)).sum();
        self.known.insert(at, ways.min(2));
        ways.min(2)
    }

    /// The one reading, where there is one.
    fn only(&mut self) -> Vec<Option<usize>> {
        let (mut at, mut to) = ((0, 0, 0), Vec::new());
        while at.0 < self.named.len() {
            let [fits, hidden] = self.steps(at);
            let fits = fits.filter(|next| self.count(*next) > 0);
            to.push(fits.map(|_| at.1));
            at = fits.or(hidden).expect("there is one reading");
        }
        to
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::TableColumn;
    use crate::kind::Kind;
    use crate::pgoutput::RelationColumn;
    use crate::settings::TableName;
    use arrow::datatypes::Schema;
    use std::sync::Arc;

    fn table(columns: &[(i16, &str)], hidden: &[i16]) -> Table {
        let column = |(attnum, name): &(i16, &str)| TableColumn {
            name: (*name).to_owned(),
            attnum: *attnum,
            type_oid: 23,
            type_modifier: -1,
            type_name: "integer".to_owned(),
            kind: Kind::Int4,
            key: *attnum == 1,
            missing: None,
            sql_type: "integer".to_owned(),
            filled: false,
        };
        Table {
            name: TableName { schema: "public".to_owned(), table: "t".to_owned() },
            oid: 7,
            identity: b'd',
            columns: columns.iter().map(column).collect(),
            hidden: hidden.to_vec(),
            key: vec!["id".to_owned()],
            bytes: 0,
            filter: None,
            schema: Arc::new(Schema::empty()),
        }
    }

    #[track_caller]
    fn check(then: &[&str], now: &[(i16, &str)], hidden: &[i16], expected: Option<&[Option<usize>]>) {
        let column =
            |name: &&'static str| RelationColumn { name, type_oid: 23, type_modifier: -1, key: false };
        let then: Vec<&'static str> = then.iter().map(|name| &*String::leak((*name).to_owned())).collect();
        let columns = then.iter().map(column).collect();
        let relation = Relation { id: 7, schema: "public", table: "t", identity: b'd', columns };
        assert_eq!(align(&relation, &table(now, hidden)).as_deref(), expected);
    }

    #[test]
    fn columns_are_found_by_name_and_renamed_ones_by_their_place() {
        check(&["id", "a"], &[(1, "id"), (2, "a"), (3, "b")], &[], Some(&[Some(0), Some(1)]));
        check(&["id", "a", "b"], &[(1, "id"), (3, "b")], &[2], Some(&[Some(0), None, Some(1)]));
        check(&["id", "a"], &[(1, "id"), (2, "b")], &[], Some(&[Some(0), Some(1)]));
        check(&["id", "a"], &[(1, "id"), (2, "b"), (3, "c")], &[], Some(&[Some(0), Some(1)]));
        check(&["a", "b", "c"], &[(1, "x"), (2, "b"), (3, "y")], &[], Some(&[Some(0), Some(1), Some(2)]));
        // 3 was dropped before the record or after it: either way `a` is `b`.
        check(&["id", "a", "z"], &[(1, "id"), (2, "b"), (4, "z")], &[3], Some(&[Some(0), Some(1), Some(2)]));
    }

    #[test]
    fn what_cannot_be_known_is_not_guessed() {
        // `a` was dropped and `b` added, or the dropped one is older and `a` is called `b` now.
        check(&["id", "a"], &[(1, "id"), (3, "b")], &[2], None);
    }

    #[test]
    fn changes_are_told_in_words() {
        let then = table(&[(1, "id"), (2, "a"), (3, "b")], &[]);
        let now = table(&[(1, "id"), (2, "c"), (4, "d")], &[3]);
        let expected = [
            "t: column \"a\" renamed to \"c\"",
            "t: column \"d\" added (integer)",
            "t: column \"b\" dropped",
        ];
        assert_eq!(between(&then, &now), expected);
        assert!(between(&then, &then).is_empty());
    }
}
