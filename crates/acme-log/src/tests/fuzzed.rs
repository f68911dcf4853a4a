//! Images of data directories that were damaged: they open as what they still are, or not at all.

use super::*;
use crate::fuzz;
use acme_lab::damage::{corpus, in_little_memory, refused};

/// Directories of every kind that a crash leaves, each with its checksums as they are and to be mended.
fn examples() -> Vec<(String, Vec<u8>)> {
    let mut examples = Vec::new();
    let mut put = |name: &str, machine: &Machine| {
        let files: Vec<_> =
            machine.disk.files("").into_iter().filter(|(path, _)| !path.ends_with("lock")).collect();
        for flags in [0, 1] {
            examples.push((format!("{name}-{flags}"), fuzz::image(flags, &files)));
        }
    };
    let machine = Machine::default();
    let (log, partition) = one(&machine, &[]);
    partition.append(value(1, "one"), CLIENT).unwrap();
    partition.append(batch(Stamp::NONE, Compression::Lz4, &[(2, Some("k"), None); 3]), CLIENT).unwrap();
    log.sync_now();
    put("one-segment", &machine);
    log.close();
    put("clean", &machine);

    let machine = Machine::default();
    let own = [("internal.segment.bytes", "300"), ("index.interval.bytes", "1")];
    let (log, partition) = one(&machine, &own);
    for number in 0..8 {
        let stamp = producer(5, 0, number, number % 4 != 3);
        let bytes = batch(stamp, Compression::None, &[(i64::from(number), None, Some("v"))]);
        partition.append(bytes, Writer::Coordinator).ok();
        if number % 4 == 2 {
            partition.end_transaction(5, 0, number > 4, 1).unwrap();
        }
    }
    log.sync_now();
    put("transactions", &machine);
    log.housekeep();
    put("sealed", &machine);
    partition.delete_before(5).unwrap();
    put("deleted", &machine);

    let machine = Machine::default();
    let own = [
        ("internal.segment.bytes", "300"),
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0"),
    ];
    let (log, partition) = one(&machine, &own);
    for number in 0..8 {
        let key = ["a", "b"][number % 2];
        partition
            .append(batch(Stamp::NONE, Compression::None, &[(1, Some(key), Some("v"))]), CLIENT)
            .unwrap();
    }
    log.sync_now();
    (0..3).for_each(|_| log.housekeep());
    put("compacted", &machine);
    examples
}

#[test]
fn damaged_directories_open_as_what_they_still_are_and_nothing_worse() {
    if !in_little_memory("tests::fuzzed::damaged_directories_open_as_what_they_still_are_and_nothing_worse") {
        return;
    }
    let mut refusals = 0;
    for (name, bytes) in corpus(env!("CARGO_MANIFEST_DIR"), "recovery", &examples()) {
        if !name.starts_with("found-") {
            assert!(fuzz::recovery(&bytes), "{name}: undamaged it opens");
        } else {
            // It comes back.
            let _ = fuzz::recovery(&bytes);
        }
        // Of what keeps its old checksums little else than them is reached, and the others are parts of these.
        if name.starts_with("found-") || ["compacted-1", "deleted-1", "sealed-1"].contains(&&*name) {
            refusals += refused(&bytes, 1, fuzz::recovery);
        }
    }
    assert!(refusals > 2_000, "{refusals}");
}
