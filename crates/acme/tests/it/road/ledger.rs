//! What was written to the table, so that every document can be judged; and the writer that changes the table meanwhile.

use acme_lab::postgres::Postgres;
use acme_sim::Rng;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

/// A row's values; the id is its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub name: String,
    pub cents: i64,
    /// The number that a long text consists of; it is stored out of line, and the log leaves it out while it is unchanged.
    pub note: Option<i64>,
}

/// Every so many rows have a long text.
const NOTED: i64 = 500;

impl Image {
    fn first(id: i64) -> Self {
        Self { name: format!("user {id}"), cents: id % 100_000, note: (id % NOTED == 0).then_some(id) }
    }

    /// The long text as the table has it.
    pub fn note_text(number: i64) -> String {
        format!("{number} ").repeat(1500)
    }
}

/// What became of one id since the slot exists.
#[derive(Clone, Debug)]
struct Life {
    live: bool,
    /// The last inserted or updated image.
    last: Option<Image>,
    /// It was deleted, untouched, while the copy was not committed: a copy may or may not have read it.
    unsure: bool,
}

/// What the index must hold for an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    Exactly(Image),
    Perhaps(Image),
    Nothing,
}

/// All ids that ever were.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Ids from 1 to here were there when the slot was made.
    pub first_rows: i64,
    lives: BTreeMap<i64, Life>,
    next_id: i64,
    /// The copy is committed: from now on a deleted row was read by it.
    pub copied: bool,
    sequence: i64,
    pub changes: u64,
}

impl Ledger {
    pub fn new(first_rows: i64) -> Self {
        let (lives, next_id) = (BTreeMap::new(), first_rows + 1);
        Self { first_rows, lives, next_id, copied: false, sequence: 0, changes: 0 }
    }

    /// The largest id so far.
    pub fn last_id(&self) -> i64 {
        self.next_id - 1
    }

    pub fn live(&self, id: i64) -> Option<Image> {
        match self.lives.get(&id) {
            Some(life) => life.last.clone().filter(|_| life.live),
            None => (1..=self.first_rows).contains(&id).then(|| Image::first(id)),
        }
    }

    /// What an index that follows every change holds.
    pub fn mirrored(&self, id: i64) -> Want {
        self.live(id).map_or(Want::Nothing, Want::Exactly)
    }

    /// What an index holds that never sees a delete.
    pub fn kept(&self, id: i64) -> Want {
        match self.lives.get(&id) {
            None => self.mirrored(id),
            Some(Life { last: Some(image), .. }) => Want::Exactly(image.clone()),
            Some(Life { unsure: true, .. }) => Want::Perhaps(Image::first(id)),
            Some(_) => Want::Exactly(Image::first(id)),
        }
    }

    fn put(&mut self, id: i64, image: Image) {
        self.lives.insert(id, Life { live: true, last: Some(image), unsure: false });
        self.changes += 1;
    }

    fn remove(&mut self, id: i64) {
        let unsure = !self.copied;
        let life = self.lives.entry(id).or_insert(Life { live: true, last: None, unsure });
        life.live = false;
        self.changes += 1;
    }

    /// One random change as SQL, noted as done.
    fn change(&mut self, rng: &mut Rng, sql: &mut String) {
        self.sequence += 1;
        let sequence = self.sequence;
        let id = 1 + i64::try_from(rng.below(self.last_id().unsigned_abs())).expect("ids are small");
        let fresh = Image { name: format!("user {id} at {sequence}"), cents: sequence % 977, note: None };
        let done = match (rng.below(10), self.live(id)) {
            (0..3, _) => {
                let (id, note) = (self.next_id, (sequence % 20 == 0).then_some(sequence));
                self.next_id += 1;
                let text = note.map_or("NULL".to_owned(), |note| format!("repeat('{note} ', 1500)"));
                self.put(id, Image { note, ..fresh.clone() });
                write!(
                    sql,
                    "INSERT INTO users VALUES ({id}, '{}', {} / 100.0, {text});",
                    fresh.name, fresh.cents
                )
            }
            // A deleted id comes back.
            (_, None) => {
                self.put(id, fresh.clone());
                write!(
                    sql,
                    "INSERT INTO users VALUES ({id}, '{}', {} / 100.0, NULL);",
                    fresh.name, fresh.cents
                )
            }
            (3..5, Some(_)) => {
                self.remove(id);
                write!(sql, "DELETE FROM users WHERE id = {id};")
            }
            (5, Some(image)) => {
                let new = self.next_id;
                self.next_id += 1;
                self.remove(id);
                self.put(new, image);
                write!(sql, "UPDATE users SET id = {new} WHERE id = {id};")
            }
            (_, Some(image)) => {
                self.put(id, Image { note: image.note, ..fresh.clone() });
                write!(
                    sql,
                    "UPDATE users SET name = '{}', balance = {} / 100.0 WHERE id = {id};",
                    fresh.name, fresh.cents
                )
            }
        };
        done.expect("text can be written");
    }
}

/// The ledger with the session that makes it come true.
pub struct Writing {
    pub ledger: Ledger,
    rng: Rng,
    session: Session,
}

impl Writing {
    pub fn new(postgres: &Postgres, ledger: Ledger, seed: u64) -> Self {
        Self { ledger, rng: Rng(seed), session: Session::open(postgres) }
    }

    /// The server was restarted.
    pub fn reconnect(&mut self, postgres: &Postgres) {
        self.session = Session::open(postgres);
    }

    /// One transaction; one in ten is taken back.
    pub fn transaction(&mut self) {
        let mut sql = "BEGIN;".to_owned();
        let back = self.rng.one_in(10).then(|| self.ledger.clone());
        for _ in 0..=self.rng.below(20) {
            self.ledger.change(&mut self.rng, &mut sql);
        }
        match back {
            None => sql.push_str("COMMIT;"),
            Some(ledger) => {
                self.ledger = ledger;
                sql.push_str("ROLLBACK;");
            }
        }
        sql.push_str("INSERT INTO orders VALUES (default);");
        self.session.run(&sql);
    }

    /// The last row of all: once it is delivered, so is everything before it.
    pub fn end(&mut self, id: i64) {
        self.session.run(&format!("INSERT INTO users VALUES ({id}, 'end', 0, NULL);"));
    }
}

/// A client that stays connected.
struct Session {
    psql: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    fn open(postgres: &Postgres) -> Self {
        let mut command = postgres.client("psql");
        command.args(["-d", "postgres", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"]);
        let mut psql = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("psql runs");
        let input = psql.stdin.take().expect("it is piped");
        let output = BufReader::new(psql.stdout.take().expect("it is piped"));
        Self { psql, input, output }
    }

    fn run(&mut self, sql: &str) {
        self.input.write_all(format!("{sql}\n\\echo done\n").as_bytes()).expect("psql reads");
        let mut line = String::new();
        while line.trim() != "done" {
            line.clear();
            let read = self.output.read_line(&mut line).expect("psql answers");
            assert!(read > 0, "psql has ended: {sql}");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended with its server.
        let _ = self.psql.kill();
        let _ = self.psql.wait();
    }
}
