//! Clients that we have not written: `kcat` (librdkafka), and the tools of Kafka's distribution.

use crate::support::{PATIENCE, Server};
use acme_lab::kafka;
use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Runs a client to its end, away from the runtime's threads. One that does not end in time is ended, and what it has said so
/// far is shown.
pub(crate) async fn run(mut command: Command, input: &'static str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut given = child.stdin.take().unwrap();
    let stdout = collected(child.stdout.take().unwrap());
    let stderr = collected(child.stderr.take().unwrap());
    let fed = tokio::task::spawn_blocking(move || given.write_all(input.as_bytes()).unwrap());
    let end = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let (stdout, stderr) = (stdout.await.unwrap(), stderr.await.unwrap());
    let status =
        status.unwrap_or_else(|| panic!("the client does not end\n{}\n{}", show(&stdout), show(&stderr)));
    fed.await.unwrap();
    Output { status, stdout, stderr }
}

fn collected(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    tokio::task::spawn_blocking(move || {
        let mut all = Vec::new();
        from.read_to_end(&mut all).unwrap();
        all
    })
}

/// What a client that succeeds has printed.
pub(crate) fn shown(output: &Output) -> String {
    text(output)
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}\n{}", show(&output.stdout), show(&output.stderr));
    show(&output.stdout)
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn kcat(server: &Server, arguments: &[&str]) -> Command {
    kafka::install_kcat().unwrap();
    let mut command = Command::new("kcat");
    command.args(["-b", &server.bootstrap()]).args(arguments);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_produces_in_every_compression_and_reads_everything_back() {
    let server = Server::start().await;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let arguments = ["-P", "-t", "t", "-K", ":", "-z", codec, "-X", "acks=all"];
        text(&run(kcat(&server, &arguments), "k1:v1\nk2:v2\nk3:v3\n").await);
    }
    let read = text(
        &run(kcat(&server, &["-C", "-t", "t", "-o", "beginning", "-e", "-q", "-f", "%o %k %s\n"]), "").await,
    );
    assert_eq!(read.lines().count(), 15, "{read}");
    assert!(read.starts_with("0 k1 v1\n"), "{read}");
    let listed = text(&run(kcat(&server, &["-L"]), "").await);
    assert!(listed.contains("topic \"t\" with 1 partitions"), "{listed}");
    let end = text(&run(kcat(&server, &["-Q", "-t", "t:0:-1"]), "").await);
    assert!(end.contains("t [0] offset 15"), "{end}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_moves_a_megabyte_in_a_record() {
    let server = Server::start().await;
    server.topic("t", 1, &[("max.message.bytes", "8000000")]);
    let file = server.dir().join("large");
    std::fs::write(&file, vec![b'x'; 5_000_000]).unwrap();
    let arguments = ["-P", "-t", "t", "-X", "message.max.bytes=9000000", file.to_str().unwrap()];
    text(&run(kcat(&server, &arguments), "").await);
    let read = text(&run(kcat(&server, &["-C", "-t", "t", "-e", "-q", "-f", "%S\n"]), "").await);
    assert_eq!(read, "5000000\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn kafkas_own_tools_make_describe_alter_and_delete_topics() {
    let server = Server::start().await;
    let topics = |arguments: &[&str]| {
        kafka::tool("org.apache.kafka.tools.TopicCommand", arguments, &server.bootstrap()).unwrap()
    };
    let create = [
        "--create",
        "--topic",
        "t",
        "--partitions",
        "3",
        "--replication-factor",
        "1",
        "--config",
        "retention.ms=5000",
    ];
    assert!(text(&run(topics(&create), "").await).contains("Created topic t."));
    let described = text(&run(topics(&["--describe", "--topic", "t"]), "").await);
    assert!(
        described.contains("PartitionCount: 3\tReplicationFactor: 1\tConfigs: retention.ms=5000"),
        "{described}"
    );
    assert!(described.contains("Partition: 2\tLeader: 1\tReplicas: 1\tIsr: 1"), "{described}");
    let again = run(topics(&create), "").await;
    assert!(show(&again.stdout).contains("already exists"), "{}", show(&again.stdout));
    text(&run(topics(&["--alter", "--topic", "t", "--partitions", "5"]), "").await);
    let fewer = run(topics(&["--alter", "--topic", "t", "--partitions", "2"]), "").await;
    assert!(show(&fewer.stdout).contains("would not be an increase"), "{}", show(&fewer.stdout));
    let configs = kafka::tool(
        "kafka.admin.ConfigCommand",
        &[
            "--alter",
            "--entity-type",
            "topics",
            "--entity-name",
            "t",
            "--add-config",
            "cleanup.policy=[compact,delete]",
        ],
        &server.bootstrap(),
    );
    assert!(text(&run(configs.unwrap(), "").await).contains("Completed updating config for topic t."));
    let described = text(&run(topics(&["--describe", "--topic", "t"]), "").await);
    assert!(
        described.contains("PartitionCount: 5") && described.contains("cleanup.policy=compact,delete"),
        "{described}"
    );
    text(&run(topics(&["--delete", "--topic", "t"]), "").await);
    assert_eq!(text(&run(topics(&["--list"]), "").await).trim(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn kafkas_console_tools_produce_and_consume() {
    let server = Server::start().await;
    server.topic("t", 1, &[]);
    let produce = kafka::tool(
        "org.apache.kafka.tools.ConsoleProducer",
        &["--topic", "t", "--command-property", "enable.idempotence=false", "--command-property", "acks=all"],
        &server.bootstrap(),
    );
    text(&run(produce.unwrap(), "one\ntwo\nthree\n").await);
    let consume = kafka::tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        &[
            "--topic",
            "t",
            "--partition",
            "0",
            "--offset",
            "earliest",
            "--max-messages",
            "3",
            "--timeout-ms",
            "100000",
        ],
        &server.bootstrap(),
    );
    assert_eq!(text(&run(consume.unwrap(), "").await), "one\ntwo\nthree\n");
    let offsets =
        kafka::tool("org.apache.kafka.tools.GetOffsetShell", &["--topic", "t"], &server.bootstrap());
    assert_eq!(text(&run(offsets.unwrap(), "").await).trim(), "t:0:3");
}
