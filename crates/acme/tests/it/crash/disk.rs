//! A server whose disk fails or is full: real faults, made by strace and by small file systems. That takes root, as in CI.

use super::load::{World, all, config, wall_ms};
use super::process::{self, Process};
use super::recorder::{Recorder, log};
use super::runtime;
use crate::disk::Small;
use crate::harness::Place;
use crate::lives::until;
use acme_check::{Final, Outcome, Step};
use acme_kafka::admin::NewTopic;
use acme_kafka::kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use acme_kafka::kafka_protocol::messages::{ProduceRequest, TopicName};
use acme_kafka::kafka_protocol::protocol::StrBytes;
use acme_kafka::records::{BatchBuilder, Compression, Stamp};
use acme_kafka::{Client, ErrorCode, Isolation, Purpose, TopicPartition};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The exit code of a process whose disk has failed.
const EXIT_DISK: i32 = 74;
/// Partitions that are written to, by one client each.
const WRITERS: i32 = 3;

fn world(port: u16) -> World {
    let bootstrap = format!("127.0.0.1:{port}");
    World { recorder: Arc::new(Recorder::default()), bootstrap, stop: Arc::default() }
}

/// One record, asked for once: the code that the server answers, and the offset.
async fn ask(
    client: &Client,
    partition: i32,
    value: u64,
    padding: usize,
) -> acme_kafka::Result<(ErrorCode, i64)> {
    let mut builder = BatchBuilder::with_capacity(100);
    let text = format!("{}{value:020}", "x".repeat(padding));
    builder.push(wall_ms(), None, Some(text.as_bytes()), &[]);
    let records = builder.finish(Compression::None).expect("it is small").stamped(Stamp::NONE).concat();
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(records.into()));
    let name = TopicName(StrBytes::from_static_str("plain"));
    let topic = TopicProduceData::default().with_name(name).with_partition_data(vec![data]);
    let request =
        ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
    let leader = client.leader(&TopicPartition::new("plain", partition)).await?;
    let connection = client.connection(leader.broker, Purpose::Control).await?;
    let response = connection.send_at(&request, 9, Duration::from_secs(60)).await?;
    let answer = &response.responses[0].partition_responses[0];
    Ok((ErrorCode(answer.error_code), answer.base_offset))
}

/// Writes to a partition until the server is gone, or refuses.
async fn write(world: World, partition: i32, padding: usize) -> Option<ErrorCode> {
    let process = world.recorder.process();
    let mut config = config(&world.bootstrap);
    // When it is gone it does not come again.
    config.operation_timeout = Duration::from_secs(1);
    let client = Client::connect(config).await.expect("it listens");
    loop {
        let value = world.recorder.value();
        let begun = world.recorder.now();
        let told = ask(&client, partition, value, padding).await;
        let (outcome, offset, end) = match told {
            Ok((ErrorCode::NONE, offset)) => (Outcome::Done, Some(offset), None),
            // It had no place: it is nowhere. After another fault nobody knows.
            Ok((code, _)) if padding > 0 => (Outcome::Refused, None, Some(Some(code))),
            Ok((code, _)) => (Outcome::Unknown, None, Some(Some(code))),
            Err(_) => (Outcome::Unknown, None, Some(None)),
        };
        let step = Step::Send { log: log("plain", partition), value, offset };
        world.recorder.add(process, begun, outcome, false, vec![step]);
        if let Some(end) = end {
            return end;
        }
    }
}

async fn everything(world: &World) -> BTreeMap<TopicPartition, Vec<(i64, u64)>> {
    let client = world.client().await;
    let from = (0..WRITERS).map(|number| (TopicPartition::new("plain", number), 0)).collect();
    let found = all(&client, Isolation::ReadUncommitted, &from).await;
    let plain =
        |records: Vec<(Vec<u8>, i64, u64)>| records.into_iter().map(|(_, at, value)| (at, value)).collect();
    found.into_iter().map(|(part, records)| (part, plain(records))).collect()
}

/// All that was acknowledged is there, and nothing that was refused.
fn judge(world: &World, found: BTreeMap<TopicPartition, Vec<(i64, u64)>>) {
    let mut history = world.recorder.history();
    for (part, records) in found {
        history.finals.push(Final { log: log("plain", part.partition), committed: false, records });
    }
    let faults = acme_check::faults(&history);
    assert!(faults.is_empty(), "{:#?}", faults.iter().map(ToString::to_string).collect::<Vec<_>>());
}

#[test]
fn after_a_failed_sync_the_server_ends_and_everything_acknowledged_is_there() {
    let (place, port) = (Place::new(), process::port());
    let (world, runtime) = (world(port), runtime());
    let mut server = Process::start(&place, port, None);
    server.listens();
    runtime.block_on(async {
        let topic = NewTopic::new("plain", WRITERS).with("internal.segment.bytes", "5000");
        world.client().await.create_topic(&topic).await.unwrap();
    });
    server.kill();
    let (mut in_start, mut under_load) = (0, 0);
    for (call, number) in [
        ("fdatasync", 1),
        ("fsync", 1),
        ("fdatasync", 4),
        ("fdatasync", 9),
        ("fsync", 6),
        ("fdatasync", 40),
        ("fsync", 12),
        ("fdatasync", 133),
    ] {
        let plain = process::command(&place, port);
        let fault = format!("{call}:error=EIO:when={number}");
        let program = plain.get_program().to_str().unwrap();
        let mut command = acme_lab::strace::command(&fault, &[], &place.path("calls"), program).unwrap();
        command.args(plain.get_args()).current_dir(place.path("."));
        let mut server = Process::spawn(command);
        until("it listens or has ended", || !server.is_alive() || server.said().contains("listening on"));
        if server.is_alive() {
            let writers: Vec<_> =
                (0..WRITERS).map(|part| runtime.spawn(write(world.clone(), part, 0))).collect();
            until("the disk fails", || !server.is_alive());
            for writer in writers {
                let _ = runtime.block_on(writer).unwrap();
            }
        }
        let (status, said) = server.end();
        assert!(said.contains("Input/output error"), "{call} {number}: {said}");
        if said.contains("listening on") {
            assert_eq!(status.code(), Some(EXIT_DISK), "{said}");
            under_load += 1;
        } else {
            assert!(!status.success(), "{said}");
            in_start += 1;
        }
    }
    let acknowledged = world.recorder.acknowledged();
    println!(
        "{in_start} syncs failed at the start, {under_load} under load; {acknowledged} records acknowledged"
    );
    assert!(in_start > 1 && under_load > 2 && acknowledged > 50);
    let mut server = Process::start(&place, port, None);
    server.listens();
    let found = runtime.block_on(everything(&world));
    judge(&world, found);
}

#[test]
fn a_full_disk_refuses_to_write_serves_reads_and_goes_on_when_there_is_space() {
    let (place, port) = (Place::new(), process::port());
    let small = Small::mount(place.path("log"), "3m");
    let (world, runtime) = (world(port), runtime());
    let mut server = Process::start(&place, port, None);
    server.listens();
    runtime.block_on(async {
        let topic = NewTopic::new("plain", WRITERS).with("internal.segment.bytes", "150000");
        world.client().await.create_topic(&topic).await.unwrap();
    });
    let fill = || {
        let writers: Vec<_> =
            (0..WRITERS).map(|part| runtime.spawn(write(world.clone(), part, 9_000))).collect();
        writers.into_iter().map(|writer| runtime.block_on(writer).unwrap()).collect::<Vec<_>>()
    };
    for room in ["3m", "4m", "5m"] {
        small.remount(&format!("size={room}"));
        let before = world.recorder.acknowledged();
        let codes = fill();
        // KAFKA_STORAGE_ERROR
        assert_eq!(codes, vec![Some(ErrorCode(56)); 3], "{room}");
        assert!(world.recorder.acknowledged() > before + 20, "{room}: there was space for some");
        let found = runtime.block_on(everything(&world));
        let count: usize = found.values().map(Vec::len).sum();
        assert_eq!(count as u64, world.recorder.acknowledged(), "{room}: all of it can be read");
        assert!(server.is_alive());
    }
    server.kill();
    // Full as it is it says so, or serves what there is.
    let mut server = Process::start(&place, port, None);
    until("it listens or has ended", || !server.is_alive() || server.said().contains("listening on"));
    if server.is_alive() {
        server.kill();
    } else {
        let said = server.said();
        assert!(said.contains("No space left on device") && said.contains("make room"), "{said}");
    }
    small.remount("size=16m");
    let mut server = Process::start(&place, port, None);
    server.listens();
    let before = world.recorder.acknowledged();
    let writers: Vec<_> = (0..WRITERS).map(|part| runtime.spawn(write(world.clone(), part, 0))).collect();
    until("it writes again", || world.recorder.acknowledged() > before + 20);
    server.kill();
    for writer in writers {
        let _ = runtime.block_on(writer).unwrap();
    }
    world.stop.store(true, Ordering::Relaxed);
    let mut server = Process::start(&place, port, None);
    server.listens();
    let found = runtime.block_on(everything(&world));
    judge(&world, found);
}
