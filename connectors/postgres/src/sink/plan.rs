//! How rows with certain columns get into a certain table: the statements, made once and used for every batch.

use super::cells::Cells;
use super::config::Mode;
use super::target::{Target, TargetColumn, sql};
use crate::wire::ident;
use std::sync::atomic::{AtomicU32, Ordering};

/// The savepoint in front of each attempt.
pub(crate) const UNDO: &str = "ROLLBACK TO SAVEPOINT acme";

/// One column of the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) name: String,
    /// The type that it is sent as.
    pub(crate) kind: &'static str,
}

/// The statements.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) mode: Mode,
    pub(crate) sent: Vec<Sent>,
    pub(crate) key: Vec<String>,
    /// Makes the staging table; empty where rows are copied into the table itself.
    pub(crate) create: String,
    /// Up to the start of the copy.
    pub(crate) begin: String,
    /// Applies the staged rows, deletes among them.
    pub(crate) apply: String,
    /// The same where there are only deletes or none.
    pub(crate) upsert: String,
    pub(crate) delete: String,
    /// Copies rows into the table itself, where each is expected to be new.
    pub(crate) direct: Option<Direct>,
}

/// The short way of new rows, which costs a fraction of an upsert. Where one of them is not new, or is at fault, nothing has
/// happened, and the batch goes the long way.
#[derive(Debug)]
pub(crate) struct Direct {
    /// Up to the start of the copy.
    pub(crate) begin: String,
    /// So many batches go the long way before the next trial.
    pause: AtomicU32,
}

impl Direct {
    /// A batch below that gains nothing.
    pub(crate) const ROWS_MIN: usize = 256;
    /// Batches between two trials that fail.
    const PAUSE: u32 = 100;

    /// Whether it is to be tried now.
    pub(crate) fn is_due(&self) -> bool {
        let left = self.pause.load(Ordering::Relaxed);
        self.pause.store(left.saturating_sub(1), Ordering::Relaxed);
        left == 0
    }

    /// It has failed.
    pub(crate) fn wait(&self) {
        self.pause.store(Self::PAUSE, Ordering::Relaxed);
    }
}

impl Plan {
    /// Makes the statements; `number` tells its staging table from others of the session.
    pub(crate) fn new(target: &Target, mode: Mode, sent: Vec<Sent>, key: Vec<String>, number: usize) -> Self {
        let table = sql(&target.name);
        let columns: Vec<&TargetColumn> =
            sent.iter().map(|sent| target.column(&sent.name).expect("it was looked up before")).collect();
        let names = columns.iter().map(|column| ident(&column.name)).collect::<Vec<_>>().join(", ");
        let direct = |(column, sent): (&&TargetColumn, &Sent)| is_sent_as_is(column, sent.kind);
        let begin = format!("SAVEPOINT acme; COPY {table} ({names}) FROM STDIN (FORMAT binary)");
        let copies = target.copies && columns.iter().zip(&sent).all(direct);
        if mode == Mode::Append && copies {
            let apply = "RELEASE SAVEPOINT acme".to_owned();
            let (create, upsert, delete) = (String::new(), apply.clone(), apply.clone());
            return Self { mode, sent, key, create, begin, apply, upsert, delete, direct: None };
        }
        let stage = format!("pg_temp.acme_stage_{number}");
        let staged = sent.iter().enumerate().map(|(at, sent)| format!("c{at} pg_catalog.{}", sent.kind));
        let staged = std::iter::once("gone pg_catalog.bool".to_owned()).chain(staged);
        let staged = staged.collect::<Vec<_>>().join(", ");
        let value = |at: usize| value(columns[at], sent[at].kind, at);
        let values = (0..sent.len()).map(value).collect::<Vec<_>>().join(", ");
        // An identity column keeps the source's value.
        let insert = format!(
            "INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {stage} s WHERE NOT s.gone"
        );
        let release = "RELEASE SAVEPOINT acme";
        let (conflict, delete) = match mode {
            Mode::Append => (String::new(), String::new()),
            Mode::Upsert => {
                let keys = key.iter().map(|name| ident(name)).collect::<Vec<_>>().join(", ");
                let set = (columns.iter())
                    .filter(|column| !key.contains(&column.name) && !column.identity)
                    .map(|column| format!("{0} = excluded.{0}", ident(&column.name)))
                    .collect::<Vec<_>>();
                let what = match set.is_empty() {
                    true => "DO NOTHING".to_owned(),
                    false => format!("DO UPDATE SET {}", set.join(", ")),
                };
                let same = (0..sent.len())
                    .filter(|at| key.contains(&sent[*at].name))
                    .map(|at| format!("t.{} = {}", ident(&sent[at].name), value(at)))
                    .collect::<Vec<_>>()
                    .join(" AND ");
                let delete = format!("DELETE FROM {table} t USING {stage} s WHERE s.gone AND {same}; ");
                (format!(" ON CONFLICT ({keys}) {what}"), delete)
            }
        };
        Self {
            create: format!(
                "CREATE TEMP TABLE IF NOT EXISTS {stage_name} ({staged}) ON COMMIT DELETE ROWS",
                stage_name = &stage[8..]
            ),
            begin: format!("SAVEPOINT acme; TRUNCATE {stage}; COPY {stage} FROM STDIN (FORMAT binary)"),
            // Deletes go first: a row with another key may take over a value that must be unique.
            apply: format!("{delete}{insert}{conflict}; {release}"),
            upsert: format!("{insert}{conflict}; {release}"),
            delete: format!("{delete}{release}"),
            direct: copies.then(|| Direct { begin, pause: AtomicU32::new(0) }),
            mode,
            sent,
            key,
        }
    }

    /// Whether the rows go through a staging table, whose first column says which are gone.
    pub(crate) fn is_staged(&self) -> bool {
        !self.create.is_empty()
    }

    /// Whether it was made for such rows.
    pub(crate) fn fits(&self, mode: Mode, sent: &[Sent], key: &[String]) -> bool {
        self.mode == mode && self.sent == sent && self.key == key
    }
}

impl Sent {
    pub(crate) fn new(name: &str, cells: &Cells) -> Self {
        Self { name: name.to_owned(), kind: cells.sent_as() }
    }
}

fn is_sent_as_is(column: &TargetColumn, kind: &str) -> bool {
    let own = format!("{}.{}", ident("pg_catalog"), ident(kind));
    column.cast == own
        || (kind == "text" && matches!(column.base.as_str(), "varchar" | "bpchar") && !is_domain(column))
}

fn is_domain(column: &TargetColumn) -> bool {
    column.cast != format!("{}.{}", ident("pg_catalog"), ident(&column.base))
}

/// The staged value as the column takes it.
///
/// The cast names no length: the assignment that follows it checks the column's own, where a cast would cut the text.
/// Fractions on their way into whole numbers go through their text, which is refused, where a cast would round.
fn value(column: &TargetColumn, kind: &str, at: usize) -> String {
    let whole = matches!(column.base.as_str(), "int2" | "int4" | "int8" | "oid");
    let cast = &column.cast;
    match kind {
        _ if column.cast == format!("{}.{}", ident("pg_catalog"), ident(kind)) => format!("s.c{at}"),
        "float4" | "float8" if whole => format!("s.c{at}::pg_catalog.text::{cast}"),
        "numeric" if whole => format!("pg_catalog.trim_scale(s.c{at})::pg_catalog.text::{cast}"),
        _ => format!("s.c{at}::{cast}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: &str) -> TargetColumn {
        TargetColumn {
            name: name.to_owned(),
            cast: format!("\"pg_catalog\".\"{kind}\""),
            kind: kind.to_owned(),
            base: kind.to_owned(),
            array: false,
            defaulted: false,
            identity: false,
            generated: false,
        }
    }

    #[test]
    fn names_are_quoted_wherever_they_stand() {
        let hostile = "\"; DROP TABLE x --";
        let columns = vec![column(hostile, "int8"), column("é", "text")];
        let target = Target::of((hostile.to_owned(), hostile.to_owned()), columns);
        let sent = vec![
            Sent { name: hostile.to_owned(), kind: "int8" },
            Sent { name: "é".to_owned(), kind: "text" },
        ];
        let plan = Plan::new(&target, Mode::Upsert, sent, vec![hostile.to_owned()], 1);
        let quoted = "\"\"\"; DROP TABLE x --\"";
        for sql in [&plan.apply, &plan.upsert, &plan.delete] {
            assert!(!sql.replace(quoted, "").contains("DROP"), "{sql}");
        }
        assert!(
            plan.apply.contains(&format!("INSERT INTO {quoted}.{quoted} ({quoted}, \"é\")")),
            "{}",
            plan.apply
        );
    }

    #[test]
    fn rows_are_copied_into_the_table_itself_where_nothing_is_cast() {
        let target = Target::of(("a".into(), "t".into()), vec![column("n", "int8"), column("u", "uuid")]);
        let plan = |names: &[(&str, &'static str)]| {
            let sent = names.iter().map(|(name, kind)| Sent { name: (*name).to_owned(), kind }).collect();
            Plan::new(&target, Mode::Append, sent, Vec::new(), 1)
        };
        assert!(!plan(&[("n", "int8")]).is_staged());
        let staged = plan(&[("n", "int8"), ("u", "text")]);
        assert!(staged.is_staged());
        assert!(staged.apply.contains("SELECT s.c0, s.c1::\"pg_catalog\".\"uuid\""), "{}", staged.apply);
    }

    #[test]
    fn fractions_are_never_rounded_into_whole_numbers() {
        assert_eq!(
            value(&column("n", "int4"), "float8", 0),
            "s.c0::pg_catalog.text::\"pg_catalog\".\"int4\""
        );
        assert_eq!(value(&column("n", "int4"), "int8", 0), "s.c0::\"pg_catalog\".\"int4\"");
        assert_eq!(value(&column("v", "varchar"), "text", 0), "s.c0::\"pg_catalog\".\"varchar\"");
    }
}
