//! The embedded log beside Apache Kafka: both as they come, and each as the other comes, durable or not.
//!
//! Both run at once on the same cores, and one of them is idle while the other is measured. Whether an acknowledgement
//! waits for the disk is a setting of the topic: `flush.messages`, which is 1 where Kafka is to sync each request, and large where
//! Acme is not to.

pub(crate) mod client;
mod table;
mod tools;

use crate::Options;
use crate::acme::{Acme, PATIENCE};
use crate::measure::{Guard, Moment, Readings, high_water_kib, wait};
use crate::results::Results;
use acme_kafka::admin::NewTopic;
use acme_lab::kafka::Kafka;
use acme_lab::{cache, free_port, run};
use anyhow::{Context, Result};
use client::Load;
use std::cell::Cell;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use table::{Aim, Row, SIDES, START, Unit};
use tools::Tool;

/// Sizes of records, with what they are called and how many are written: about a quarter of a gigabyte.
const SIZES: [(usize, &str, u64); 2] = [(100, "100 B", 2_000_000), (1_000, "1 KB", 250_000)];
const PARTITIONS: [(u32, &str); 2] = [(1, "1 partition"), (12, "12 partitions")];
/// Of the usual rows Kafka is given so many where it syncs each request.
const SYNCED_PART: u64 = 4;
/// Of the usual rows Java's tools are given so many: they take the longest.
const JAVA_PART: u64 = 2;
/// The fixed pace: records of 100 B in a second, and how many in all.
const PACE: (u32, u64) = (20_000, 100_000);
/// Starts that are measured.
const STARTS: usize = 5;

/// A side of the table.
#[derive(Clone, Copy, PartialEq)]
struct Side(usize);

const OURS: Side = Side(0);
const THEIRS: Side = Side(2);

impl Side {
    fn all() -> impl Iterator<Item = Self> {
        (0..SIDES.len()).map(Self)
    }

    fn is_ours(self) -> bool {
        self.0 < 2
    }

    /// What its topics are told about the disk.
    fn setting(self) -> Option<&'static str> {
        [None, Some("9223372036854775807"), None, Some("1")][self.0]
    }
}

/// Our server as a process, and its data; both go with it.
struct Server {
    process: Guard,
    address: String,
    folder: PathBuf,
}

impl Server {
    /// Starts it with nothing in it; does not wait.
    fn start(acme: &Acme) -> Result<Self> {
        let port = free_port()?;
        // On the disk that Kafka has.
        let folder = cache()?.join(format!("acme-{}-{port}", std::process::id()));
        let address = format!("127.0.0.1:{port}");
        let data = folder.to_str().context("the folder has a name of letters")?;
        let mut command = acme.of(&["server", "--data", data, "--listen", &address]);
        let process = Guard(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        Ok(Self { process, address, folder })
    }

    fn listens(&self) -> Result<()> {
        let connected = || Ok(TcpStream::connect(&self.address).ok().map(drop));
        wait("acme server listens", Duration::from_millis(1), PATIENCE, connected)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.0.kill();
        let _ = self.process.0.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

struct World {
    kafka: Kafka,
    server: Server,
    /// Topics so far.
    topics: Cell<u32>,
}

pub(crate) fn all(options: &Options, results: &mut Results) -> Result<()> {
    let acme = Acme::new(options.build)?;
    if options.wants("client", "start") {
        starts(&acme, results)?;
    }
    if options.wants("client", "memory") {
        World::start(&acme)?.memory(options, results)?;
    }
    let wanted = |part| Tool::ALL.iter().any(|(peer, _)| options.wants(peer, part));
    if !["write", "read", "pace"].into_iter().any(wanted) {
        return Ok(());
    }
    let world = World::start(&acme)?;
    world.warm()?;
    for (peer, tool) in Tool::ALL {
        for writes in [true, false] {
            if options.wants(peer, if writes { "write" } else { "read" }) {
                world.speed(tool, writes, options, results)?;
            }
        }
    }
    if options.wants("client", "pace") {
        world.pace(false, options, results)?;
        world.pace(true, options, results)?;
    }
    Ok(())
}

impl World {
    fn start(acme: &Acme) -> Result<Self> {
        let kafka = Kafka::options().optimised().set("log.segment.delete.delay.ms", 1000).start()?;
        let server = Server::start(acme)?;
        server.listens()?;
        Ok(Self { kafka, server, topics: Cell::new(0) })
    }

    /// Kafka's machine compiles itself meanwhile; which part is measured first must not matter.
    fn warm(&self) -> Result<()> {
        for side in [THEIRS, OURS] {
            let load = Load { partitions: 12, rows: 2_000_000, size: 100 };
            let topic = self.topic(side, load.partitions)?;
            Tool::Client.write(&self.bootstrap(side), &topic, load)?;
            Tool::Client.read(&self.bootstrap(side), &topic, load)?;
            self.remove(side, &topic)?;
        }
        Ok(())
    }

    fn bootstrap(&self, side: Side) -> String {
        if side.is_ours() { self.server.address.clone() } else { self.kafka.bootstrap() }
    }

    fn topic(&self, side: Side, partitions: u32) -> Result<String> {
        let number = self.topics.get() + 1;
        self.topics.set(number);
        let name = format!("bench-{number}");
        let mut topic = NewTopic::new(&name, i32::try_from(partitions)?).with("retention.ms", "-1");
        if let Some(value) = side.setting() {
            topic = topic.with("flush.messages", value);
        }
        client::block_on(async {
            client::connect(&self.bootstrap(side)).await?.create_topic(&topic).await?;
            Ok(name)
        })
    }

    fn remove(&self, side: Side, topic: &str) -> Result<()> {
        client::block_on(async {
            Ok(client::connect(&self.bootstrap(side)).await?.delete_topic(topic).await?)
        })
    }

    /// One tool at all sizes.
    fn speed(&self, tool: Tool, writes: bool, options: &Options, results: &mut Results) -> Result<()> {
        for (size, size_name, rows) in SIZES {
            for (partitions, partitions_name) in PARTITIONS {
                let part = if matches!(tool, Tool::Java) { JAVA_PART } else { 1 };
                let load = Load { partitions, rows: options.rows(rows) / part, size };
                let sides = if writes {
                    self.writes(tool, load, options.runs)?
                } else {
                    self.reads(tool, load, options.runs)?
                };
                let verb = if writes { "write" } else { "read" };
                let what = format!("{verb} {size_name}, {partitions_name}, {}", tool.name(writes));
                let aim = match (tool, size, writes) {
                    (Tool::Client, 100, true) => Aim::Over(1e6),
                    (Tool::Client, 100, false) => Aim::Over(3e6),
                    (.., true) => Aim::Times(1.0),
                    _ => Aim::None,
                };
                Row { what: &what, sides, unit: Unit::RecordsPerSecond, aim }.put(results)?;
            }
        }
        Ok(())
    }

    /// All sides in turn, each to a topic of its own; afterwards the topic must have what was written.
    fn writes(&self, tool: Tool, load: Load, runs: usize) -> Result<[Readings; 4]> {
        in_turn(runs, Side::all().collect(), |side| {
            let topic = self.topic(side, load.partitions)?;
            let part = if side.0 == 3 { SYNCED_PART } else { 1 };
            let load = Load { rows: load.rows / part, ..load };
            let bootstrap = self.bootstrap(side);
            let rate = tool.write(&bootstrap, &topic, load)?;
            let written = client::written(&bootstrap, &topic, load.partitions)?;
            anyhow::ensure!(
                written == load.rows,
                "{written} of {} records are in {}",
                load.rows,
                SIDES[side.0]
            );
            self.remove(side, &topic)?;
            Ok(rate)
        })
    }

    /// Both logs in turn, each with the same records; reading checks that it gets them all.
    fn reads(&self, tool: Tool, load: Load, runs: usize) -> Result<[Readings; 4]> {
        let mut topics = [(OURS, String::new()), (THEIRS, String::new())];
        for (side, topic) in &mut topics {
            *topic = self.topic(*side, load.partitions)?;
            Tool::Client.write(&self.bootstrap(*side), topic, load)?;
            tool.read(&self.bootstrap(*side), topic, load)?;
        }
        let readings = in_turn(runs, vec![OURS, THEIRS], |side| {
            let (_, topic) = topics.iter().find(|(of, _)| *of == side).context("it has a topic")?;
            tool.read(&self.bootstrap(side), topic, load)
        })?;
        for (side, topic) in &topics {
            self.remove(*side, topic)?;
        }
        Ok(readings)
    }

    /// Acknowledgements at a fixed pace.
    fn pace(&self, is_busy: bool, options: &Options, results: &mut Results) -> Result<()> {
        let mut others = Vec::new();
        if is_busy {
            for _ in 0..std::thread::available_parallelism()?.get() {
                others.push(Guard(client::busy()?.spawn()?));
            }
        }
        let load = Load { partitions: 1, rows: options.rows(PACE.1), size: 100 };
        let mut parts: [[Readings; 4]; 3] = Default::default();
        in_turn(options.runs, Side::all().collect(), |side| {
            let topic = self.topic(side, 1)?;
            let bootstrap = self.bootstrap(side);
            let printed = run(&mut client::command("pace", &bootstrap, &topic, load, Some(PACE.0))?)?;
            for (part, number) in parts.iter_mut().zip(printed.split_whitespace()) {
                part[side.0].push(number.parse()?);
            }
            self.remove(side, &topic)?;
            Ok(0.0)
        })?;
        let names = if is_busy {
            ["p50", "p99", "p999"].map(|part| format!("acknowledged on busy cores, {part}"))
        } else {
            ["p50", "p99", "p999"].map(|part| format!("acknowledged, {part}"))
        };
        for (at, (what, sides)) in names.iter().zip(parts).enumerate() {
            let aim = if at == 1 { Aim::Under(20.0) } else { Aim::None };
            Row { what, sides, unit: Unit::Ms, aim }.put(results)?;
        }
        Ok(())
    }

    /// The largest resident size after all sizes have been written and read by our client.
    fn memory(&self, options: &Options, results: &mut Results) -> Result<()> {
        let mut sides: [Readings; 4] = Default::default();
        for (size, _, rows) in SIZES {
            let load = Load { partitions: 12, rows: options.rows(rows), size };
            for side in [OURS, THEIRS] {
                let bootstrap = self.bootstrap(side);
                for _ in 0..2 {
                    let topic = self.topic(side, 12)?;
                    Tool::Client.write(&bootstrap, &topic, load)?;
                    Tool::Client.read(&bootstrap, &topic, load)?;
                    self.remove(side, &topic)?;
                }
            }
        }
        for (side, process) in [(OURS, self.server.process.0.id()), (THEIRS, self.kafka.process(1)?)] {
            let kib = high_water_kib(process).context("the process runs")?;
            sides[side.0].push(kib as f64 / 1024.0);
        }
        Row { what: "resident memory", sides, unit: Unit::MiB, aim: Aim::Times(10.0) }.put(results)
    }
}

/// Runs sides in turn; who begins changes each time. What one of them has left to the operating system to write is written before
/// the next begins.
fn in_turn(
    runs: usize,
    mut sides: Vec<Side>,
    mut measure: impl FnMut(Side) -> Result<f64>,
) -> Result<[Readings; 4]> {
    let mut readings: [Readings; 4] = Default::default();
    for _ in 0..runs {
        for side in &sides {
            run(&mut Command::new("sync"))?;
            readings[side.0].push(measure(*side)?);
        }
        sides.rotate_left(1);
    }
    Ok(readings)
}

/// From the start of the process, with nothing on the disk, to the first record that is acknowledged.
fn starts(acme: &Acme, results: &mut Results) -> Result<()> {
    let first = |bootstrap: &str| {
        client::block_on(async {
            let topic = NewTopic::new("first", 1);
            client::connect(bootstrap).await?.create_topic(&topic).await?;
            Ok(())
        })?;
        Tool::Client.write(bootstrap, "first", Load { partitions: 1, rows: 1, size: 100 })
    };
    let sides = in_turn(STARTS, vec![OURS, THEIRS], |side| {
        let began = Moment::now();
        if side.is_ours() {
            let server = Server::start(acme)?;
            server.listens()?;
            first(&server.address)?;
            Ok(began.ms())
        } else {
            let kafka = Kafka::options().optimised().start()?;
            first(&kafka.bootstrap())?;
            Ok(began.ms())
        }
    })?;
    Row { what: START, sides, unit: Unit::Ms, aim: Aim::Under(100.0) }.put(results)
}
