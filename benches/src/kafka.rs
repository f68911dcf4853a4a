//! From topic to topic through a filter, beside Apache Flink SQL, Kafka Streams and a pipe of `kcat`; reading and writing
//! beside librdkafka.
//!
//! Times are those of whole processes, but for Flink and Kafka Streams, whose own clock begins when their machine has started;
//! processor time is that of whole processes for all. The broker runs on the same cores and is in nobody's.

use crate::acme::Acme;
use crate::files::milliseconds;
use crate::measure::{Readings, Taken, process};
use crate::results::{Comparison, Per, Results, Verdict};
use crate::{Options, check, raw};
use acme_lab::kafka::Kafka;
use acme_lab::{flink, kafka, rdkafka, run, streams};
use anyhow::{Context, Result};
use std::cell::Cell;
use std::fs::{self, File};
use std::process::Command;

const ROWS: u64 = 2_000_000;
const PARTITIONS: u32 = 4;
/// Copies that are made before anything is measured.
const WARM: usize = 4;
/// Threads, lanes or tasks of each side.
const THREADS: usize = 2;

/// What passes the filter.
#[derive(Clone, Copy, PartialEq)]
enum Passing {
    Purchases,
    All,
}

/// One run of one side: its own milliseconds, and what its process took.
type Run = (f64, Taken);

struct World {
    kafka: Kafka,
    acme: Acme,
    rows: u64,
    /// Output topics so far: each run has its own.
    outputs: Cell<u32>,
}

pub(crate) fn all(options: &Options, results: &mut Results) -> Result<()> {
    let world = World::start(options)?;
    if options.wants("rdkafka", "write") {
        world.writing(options, results)?;
    }
    if options.wants("rdkafka", "read") {
        world.reading(options, results)?;
    }
    if options.wants("pipe", "some") {
        let names = ["Kafka → 1 in 8 → Kafka", "Kafka → 1 in 8 → Kafka, processor time"];
        let peer = "`kcat`, `grep`, `kcat` in a pipe";
        let aims = [Verdict::AtLeast(2.0), Verdict::None];
        world.beside(options, results, names, peer, aims, Passing::Purchases, World::pipe)?;
    }
    if options.wants("flink", "some") {
        let names = ["Kafka → 1 in 8 → Kafka, Flink", "Kafka → 1 in 8 → Kafka, Flink, processor time"];
        let peer = format!("Apache Flink SQL {}", flink::VERSION);
        let aims = [Verdict::None, Verdict::AtLeast(10.0)];
        world.beside(options, results, names, &peer, aims, Passing::Purchases, World::flink)?;
    }
    if options.wants("streams", "some") {
        let names = ["Kafka → 1 in 8 → Kafka, Streams", "Kafka → 1 in 8 → Kafka, Streams, processor time"];
        let peer = format!("Kafka Streams {}", kafka::VERSION);
        let aims = [Verdict::None; 2];
        world.beside(options, results, names, &peer, aims, Passing::Purchases, World::streams)?;
    }
    if options.wants("raw", "all") {
        let names = ["Kafka → all → Kafka", "Kafka → all → Kafka, processor time"];
        let aims = [Verdict::AtLeast(1.0 / 1.3), Verdict::None];
        let peer = "writing alone, by the same client";
        let peaks = world.beside(options, results, names, peer, aims, Passing::All, World::raw)?;
        let under = Verdict::Under(100.0, "MiB");
        results.add(Comparison::alone("memory, Kafka → all → Kafka", peaks, under))?;
    }
    if options.wants("copy", "all") {
        let names = ["Kafka → all → Kafka, copy", "Kafka → all → Kafka, copy, processor time"];
        let peer = "reading and writing alone, by the same client";
        world.beside(options, results, names, peer, [Verdict::None; 2], Passing::All, World::copy)?;
    }
    if options.wants("pipe", "all") {
        let names = ["Kafka → all → Kafka, pipe", "Kafka → all → Kafka, pipe, processor time"];
        let peer = "`kcat`, `grep`, `kcat` in a pipe";
        world.beside(options, results, names, peer, [Verdict::None; 2], Passing::All, World::pipe)?;
    }
    if options.wants("flink", "all") {
        let names = ["Kafka → all → Kafka, Flink", "Kafka → all → Kafka, Flink, processor time"];
        let peer = format!("Apache Flink SQL {}", flink::VERSION);
        world.beside(options, results, names, &peer, [Verdict::None; 2], Passing::All, World::flink)?;
    }
    Ok(())
}

impl World {
    fn start(options: &Options) -> Result<Self> {
        let kafka = Kafka::options().optimised().set("log.segment.delete.delay.ms", 1000).start()?;
        let world =
            Self { kafka, acme: Acme::new(options.build)?, rows: options.rows(ROWS), outputs: Cell::new(0) };
        world.topic("events", PARTITIONS)?;
        world.topic("one", 1)?;
        world.raw("events", Passing::All)?;
        process(&mut raw::writer(&world.kafka.bootstrap(), "one", 1, world.rows)?)?;
        // The broker's machine compiles itself meanwhile; which part is measured first must not matter.
        for _ in 0..WARM {
            world.copy(&world.output()?, Passing::All)?;
        }
        Ok(world)
    }

    fn topic(&self, name: &str, partitions: u32) -> Result<()> {
        raw::topics(&self.kafka.bootstrap(), &[name], &[], partitions)
    }

    /// A topic for the output of one run; that of the run before goes.
    fn output(&self) -> Result<String> {
        let number = self.outputs.get() + 1;
        self.outputs.set(number);
        let before = (number > 1).then(|| format!("out-{}", number - 1));
        let name = format!("out-{number}");
        raw::topics(&self.kafka.bootstrap(), &[&name], before.as_slice(), PARTITIONS)?;
        Ok(name)
    }

    fn ours(&self, to: &str, passing: Passing) -> Result<Run> {
        let condition = match passing {
            Passing::Purchases => "event_type = 'purchase'",
            Passing::All => "event_type IS NOT NULL",
        };
        let brokers = self.kafka.bootstrap();
        let taken = self.acme.run(&format!(
            "name: bench-{to}\nmode: batch\n\
             sources: [{{type: kafka, brokers: [\"{brokers}\"], topic: events, group_id: bench-{to}, format: json, start_offset: earliest}}]\n\
             transforms: [{{type: filter, condition: \"{condition}\"}}]\n\
             destinations: [{{type: kafka, name: out, brokers: [\"{brokers}\"], topic: {to}}}]\nsettings: {{parallelism: {THREADS}}}\n"
        ))?;
        Ok((taken.ms, taken))
    }

    fn pipe(&self, to: &str, passing: Passing) -> Result<Run> {
        let brokers = self.kafka.bootstrap();
        let pattern = match passing {
            Passing::Purchases => "\"event_type\":\"purchase\"",
            Passing::All => "\"event_type\":",
        };
        kafka::install_kcat()?;
        let taken = process(Command::new("sh").args([
            "-c",
            &format!(
                "kcat -C -q -e -b {brokers} -t events -o beginning | grep -F '{pattern}' | kcat -P -b {brokers} -t {to}"
            ),
        ]))?;
        Ok((taken.ms, taken))
    }

    fn flink(&self, to: &str, passing: Passing) -> Result<Run> {
        let columns =
            "(id BIGINT, event_type STRING, `user` ROW<id BIGINT, name STRING>, price DOUBLE, note STRING)";
        let table = |name: &str, topic: &str, more: &str| {
            format!(
                "CREATE TABLE {name} {columns} WITH ('connector'='kafka', 'topic'='{topic}', 'format'='json', \
                 'properties.bootstrap.servers'='{}'{more});\n",
                self.kafka.bootstrap()
            )
        };
        let condition = match passing {
            Passing::Purchases => "event_type = 'purchase'",
            Passing::All => "event_type IS NOT NULL",
        };
        let bounded = ", 'scan.startup.mode'='earliest-offset', 'scan.bounded.mode'='latest-offset'";
        let script = self.acme.path("flink.sql");
        let statement = format!("INSERT INTO passed SELECT * FROM events WHERE {condition};\n");
        fs::write(&script, table("events", "events", bounded) + &table("passed", to, "") + &statement)?;
        self.timed(&mut flink::sql(&script, THREADS)?)
    }

    fn streams(&self, to: &str, passing: Passing) -> Result<Run> {
        let value = if passing == Passing::All { "*" } else { "purchase" };
        let brokers = self.kafka.bootstrap();
        self.timed(&mut streams::filter(&brokers, ("events", to), self.rows, ("event_type", value), THREADS)?)
    }

    fn raw(&self, to: &str, _: Passing) -> Result<Run> {
        let taken = process(&mut raw::writer(&self.kafka.bootstrap(), to, PARTITIONS, self.rows)?)?;
        Ok((taken.ms, taken))
    }

    fn copy(&self, to: &str, _: Passing) -> Result<Run> {
        let bootstrap = self.kafka.bootstrap();
        let taken = process(&mut raw::copier(&bootstrap, "events", to, PARTITIONS, self.rows)?)?;
        Ok((taken.ms, taken))
    }

    /// A peer that prints its own time.
    fn timed(&self, command: &mut Command) -> Result<Run> {
        let printed = self.acme.path("printed");
        let taken = process(command.stdout(File::create(&printed)?))?;
        Ok((milliseconds(&fs::read_to_string(printed)?)?, taken))
    }

    /// Both sides in turn, each into a topic of its own: time and processor time. What we have used of memory is returned.
    #[expect(clippy::too_many_arguments, reason = "one row of the table each")]
    fn beside(
        &self,
        options: &Options,
        results: &mut Results,
        names: [&'static str; 2],
        peer: &str,
        aims: [Verdict; 2],
        passing: Passing,
        theirs: fn(&Self, &str, Passing) -> Result<Run>,
    ) -> Result<Readings> {
        let ours = |_: usize| self.ours(&self.output()?, passing);
        let theirs = |_: usize| theirs(self, &self.output()?, passing);
        // The first run of each shows that both do the same.
        let (mine, other) =
            (ours(0).and_then(|_| self.written(passing))?, theirs(0).and_then(|_| self.written(passing))?);
        check::same(&mine, &other, peer)?;
        self.compare(options, results, (names, peer, aims), ours, theirs)
    }

    fn compare(
        &self,
        options: &Options,
        results: &mut Results,
        (names, peer, aims): ([&'static str; 2], &str, [Verdict; 2]),
        ours: impl Fn(usize) -> Result<Run>,
        theirs: impl Fn(usize) -> Result<Run>,
    ) -> Result<Readings> {
        let mut readings: [Readings; 5] = Default::default();
        for run in 0..options.runs {
            let ((own, taken), (other, of_other)) = if run % 2 == 0 {
                let own = ours(run)?;
                (own, theirs(run)?)
            } else {
                let other = theirs(run)?;
                (ours(run)?, other)
            };
            let all = [own, other, taken.cpu_ms, of_other.cpu_ms, taken.peak_mib];
            readings.iter_mut().zip(all).for_each(|(readings, reading)| readings.push(reading));
        }
        let [own, other, own_cpu, other_cpu, peaks] = readings;
        let sides = [(own, other, Per::Second), (own_cpu, other_cpu, Per::CpuSecond)];
        for ((what, verdict), (ours, theirs, per)) in names.into_iter().zip(aims).zip(sides) {
            results.add(Comparison {
                what,
                beside: peer.to_owned(),
                ours,
                theirs,
                rows: self.rows,
                per,
                verdict,
            })?;
        }
        Ok(peaks)
    }

    /// The ids of the last output, sorted; where all pass only what a reader of committed records counts.
    fn written(&self, passing: Passing) -> Result<Vec<String>> {
        let topic = format!("out-{}", self.outputs.get());
        let arguments = ["-C", "-q", "-e", "-o", "beginning", "-t", &topic];
        let text = run(&mut self.kafka.kcat(&arguments)?)?;
        let id = |line: &str| line.split(',').next().map(str::to_owned);
        let mut ids: Vec<String> = text.lines().filter_map(id).collect();
        ids.sort_unstable();
        let expected =
            if passing == Passing::All { self.rows } else { self.rows.div_ceil(raw::PURCHASE_EVERY) };
        anyhow::ensure!(ids.len() as u64 == expected, "{} of {expected} records are in {topic}", ids.len());
        Ok(ids)
    }

    fn writing(&self, options: &Options, results: &mut Results) -> Result<()> {
        let program = rdkafka::performance()?;
        let theirs = |_| {
            let topic = self.output()?;
            let mut command = Command::new(&program);
            command.args(["-P", "-q", "-s", "250", "-c", &self.rows.to_string()]);
            command.args(["-b", &self.kafka.bootstrap(), "-t", &topic]);
            let taken = process(command.stdout(File::create(self.acme.path("printed"))?))?;
            Ok((taken.ms, taken))
        };
        let ours = |_| self.raw(&self.output()?, Passing::All);
        ours(0)?;
        theirs(0)?;
        let names = ["client → Kafka", "client → Kafka, processor time"];
        let peer = format!("`rdkafka_performance` {}", rdkafka::VERSION);
        self.compare(options, results, (names, &peer, [Verdict::None; 2]), ours, theirs).map(drop)
    }

    fn reading(&self, options: &Options, results: &mut Results) -> Result<()> {
        let program = rdkafka::performance()?;
        let brokers = self.kafka.bootstrap();
        let theirs = |_| {
            let mut command = Command::new(&program);
            command.args([
                "-C",
                "-q",
                "-c",
                &self.rows.to_string(),
                "-o",
                "0",
                "-p",
                "0",
                "-b",
                &brokers,
                "-t",
                "one",
            ]);
            let taken = process(command.stdout(File::create(self.acme.path("printed"))?))?;
            Ok((taken.ms, taken))
        };
        let ours = |run: usize| {
            let taken = self.acme.run(&format!(
                "name: bench-read-{run}\nmode: batch\n\
                 sources: [{{type: kafka, brokers: [\"{brokers}\"], topic: one, group_id: read-{run}, format: raw, start_offset: earliest}}]\n\
                 destinations: [{{type: 'null'}}]\nsettings: {{parallelism: {THREADS}}}\n"
            ))?;
            let moved = self.acme.moved().context("the run says how many rows it moved")?;
            anyhow::ensure!(moved == self.rows, "read {moved} of {}: {}", self.rows, self.acme.said());
            Ok((taken.ms, taken))
        };
        ours(usize::MAX)?;
        theirs(0)?;
        let names = ["Kafka → `null`", "Kafka → `null`, processor time"];
        let peer = format!("`rdkafka_performance` {}", rdkafka::VERSION);
        self.compare(options, results, (names, &peer, [Verdict::None; 2]), ours, theirs).map(drop)
    }
}
