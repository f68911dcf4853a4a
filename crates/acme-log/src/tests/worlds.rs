//! Lives of one partition on a disk that loses its power at any operation, and writes back in any order what was not synced.
//! After each restart the log must be what was appended in its last life, to the byte: all that was ever served, perhaps more,
//! and nothing else.

use super::*;
use crate::producers::Producers;

const SEEDS: u64 = 1_000;

/// A batch that was appended, as it must lie there.
#[derive(Clone)]
struct Put {
    header: BatchHeader,
    bytes: Vec<u8>,
    marker: Option<bool>,
}

#[derive(Default)]
struct Model {
    puts: Vec<Put>,
    /// What was shown to a reader or acknowledged.
    served: i64,
    log_start: i64,
    /// What a deletion that was not answered may have made it.
    log_start_max: i64,
    epoch: i32,
}

/// What happened, so that a run that tests nothing is noticed.
#[derive(Debug, Default)]
struct Counts {
    power_cuts: u64,
    kills: u64,
    closes: u64,
    cut_batches: u64,
    crashed_recoveries: u64,
    recycled: u64,
}

impl Model {
    fn end(&self) -> i64 {
        self.puts.last().map_or(0, |put| put.header.next_offset())
    }

    fn producers(&self) -> Producers {
        let mut producers = Producers::default();
        for put in &self.puts {
            match put.marker {
                None => producers.appended(&put.header),
                Some(commit) => drop(producers.ended(&put.header, commit, 7)),
            }
        }
        producers
    }

    /// The bytes between two offsets.
    fn bytes(&self, from: i64, to: i64) -> Vec<u8> {
        let inside = |put: &&Put| put.header.last_offset() >= from && put.header.base_offset < to;
        self.puts.iter().filter(inside).flat_map(|put| put.bytes.clone()).collect()
    }
}

fn check(what: &str, right: bool) -> Result<(), String> {
    if right { Ok(()) } else { Err(what.to_owned()) }
}

struct Lives {
    machine: Machine,
    rng: Rng,
    model: Model,
    counts: Counts,
    /// Text of equal length for each batch.
    next: u64,
    /// All batches have the same length and one record: where one was, another fits.
    equal: bool,
}

fn run(seed: u64, mistake: Option<Mistake>, counts: &mut Counts) -> Result<(), String> {
    let machine = Machine { mistake, ..Machine::default() };
    let mut rng = Rng(seed);
    let segment = (250 + rng.below(600)).to_string();
    let mut own = vec![("internal.segment.bytes", segment.as_str()), ("index.interval.bytes", "100")];
    if rng.one_in(2) {
        own.push(("retention.bytes", "1500"));
    }
    let equal = rng.one_in(2);
    let (log, _) = one(&machine, &own);
    let counts_before = std::mem::take(counts);
    let mut lives = Lives { machine, rng, model: Model::default(), counts: counts_before, next: 0, equal };
    lives.model.epoch = 1;
    let result = lives.all(log);
    *counts = lives.counts;
    result
}

impl Lives {
    fn all(&mut self, mut log: Log) -> Result<(), String> {
        for _ in 0..5 {
            if !self.rng.one_in(4) {
                let operations = self.rng.below(120);
                self.machine.disk.crash_in(operations);
            }
            self.live(&log)?;
            let orderly = self.rng.one_in(4) && !self.machine.disk.crashed();
            if orderly {
                log.close();
                if !self.machine.disk.crashed() {
                    self.counts.closes += 1;
                    self.model.served = self.model.end();
                }
            }
            drop(log);
            log = self.restart()?;
            self.compare(&log)?;
        }
        Ok(())
    }

    /// Appends and so on, until the power goes or it was enough.
    fn live(&mut self, log: &Log) -> Result<(), String> {
        let partition = partition(log);
        for _ in 0..10 + self.rng.below(60) {
            if self.machine.disk.crashed() {
                return Ok(());
            }
            match self.rng.below(20) {
                0..10 => self.append(&partition)?,
                10..15 => log.sync_now(),
                15 => log.housekeep(),
                16 => self.delete(&partition),
                _ => self.read(&partition)?,
            }
            self.model.served = self.model.served.max(partition.marks().high_watermark);
            self.model.log_start = self.model.log_start.max(partition.marks().log_start);
        }
        Ok(())
    }

    fn append(&mut self, partition: &Partition) -> Result<(), String> {
        let producer_id = i64::try_from(self.rng.below(3)).unwrap();
        let known = partition.producers().into_iter().find(|it| it.producer_id == producer_id);
        let open = known.is_some_and(|it| it.transaction_start >= 0);
        let base = partition.end();
        let now = self.machine.now();
        if open && self.rng.one_in(3) {
            let commit = self.rng.one_in(2);
            let appended = partition.end_transaction(producer_id, 0, commit, 7);
            return self.appended(appended, base, Some(commit), |_| {
                acme_records::marker(producer_id, 0, commit, 7, now)
            });
        }
        self.next += 1;
        let text = format!("{:08}", self.next);
        let stamp = match self.rng.below(3) {
            _ if self.equal => Stamp::NONE,
            0 if !open => Stamp::NONE,
            _ => producer(
                producer_id,
                0,
                known.map_or(0, |it| it.last_sequence + 1),
                open || self.rng.one_in(2),
            ),
        };
        let records: Vec<_> = (0..1 + self.rng.below(if self.equal { 1 } else { 2 }))
            .map(|_| (now, None, Some(text.as_str())))
            .collect();
        let bytes = batch(stamp, Compression::None, &records);
        let came = bytes.to_vec();
        let appended = partition.append(bytes, Writer::Coordinator);
        self.appended(appended, base, None, |_| came)
    }

    fn appended(
        &mut self,
        appended: Result<crate::Appended, crate::AppendError>,
        base: i64,
        marker: Option<bool>,
        bytes: impl FnOnce(()) -> Vec<u8>,
    ) -> Result<(), String> {
        let appended = match appended {
            Ok(appended) => appended,
            Err(_) if self.machine.disk.crashed() => return Ok(()),
            Err(error) => return Err(format!("an append is refused: {error}")),
        };
        check("offsets follow each other", appended.base_offset == base)?;
        let mut bytes = bytes(());
        acme_records::stamp(&mut bytes, base, self.model.epoch);
        let header = BatchHeader::parse(&bytes).unwrap().unwrap();
        self.model.puts.push(Put { header, bytes, marker });
        Ok(())
    }

    fn delete(&mut self, partition: &Partition) {
        let marks = partition.marks();
        let span = u64::try_from(marks.high_watermark - marks.log_start).unwrap();
        let offset = marks.log_start + i64::try_from(self.rng.below(span + 1)).unwrap();
        self.model.log_start_max = self.model.log_start_max.max(offset);
        let _ = partition.delete_before(offset);
    }

    fn read(&mut self, partition: &Partition) -> Result<(), String> {
        let marks = partition.marks();
        let mut from = marks.log_start;
        let mut found = Vec::new();
        while from < marks.high_watermark {
            let limit = usize::try_from(self.rng.below(400)).unwrap();
            let slice = match partition.read(from, limit, Until::HighWatermark) {
                Ok(slice) => slice,
                Err(_) if self.machine.disk.crashed() => return Ok(()),
                Err(error) => return Err(format!("a read fails: {error}")),
            };
            let Some(last) = headers(&slice.bytes).last().copied() else { break };
            from = last.next_offset();
            found.extend_from_slice(&slice.bytes);
        }
        check("what is read is what was appended", found == self.model.bytes(marks.log_start, from))
    }

    /// The next life. Recovery itself may lose its power too.
    fn restart(&mut self) -> Result<Log, String> {
        loop {
            if self.rng.one_in(4) {
                self.counts.kills += 1;
                self.machine.disk.kill();
            } else {
                self.counts.power_cuts += 1;
                self.machine.disk.reboot(&mut self.rng);
            }
            if self.rng.one_in(3) {
                let operations = self.rng.below(25);
                self.machine.disk.crash_in(operations);
            }
            match Log::open(Path::new("/data"), self.machine.options()) {
                Ok(log) if !self.machine.disk.crashed() => {
                    self.machine.disk.kill();
                    return Ok(log);
                }
                Err(error) if !self.machine.disk.crashed() => {
                    return Err(format!("it does not open: {error}"));
                }
                _ => self.counts.crashed_recoveries += 1,
            }
        }
    }

    fn compare(&mut self, log: &Log) -> Result<(), String> {
        let partition = partition(log);
        if let Some(damage) = partition.damage() {
            return Err(format!("it is offline: {damage}"));
        }
        let end = partition.end();
        check("what was served is there", end >= self.model.served)?;
        check("nothing is there that was not appended", end <= self.model.end())?;
        let before = self.model.puts.len();
        self.model.puts.retain(|put| put.header.base_offset < end);
        self.counts.cut_batches += (before - self.model.puts.len()) as u64;
        check("batches are whole", self.model.end() == end)?;
        let log_start = partition.marks().log_start;
        check("what was deleted stays away", log_start >= self.model.log_start)?;
        self.model.log_start = log_start;
        let (found, expected) = (partition.producers(), self.model.producers().shown());
        check(
            &format!("producers are those of the batches: {found:?}, not {expected:?}"),
            found == expected,
        )?;
        let stable = self.model.producers().last_stable(end);
        check("the last stable offset is that of the batches", partition.marks().last_stable == stable)?;
        let newest = self.model.puts.iter().map(|put| put.header.leader_epoch).max().unwrap_or(0);
        check("the leader epoch grows", partition.leader_epoch() > newest)?;
        self.model.epoch = partition.leader_epoch();
        self.model.served = end;
        self.counts.recycled += self.machine.disk.files(".spare").len() as u64;
        self.read(&partition)
    }
}

#[test]
fn whatever_the_disk_keeps_the_log_is_what_was_appended() {
    let mut counts = Counts::default();
    let seeds = std::env::var("ACME_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in seeds.map_or(1..=SEEDS, |seed| seed..=seed) {
        if let Err(fault) = run(seed, None, &mut counts) {
            panic!("{fault}: ACME_SEED={seed} cargo test -p acme-log");
        }
    }
    println!("{counts:?}");
    if seeds.is_none() {
        assert!(counts.power_cuts > 1_000 && counts.kills > 500 && counts.closes > 200, "{counts:?}");
        assert!(counts.cut_batches > 1_000 && counts.crashed_recoveries > 300, "{counts:?}");
    }
}

/// The first world that shows a mistake.
fn found(mistake: Mistake) -> Option<(u64, String)> {
    (1..=SEEDS).find_map(|seed| {
        // It may also run into an assertion.
        let outcome = std::panic::catch_unwind(|| run(seed, Some(mistake), &mut Counts::default()));
        let fault = outcome.unwrap_or_else(|_| Err("an assertion".to_owned())).err();
        fault.map(|fault| (seed, fault))
    })
}

#[test]
fn the_checker_finds_what_is_planted() {
    for mistake in
        [Mistake::SameEpoch, Mistake::AnyOffset, Mistake::NoCut, Mistake::ServeAppended, Mistake::NoDirSync]
    {
        let (seed, fault) = found(mistake).unwrap_or_else(|| panic!("{mistake:?} is not found"));
        println!("{mistake:?}: in world {seed}: {fault}");
    }
}

/// Two crashes, batches of equal length: the first life's third batch reaches the disk without its second; the second life writes another
/// second one at the same place.
#[test]
fn a_batch_of_an_earlier_life_never_follows_a_new_one() {
    let play = |mistake| {
        let machine = Machine { mistake, ..Machine::default() };
        let (log, partition) = one(&machine, &[]);
        partition.append(value(1, "first"), CLIENT).unwrap();
        log.sync_now();
        let synced = machine.disk.files("0.log")[0].clone();
        partition.append(value(1, "aaaaa"), CLIENT).unwrap();
        partition.append(value(1, "bbbbb"), CLIENT).unwrap();
        let whole = machine.disk.files("0.log")[0].1.clone();
        drop(log);
        let length = synced.1.len();
        let mut kept = whole.clone();
        kept[length..length + (whole.len() - length) / 2].fill(0);
        machine.disk.put(&synced.0, &kept);
        machine.disk.kill();
        let log = machine.open();
        assert_eq!(super::partition(&log).end(), 1);
        super::partition(&log).append(value(1, "ccccc"), CLIENT).unwrap();
        log.sync_now();
        drop(log);
        machine.disk.kill();
        let log = machine.open();
        values(&all(&super::partition(&log), Until::End))
    };
    assert_eq!(play(None), ["first", "ccccc"]);
    assert_eq!(play(Some(Mistake::NoCut)).len(), 3, "without the cut the dead batch comes back");
}
