//! What is prepared and not yet seen: streams by the table that they belong to, and what makes them take effect.
//!
//! Rows that are appended go to streams of the table itself, and are seen when these are committed. Rows that are applied by
//! key, or that replace the table, go to streams of a staging table; one MERGE brings them into the table, all or none. The
//! job of that MERGE is named after the staging table, and a job's name is good for one run only: whoever asks for it again
//! after a crash, or late, starts nothing.

use crate::fault;
use crate::grpc::Storage;
use crate::rest::{Job, Rest};
use crate::stream;
use crate::table::{Name, quoted};
use acme_connect::{Backoff, failpoint};
use acme_types::{Blame, Diagnostic, codes};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::time::Duration;

/// The column of a staging table that says in which order its rows came.
pub(crate) const ORDER: &str = "_acme_order";
/// The column that says that the row is gone.
pub(crate) const GONE: &str = "_acme_gone";

/// Streams that take effect together. It stands in the checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// The staging table; `None` where the streams are the table's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) staging: Option<String>,
    /// Finalised streams that are not committed, as far as is known.
    pub(crate) streams: Vec<String>,
    /// The columns that are merged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) columns: Vec<String>,
    /// The columns that identify a row; none where the table is replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) key: Vec<String>,
    /// The source was emptied behind this row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) emptied: Option<i64>,
    /// Nothing more comes to it.
    #[serde(default)]
    pub(crate) sealed: bool,
    /// How many of the streams the last `prepare` named.
    #[serde(skip)]
    pub(crate) prepared: usize,
    /// How many of them a committed checkpoint names.
    #[serde(skip)]
    pub(crate) named: usize,
}

/// What the checkpoint keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) groups: Vec<Group>,
}

/// Where groups are delivered to.
pub(crate) struct Target<'a> {
    pub(crate) rest: &'a Rest,
    pub(crate) storage: &'a Storage,
    pub(crate) table: &'a Name,
    /// The project that pays for jobs.
    pub(crate) project: &'a str,
    pub(crate) location: &'a str,
}

impl Target<'_> {
    /// Makes the streams that a committed checkpoint names part of their table; those of a staging table are still unseen.
    pub(crate) async fn commit(&self, group: &mut Group) -> Result<(), Diagnostic> {
        let streams: Vec<String> = group.streams[..group.named].to_vec();
        if streams.is_empty() {
            return Ok(());
        }
        let table = group.staging.as_ref().map(|name| self.table.sibling(name.clone()));
        stream::commit(self.storage, &table.as_ref().unwrap_or(self.table).path(), &streams).await?;
        failpoint("bigquery.committed");
        group.streams.drain(..group.named);
        group.prepared = group.prepared.saturating_sub(group.named);
        group.named = 0;
        Ok(())
    }

    /// Makes a sealed group take effect, whatever of it was done before.
    pub(crate) async fn deliver(&self, group: &mut Group) -> Result<(), Diagnostic> {
        let Some(staging) = group.staging.clone() else { return self.commit(group).await };
        let staging = self.table.sibling(staging);
        let mut backoff = Backoff::new(staging.table.len() as u64 + 11);
        for attempt in 1_u32.. {
            let id = format!("{}_{attempt}", staging.table);
            let mut job = self.rest.job(self.project, self.location, &id).await?;
            let is_ours = matches!(job, Job::Absent);
            if is_ours {
                self.commit(group).await?;
                let sql = merge(self.table, &staging, group);
                job = self.rest.start(self.project, self.location, &id, &sql).await?;
            }
            let Some(fault) = self.wait(&id, job).await? else { break };
            // A job that failed changed nothing, and the next has a name of its own. What made a job of an earlier life
            // fail may be mended by now.
            if is_ours {
                let blame = if fault.is_transient() { Blame::Remote } else { Blame::User };
                match backoff.wait().filter(|_| blame == Blame::Remote) {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Err(failed(self.table, &fault.message, blame)),
                }
            }
        }
        failpoint("bigquery.merged");
        // What remains of it the service removes by itself.
        self.rest.remove(&staging).await
    }

    /// Waits for the end of a job; why it failed, if it did.
    async fn wait(&self, id: &str, mut job: Job) -> Result<Option<fault::Reason>, Diagnostic> {
        const LOOK_MAX: Duration = Duration::from_secs(2);
        let mut look = Duration::from_millis(50);
        loop {
            match job {
                Job::Done => return Ok(None),
                Job::Failed(reason) => return Ok(Some(reason)),
                // A job that was accepted may not be known everywhere at once.
                Job::Running | Job::Absent => {
                    tokio::time::sleep(look).await;
                    look = (look * 2).min(LOOK_MAX);
                    job = self.rest.job(self.project, self.location, id).await?;
                }
            }
        }
    }
}

fn failed(table: &Name, words: &str, blame: Blame) -> Diagnostic {
    let message = format!("the rows cannot be merged into {}: {words}", table.shown());
    let help = "mend what it names and start again: the rows wait in their staging table";
    Diagnostic { blame, ..Diagnostic::new(&codes::REMOTE, message).help(help) }
}

/// The statement that applies a staging table: by key the newest row wins; without a key its rows replace the table's.
///
/// Source: GoogleSQL, "MERGE statement": one statement is atomic, and `ON FALSE` with `NOT MATCHED BY SOURCE` replaces.
pub(crate) fn merge(table: &Name, staging: &Name, group: &Group) -> String {
    let list = |prefix: &str| {
        let columns = group.columns.iter().map(|name| format!("{prefix}{}", quoted(name)));
        columns.collect::<Vec<_>>().join(", ")
    };
    let (to, from) = (table.sql(), staging.sql());
    if group.key.is_empty() {
        return format!(
            "MERGE {to} T USING (SELECT * FROM {from}) S ON FALSE WHEN NOT MATCHED BY SOURCE THEN DELETE WHEN NOT MATCHED BY \
             TARGET THEN INSERT ({}) VALUES ({})",
            list(""),
            list("S.")
        );
    }
    let key: Vec<String> = group.key.iter().map(|name| quoted(name)).collect();
    let on: Vec<String> = key.iter().map(|name| format!("T.{name} = S.{name}")).collect();
    let newer = group.emptied.map_or_else(|| "TRUE".to_owned(), |order| format!("{ORDER} > {order}"));
    let mut sql = format!(
        "MERGE {to} T USING (SELECT * FROM {from} WHERE {newer} QUALIFY ROW_NUMBER() OVER (PARTITION BY {} ORDER BY {ORDER} \
         DESC) = 1) S ON {} WHEN MATCHED AND S.{GONE} THEN DELETE",
        key.join(", "),
        on.join(" AND "),
    );
    let others = group.columns.iter().filter(|name| !group.key.contains(name));
    let set: Vec<String> = others.map(|name| format!("{0} = S.{0}", quoted(name))).collect();
    if !set.is_empty() {
        let _ = write!(sql, " WHEN MATCHED THEN UPDATE SET {}", set.join(", "));
    }
    let _ = write!(
        sql,
        " WHEN NOT MATCHED BY TARGET AND NOT S.{GONE} THEN INSERT ({}) VALUES ({})",
        list(""),
        list("S.")
    );
    if group.emptied.is_some() {
        sql.push_str(" WHEN NOT MATCHED BY SOURCE THEN DELETE");
    }
    sql
}
