//! Batches to requests: each row a message of the table's layout, refused by itself where its column cannot take a value.

use crate::config::{Mode, OnTruncate, Settings, UnknownFields};
use crate::delivery::{GONE, ORDER};
use crate::guess::Guesses;
use crate::input::visible_key;
use crate::layout::Layout;
use crate::row::{Unknown, Writer};
use crate::stream::Request;
use crate::table::{Field, Name, Table, Type};
use crate::wire;
use acme_connect::{Encoded, Fate, Fates, Guess, Operation, Operations, Rows};
use acme_types::{Blame, Diagnostic, codes};
use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::sync::Arc;

/// Names of members that are kept in mind; others are counted together.
const NAMES_MAX: usize = 100;

/// Writes rows for one table, as it was when it was looked at.
pub(crate) struct Encoder {
    settings: Arc<Settings>,
    table: Name,
    fields: Vec<Field>,
    primary_key: Vec<String>,
    key: Vec<String>,
    /// For rows that are there, and for rows that are gone: these have no more than their key.
    puts: Layout,
    deletes: Layout,
    writer: Writer,
    message: Vec<u8>,
    unknown: Members,
}

/// Members that the table has no column for.
#[derive(Default)]
struct Members {
    policy: Option<UnknownFields>,
    /// How often each was left out.
    ignored: BTreeMap<String, u64>,
    others: u64,
    /// Of the present row: the first that must not be there.
    refused: Option<String>,
    /// Those that are to be added.
    new: Guesses,
    any_new: bool,
}

impl Unknown for Members {
    fn unknown(&mut self, name: &str, value: &str) {
        match self.policy {
            Some(UnknownFields::Error) => {
                self.refused.get_or_insert_with(|| name.to_owned());
            }
            Some(UnknownFields::Add) => {
                self.any_new = true;
                self.new.add(name, Guess::of(value));
            }
            _ => {
                let has_room = self.ignored.len() < NAMES_MAX;
                match self.ignored.get_mut(name) {
                    Some(count) => *count += 1,
                    None if has_room => drop(self.ignored.insert(name.to_owned(), 1)),
                    None => self.others += 1,
                }
            }
        }
    }
}

/// What became of a batch.
pub(crate) enum Outcome {
    /// It is written, but for the rows that are refused.
    Requests {
        requests: VecDeque<Request>,
        fates: Fates,
        /// The number of the last row.
        order: i64,
        /// The number of the last row that emptied the source.
        emptied: Option<i64>,
    },
    /// It is not: these columns are to be added first.
    NewColumns(Guesses),
}

impl Encoder {
    pub(crate) fn new(settings: &Arc<Settings>, name: &Name, table: &Table) -> Result<Self, Diagnostic> {
        let unwritable = |cause: String| {
            settings.user(
                format!("the table {} cannot be written to: {cause}", name.shown()),
                "give the column a default, or write to another table",
            )
        };
        let mut encoder = Self {
            settings: settings.clone(),
            table: name.clone(),
            fields: table.schema.fields.clone(),
            primary_key: table.primary_key(),
            key: settings.key.clone(),
            puts: Layout::default(),
            deletes: Layout::default(),
            writer: Writer::default(),
            message: Vec::new(),
            unknown: Members { policy: Some(settings.unknown), ..Members::default() },
        };
        encoder.arrange().map_err(unwritable)?;
        Ok(encoder)
    }

    /// Makes the layouts for the present key.
    fn arrange(&mut self) -> Result<(), String> {
        let mut fields = self.fields.clone();
        if self.is_staged() {
            fields.extend([Field::new(ORDER, Type::Int), Field::new(GONE, Type::Bool)]);
        }
        self.puts = Layout::new(&fields)?;
        self.deletes = self.puts.clone();
        let is_key = |name: &str| self.key.iter().any(|key| key.eq_ignore_ascii_case(name));
        for column in &mut self.puts.columns {
            column.required |= is_key(&column.name);
        }
        for column in &mut self.deletes.columns {
            column.required = is_key(&column.name);
        }
        Ok(())
    }

    fn is_staged(&self) -> bool {
        self.settings.mode != Mode::Append
    }

    /// The `DescriptorProto` of its messages.
    pub(crate) fn descriptor(&self) -> Vec<u8> {
        self.puts.descriptor()
    }

    /// The columns of a staging table.
    pub(crate) fn staged_fields(&self) -> Vec<Field> {
        let plain = |field: &Field| {
            let mode = field.is_repeated().then(|| "REPEATED".to_owned());
            Field { mode, default: None, ..field.clone() }
        };
        let mut fields: Vec<Field> = self.fields.iter().map(plain).collect();
        fields.extend([Field::new(ORDER, Type::Int), Field::new(GONE, Type::Bool)]);
        fields
    }

    /// The columns that are merged.
    pub(crate) fn columns(&self) -> Vec<String> {
        self.fields.iter().map(|field| field.name.clone()).collect()
    }

    /// The columns that identify a row; known when rows have come.
    pub(crate) fn key(&self) -> &[String] {
        &self.key
    }

    /// Finds the key, which the rows may say.
    fn find_key(&mut self, rows: &Rows) -> Result<(), Diagnostic> {
        if self.settings.mode != Mode::Upsert || !self.unchecked() {
            return Ok(());
        }
        if self.key.is_empty() {
            self.key = visible_key(rows);
        }
        if self.key.is_empty() {
            self.key = self.primary_key.clone();
        }
        let table = self.table.shown();
        if self.key.is_empty() {
            let message = format!("nothing says by which columns rows are applied to {table}");
            let help = "set `key`, or give the table a primary key (NOT ENFORCED)";
            return Err(self.settings.user(message, help).at(&self.settings.at_key));
        }
        for key in &mut self.key {
            let Some(field) = self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(key)) else {
                let message = format!("the table {table} has no column \"{key}\", which is part of the key");
                let help = "add it to the table, or name others in `key`";
                return Err(self.settings.user(message, help).at(&self.settings.at_key));
            };
            key.clone_from(&field.name);
        }
        let internal = |cause| Diagnostic::new(&codes::INTERNAL, cause);
        self.arrange().map_err(internal)
    }

    /// Whether the key was not looked at yet.
    fn unchecked(&self) -> bool {
        !self.puts.columns.iter().any(|column| self.key.contains(&column.name) && column.required)
            || self.key.is_empty()
    }

    /// Writes rows but for those to be skipped; their numbers go on from `order`.
    pub(crate) fn rows(
        &mut self,
        rows: &Rows,
        documents: &Encoded,
        skip: &[usize],
        mut order: i64,
    ) -> Result<Outcome, Diagnostic> {
        self.find_key(rows)?;
        let operations = Operations::of(&rows.batch.columns);
        let mut requests = VecDeque::new();
        let (mut request, mut fates, mut emptied) = (Request::default(), Fates::new(), None);
        let known = self.unknown.ignored.len();
        for row in (0..documents.ends.len()).filter(|row| skip.binary_search(row).is_err()) {
            let operation = operations.of_row(row);
            order += 1;
            if operation == Operation::Truncate {
                match self.settings.on_truncate {
                    OnTruncate::Apply => emptied = Some(order),
                    OnTruncate::Ignore => {}
                    OnTruncate::Reject => {
                        let reason = "the source was truncated; set `truncate` to apply or ignore".to_owned();
                        fates.push((row, Fate::Reject { reason }));
                    }
                }
                continue;
            }
            match self.row(documents.row(row), operation == Operation::Delete, order) {
                Ok(()) => request.push(row, &self.message),
                Err(reason) => fates.push((row, Fate::Reject { reason })),
            }
            if request.body.len() >= self.settings.batch_bytes {
                requests.push_back(std::mem::take(&mut request));
            }
        }
        if !request.rows.is_empty() {
            requests.push_back(request);
        }
        self.say_new(known);
        if std::mem::take(&mut self.unknown.any_new) {
            return Ok(Outcome::NewColumns(std::mem::take(&mut self.unknown.new)));
        }
        Ok(Outcome::Requests { requests, fates, order, emptied })
    }

    /// Makes the message of a row.
    fn row(&mut self, document: &[u8], gone: bool, order: i64) -> Result<(), String> {
        /// The service takes no larger request.
        const ROW_MAX: usize = 9 << 20;
        self.message.clear();
        let text = std::str::from_utf8(document).map_err(|_| "the row is not UTF-8 text".to_owned())?;
        let layout = if gone { &self.deletes } else { &self.puts };
        self.writer.document(layout, text, &mut self.unknown, &mut self.message)?;
        if let Some(name) = self.unknown.refused.take() {
            return Err(format!("the table {} has no column \"{name}\"", self.table.shown()));
        }
        if self.is_staged() {
            let number = u32::try_from(self.fields.len()).unwrap_or(u32::MAX - 2);
            wire::int(&mut self.message, number + 1, order);
            wire::int(&mut self.message, number + 2, i64::from(gone));
        }
        match self.message.len() {
            0..=ROW_MAX => Ok(()),
            length => Err(format!("the row takes {length} bytes, and BigQuery takes {ROW_MAX} at once")),
        }
    }

    /// Names members that were left out for the first time.
    fn say_new(&self, known: usize) {
        if self.unknown.ignored.len() == known {
            return;
        }
        let names: Vec<&str> = self.unknown.ignored.keys().map(String::as_str).collect();
        let message = format!(
            "the table {} has no columns for these fields, which are left out: {}",
            self.table.shown(),
            names.join(", ")
        );
        let warning =
            Diagnostic::warning(&codes::DELIVER, message).help("set `unknown_fields` to add or error");
        // Where nobody listens it is not missed.
        let _ = writeln!(std::io::stderr().lock(), "{}", Diagnostic { blame: Blame::User, ..warning });
    }

    /// Says how often members were left out.
    pub(crate) fn say_ignored(&mut self) {
        if self.unknown.ignored.is_empty() {
            return;
        }
        let mut counts: Vec<String> =
            self.unknown.ignored.iter().map(|(name, count)| format!("{name} {count} times")).collect();
        if self.unknown.others > 0 {
            counts.push(format!("others {} times", self.unknown.others));
        }
        let item = &self.settings.item;
        let _ = writeln!(std::io::stderr().lock(), "{item}: fields left out: {}", counts.join(", "));
    }
}
