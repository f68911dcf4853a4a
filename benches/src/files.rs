//! A file through a filter into a file, beside DuckDB and Apache Flink SQL.
//!
//! Acme's time is that of its whole process; the peers' that of the statement alone, without the start of Python or Java.

use crate::acme::Acme;
use crate::measure::in_turn;
use crate::nexmark::{self, Shape};
use crate::results::{Comparison, Per, Results, Verdict};
use crate::{Options, check};
use acme_lab::{cache, duckdb, flink, run};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Bids of the usual run: Nexmark's share of 3,000,000 events.
const ROWS: u64 = 2_760_000;
/// Threads, lanes or tasks of each side.
const THREADS: usize = 2;

const DUCKDB: &str = "
import sys, time, duckdb
source, out, threads = sys.argv[1:4]
connection = duckdb.connect()
connection.execute(f'set threads={threads}')
columns = dict(auction='BIGINT', bidder='BIGINT', price=sys.argv[4], channel='VARCHAR', url='VARCHAR',
               date_time='BIGINT', extra='VARCHAR', **({'attributes': 'JSON'} if sys.argv[4] == 'DOUBLE' else {}))
began = time.perf_counter()
connection.execute(f\"copy (select * from read_json('{source}', format='newline_delimited', columns={columns}) \"
                   f\"where auction % 123 = 0) to '{out}' (format json)\")
print((time.perf_counter() - began) * 1e3)
";

pub(crate) fn all(options: &Options, results: &mut Results) -> Result<()> {
    if options.wants("duckdb", "plain") {
        beside_duckdb(options, results, Shape::Plain)?;
    }
    if options.wants("duckdb", "messy") {
        beside_duckdb(options, results, Shape::Messy)?;
    }
    if options.wants("flink", "plain") {
        beside_flink(options, results)?;
    }
    Ok(())
}

fn input(options: &Options, shape: Shape) -> Result<std::path::PathBuf> {
    let folder = cache()?.join("bench");
    fs::create_dir_all(&folder)?;
    nexmark::file(&folder, options.rows(ROWS), shape)
}

fn pipeline(input: &Path, out: &Path) -> String {
    format!(
        "name: bench-files\nmode: batch\nsources: [{{type: file, path: {}}}]\n\
         transforms: [{{type: filter, condition: \"auction % 123 = 0\"}}]\n\
         destinations: [{{type: file, path: {}}}]\nsettings: {{parallelism: {THREADS}}}\n",
        input.display(),
        out.display()
    )
}

fn beside_duckdb(options: &Options, results: &mut Results, shape: Shape) -> Result<()> {
    let (acme, input) = (Acme::new(options.build)?, input(options, shape)?);
    let (out, other) = (acme.path("out.jsonl"), acme.path("duckdb.jsonl"));
    let pipeline = pipeline(&input, &out);
    let ours = || Ok(acme.run(&pipeline)?.ms);
    let theirs = || {
        let price = if shape == Shape::Messy { "DOUBLE" } else { "BIGINT" };
        let mut command = duckdb::python(DUCKDB)?;
        milliseconds(&run(command.args([&input, &other]).args([&THREADS.to_string(), price]))?)
    };
    // The first run of each brings the file into memory, and shows that both do the same.
    ours()?;
    theirs()?;
    check::same(&check::rows(&out)?, &check::rows(&other)?, "DuckDB")?;
    let (ours, theirs) = in_turn(options.runs, ours, theirs)?;
    results.add(Comparison {
        what: match shape {
            Shape::Plain => "file → filter → file",
            Shape::Messy => "file → filter → file, messy rows",
        },
        beside: format!("DuckDB {}", duckdb::VERSION),
        ours,
        theirs,
        rows: options.rows(ROWS),
        per: Per::Second,
        verdict: Verdict::AtLeast(1.0),
    })
}

fn beside_flink(options: &Options, results: &mut Results) -> Result<()> {
    let (acme, input) = (Acme::new(options.build)?, input(options, Shape::Plain)?);
    let (out, other, script) = (acme.path("out.jsonl"), acme.path("flink"), acme.path("flink.sql"));
    let pipeline = pipeline(&input, &out);
    let columns = "(auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, date_time BIGINT, extra STRING)";
    let table = |name: &str, path: &Path| {
        let path = path.display();
        format!(
            "CREATE TABLE {name} {columns} WITH ('connector'='filesystem', 'path'='file://{path}', 'format'='json');\n"
        )
    };
    let statement = "INSERT INTO passed SELECT * FROM bid WHERE MOD(auction, 123) = 0;\n";
    fs::write(&script, table("bid", &input) + &table("passed", &other) + statement)?;
    let ours = || Ok(acme.run(&pipeline)?.ms);
    let theirs = || {
        if other.exists() {
            fs::remove_dir_all(&other)?;
        }
        milliseconds(&run(&mut flink::sql(&script, THREADS)?)?)
    };
    ours()?;
    theirs()?;
    check::same(&check::rows(&out)?, &check::rows(&other)?, "Flink")?;
    let (ours, theirs) = in_turn(options.runs, ours, theirs)?;
    results.add(Comparison {
        what: "file → filter → file, Flink",
        beside: format!("Apache Flink SQL {}", flink::VERSION),
        ours,
        theirs,
        rows: options.rows(ROWS),
        per: Per::Second,
        verdict: Verdict::None,
    })
}

/// The number that a peer's program prints last.
pub(crate) fn milliseconds(printed: &str) -> Result<f64> {
    let last = printed.lines().last().context("the peer printed no time")?;
    last.trim().parse().with_context(|| format!("not a time: {last}"))
}
