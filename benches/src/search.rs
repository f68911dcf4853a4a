//! PostgreSQL into Elasticsearch, beside the same documents sent ready-made: what the server takes at most.

use crate::measure::{Moment, Readings, in_turn, process};
use crate::postgres::{Bench, stop};
use crate::results::{Comparison, Per, Results, Verdict};
use acme_lab::elasticsearch::{Engine, Node};
use acme_lab::run;
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

const ROWS: u64 = 200_000;
/// Documents of one request: those of the destination `elasticsearch`.
const REQUEST: usize = 5000;
const INDEX: &str = "orders";

pub(crate) fn all(bench: &mut Bench<'_>, results: &mut Results) -> Result<()> {
    let rows = bench.options.rows(ROWS);
    let search = Search { node: Node::start(Engine::Elasticsearch)?, rows };
    bench.database.table(rows)?;
    let bodies = search.bodies(bench)?;
    if bench.options.wants("bulk", "snapshot") {
        let ours = || search.copied(bench);
        let theirs = || search.sent(&bodies);
        ours()?;
        theirs()?;
        let (ours, theirs) = in_turn(bench.options.runs, ours, theirs)?;
        results.add(comparison("PostgreSQL → Elasticsearch, copy of 200,000 rows", ours, theirs, rows))?;
    }
    if bench.options.wants("bulk", "streaming") {
        bench.database.changes(rows)?;
        let ours = || search.followed(bench);
        let theirs = || search.sent(&bodies);
        ours()?;
        theirs()?;
        let (ours, theirs) = in_turn(bench.options.runs, ours, theirs)?;
        results.add(comparison("PostgreSQL → Elasticsearch, 200,000 inserts", ours, theirs, rows))?;
    }
    Ok(())
}

fn comparison(what: &'static str, ours: Readings, theirs: Readings, rows: u64) -> Comparison {
    let beside = "the same documents ready-made, by `curl`".to_owned();
    Comparison { what, beside, ours, theirs, rows, per: Per::Second, verdict: Verdict::None }
}

struct Search {
    node: Node,
    rows: u64,
}

impl Search {
    fn copied(&self, bench: &Bench<'_>) -> Result<f64> {
        self.clear()?;
        let pipeline = format!("name: bench-search\n{}{}", bench.database.copying(), self.destination());
        let taken = bench.acme.run(&pipeline)?;
        self.counted()?;
        Ok(taken.ms)
    }

    fn followed(&self, bench: &Bench<'_>) -> Result<f64> {
        self.clear()?;
        let source = bench.database.following("changes", "never");
        bench.acme.forget()?;
        bench.database.rewind()?;
        let began = Moment::now();
        let mut run = bench.acme.start(&format!("name: bench-search\n{source}{}", self.destination()))?;
        run.wait_for("rows_out", self.rows)?;
        let ms = began.ms();
        stop(run, self.rows)?;
        self.counted()?;
        Ok(ms)
    }

    fn destination(&self) -> String {
        let url = self.node.url();
        format!("destinations: [{{type: elasticsearch, url: \"{url}\", index: {INDEX}, id_field: id}}]\n")
    }

    /// The time of all requests, one after the other on one connection.
    fn sent(&self, bodies: &[PathBuf]) -> Result<f64> {
        self.clear()?;
        let mut command = Command::new("curl");
        for (at, body) in bodies.iter().enumerate() {
            if at > 0 {
                command.arg("--next");
            }
            command
                .args(["-sf", "-o", "/dev/null", "-H", "Content-Type: application/x-ndjson", "--data-binary"])
                .arg(format!("@{}", body.display()))
                .arg(format!("{}/{INDEX}/_bulk", self.node.url()));
        }
        let taken = process(command.stdout(Stdio::null()))?;
        self.counted()?;
        Ok(taken.ms)
    }

    fn clear(&self) -> Result<()> {
        let url = format!("{}/{INDEX}?ignore_unavailable=true", self.node.url());
        run(Command::new("curl").args(["-sf", "-X", "DELETE", &url])).map(drop)
    }

    fn counted(&self) -> Result<()> {
        let ask = |path: &str| {
            run(Command::new("curl").args(["-sf", &format!("{}/{INDEX}/{path}", self.node.url())]))
        };
        ask("_refresh")?;
        let reply: serde_json::Value = serde_json::from_str(&ask("_count")?)?;
        ensure!(
            reply["count"].as_u64() == Some(self.rows),
            "the index has not {} documents: {reply}",
            self.rows
        );
        Ok(())
    }

    /// Writes the requests: the rows as Acme writes them into a file, each behind its action.
    fn bodies(&self, bench: &Bench<'_>) -> Result<Vec<PathBuf>> {
        let rows = bench.acme.path("rows.jsonl");
        let destination = format!("destinations: [{{type: file, path: {}}}]\n", rows.display());
        bench.acme.run(&format!("name: bench-rows\n{}{destination}", bench.database.copying()))?;
        let (mut bodies, mut body) = (Vec::new(), None);
        for (at, line) in BufReader::new(File::open(&rows)?).lines().enumerate() {
            if at % REQUEST == 0 {
                let path = bench.acme.path(&format!("bulk-{at}"));
                body = Some(BufWriter::new(File::create(&path)?));
                bodies.push(path);
            }
            let (line, body) = (line?, body.as_mut().context("a request was begun")?);
            let id = &serde_json::from_str::<serde_json::Value>(&line)?["id"];
            writeln!(
                body,
                "{{\"index\":{{\"_id\":\"{id}\",\"version\":1,\"version_type\":\"external\"}}}}\n{line}"
            )?;
        }
        drop(body);
        fs::remove_file(rows)?;
        Ok(bodies)
    }
}
