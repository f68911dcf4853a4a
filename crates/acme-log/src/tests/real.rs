//! On the machine's own disk, with threads.

use super::*;
use std::time::Duration;

fn options(open_files: usize) -> Options {
    let mut options = Options::new(Arc::new(|| 1_000_000));
    options.open_files = open_files;
    options.checkpoint = Duration::from_millis(20);
    options.housekeeping = Duration::from_millis(30);
    options
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn many_writers_share_syncs_and_all_of_it_is_there_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let log = Log::open(dir.path(), options(100)).unwrap();
    assert!(matches!(Log::open(dir.path(), options(100)), Err(crate::Error::Locked(_))));
    let topic = log.create_topic("t", 3, map(&[("internal.segment.bytes", "20000")]), false).unwrap();
    let tasks: Vec<_> = (0..30)
        .map(|number| {
            let partition = topic.partitions[number % 3].clone();
            runtime.spawn(async move {
                let mut acknowledged = Vec::new();
                for round in 0..40 {
                    let text = format!("{number}-{round}");
                    let appended = partition.append(value(1, &text), CLIENT).unwrap();
                    appended.durable().await.unwrap();
                    assert!(partition.marks().high_watermark > appended.last_offset);
                    acknowledged.push((appended.base_offset, text));
                }
                (number % 3, acknowledged)
            })
        })
        .collect();
    let acknowledged: Vec<_> = tasks.into_iter().map(|task| runtime.block_on(task).unwrap()).collect();
    // A copy of the directory is what a process that was killed leaves.
    let copy = tempfile::tempdir().unwrap();
    drop(topic);
    drop(log);
    let copied =
        std::process::Command::new("cp").arg("-r").arg(dir.path()).arg(copy.path()).status().unwrap();
    assert!(copied.success());
    let log = Log::open(&copy.path().join(dir.path().file_name().unwrap()), options(100)).unwrap();
    let topic = log.topics().named("t").unwrap().clone();
    for number in 0..3 {
        let partition = &topic.partitions[number];
        assert_eq!(partition.end(), 400);
        let found = records(&all(partition, Until::HighWatermark));
        for (_, texts) in acknowledged.iter().filter(|it| it.0 == number) {
            for (offset, text) in texts {
                assert_eq!(found[usize::try_from(*offset).unwrap()].2, *text);
            }
        }
    }
    log.close();
}

#[test]
fn thousands_of_partitions_need_no_more_threads_and_no_more_open_files() {
    let dir = tempfile::tempdir().unwrap();
    let before = threads();
    let log = Log::open(dir.path(), options(64)).unwrap();
    let topic = log.create_topic("many", 2_000, map(&[("flush.messages", "1000000")]), false).unwrap();
    let running = threads();
    assert!(running <= before + 8 + 20, "{before} threads, then {running}: other tests have some");
    for partition in &topic.partitions {
        partition.append(value(1, "v"), CLIENT).unwrap();
    }
    log.sync_now();
    for partition in &topic.partitions {
        assert_eq!(values(&all(partition, Until::HighWatermark)), ["v"]);
    }
    assert!(topic.partitions[0].shared.files.count() <= 64);
    log.close();
    drop((topic, log));
    let log = Log::open(dir.path(), options(64)).unwrap();
    let topic = log.topics().named("many").unwrap().clone();
    assert!(topic.partitions.iter().all(|partition| partition.end() == 1));
    log.close();
}

#[test]
fn topics_with_a_flush_time_are_synced_then() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(64);
    options.checkpoint = Duration::from_secs(3_600);
    let log = Log::open(dir.path(), options).unwrap();
    let topic = log.create_topic("t", 1, map(&[("flush.ms", "5")]), false).unwrap();
    let partition = &topic.partitions[0];
    partition.append(value(1, "v"), CLIENT).unwrap();
    assert_eq!(partition.marks().high_watermark, 1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut marks = partition.watch();
    runtime.block_on(marks.wait_for(|marks| marks.synced == 1)).unwrap();
    // Who must know does not wait for that.
    log.alter_settings("t", &[("flush.ms".into(), Some("100000000".into()))]).unwrap();
    partition.append(value(1, "w"), CLIENT).unwrap();
    runtime.block_on(partition.flushed()).unwrap();
    assert_eq!(partition.marks().synced, 2);
    log.close();
}
