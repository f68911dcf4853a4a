//! Acme beside its peers, as whole processes against real systems, with results checked.
//!
//! `cargo run --release -p acme-bench -- files|postgres|kafka|log|all` builds Acme, installs the peers the first time, runs both sides
//! of each comparison in turn, and writes `benches/results.md`.

mod acme;
mod check;
mod database;
mod files;
mod kafka;
mod log;
mod measure;
mod nexmark;
mod postgres;
mod raw;
mod results;
mod search;

use anyhow::{Context, Result, bail};
use results::Results;

const USAGE: &str =
    "usage: acme-bench files|postgres|kafka|log|all [--peer NAME] [--part NAME] [--runs N] [--rows N] [--no-build]
  files     --peer duckdb|flink  --part plain|messy
  postgres  --peer copy|recvlogical|debezium|bulk|none  --part snapshot|streaming|first
  kafka     --peer rdkafka|pipe|flink|streams|raw|copy  --part read|write|some|all
  log       --peer client|rdkafka|java  --part write|read|pace|memory|start
  --runs    runs of each side, 5 by default
  --rows    another size; what is measured is then printed, not kept";

/// What is to be run.
pub(crate) struct Options {
    peer: Option<String>,
    part: Option<String>,
    pub(crate) runs: usize,
    rows: Option<u64>,
    pub(crate) build: bool,
}

impl Options {
    fn parse(words: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self { peer: None, part: None, runs: 5, rows: None, build: true };
        let mut words = words;
        while let Some(word) = words.next() {
            let mut value = || words.next().context(USAGE);
            match word.as_str() {
                "--peer" => options.peer = Some(value()?),
                "--part" => options.part = Some(value()?),
                "--runs" => options.runs = value()?.parse()?,
                "--rows" => options.rows = Some(value()?.parse()?),
                "--no-build" => options.build = false,
                _ => bail!(USAGE),
            }
        }
        Ok(options)
    }

    /// How many rows a comparison has that usually has so many.
    pub(crate) fn rows(&self, usual: u64) -> u64 {
        self.rows.unwrap_or(usual)
    }

    /// Whether a comparison was asked for.
    pub(crate) fn wants(&self, peer: &str, part: &str) -> bool {
        let fits = |asked: &Option<String>, is: &str| asked.as_deref().is_none_or(|asked| asked == is);
        fits(&self.peer, peer) && fits(&self.part, part)
    }
}

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let what = words.next().context(USAGE)?;
    match what.as_str() {
        raw::WRITE => return raw::write(&words.collect::<Vec<_>>()),
        log::client::WORD => return log::client::run(&words.collect::<Vec<_>>()),
        raw::COPY => return raw::copy(&words.collect::<Vec<_>>()),
        _ => {}
    }
    let options = Options::parse(words)?;
    let mut results = Results::new(options.rows.is_none());
    match what.as_str() {
        "files" => files::all(&options, &mut results),
        "postgres" => postgres::all(&options, &mut results),
        "kafka" => kafka::all(&options, &mut results),
        "log" => log::all(&options, &mut results),
        "all" => {
            files::all(&options, &mut results)?;
            postgres::all(&options, &mut results)?;
            kafka::all(&options, &mut results)?;
            log::all(&options, &mut results)
        }
        _ => bail!(USAGE),
    }
}
