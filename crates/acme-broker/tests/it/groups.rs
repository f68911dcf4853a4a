//! Groups with our client in both protocols, with `kcat` and with Kafka's own tools, through restarts of the broker.

use crate::clients::{kcat, run, shown};
use crate::support::{PATIENCE, Server, batch};
use acme_broker::{GroupOptions, Options};
use acme_kafka::group::{Assignor, Event, Member, MemberOptions, OffsetAndMetadata, Protocol, Subscription};
use acme_kafka::{Client, Config, TopicPartition};
use acme_lab::kafka;
use acme_records::{Compression, Stamp};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Sessions that end soon.
fn quick(options: &mut Options) {
    options.groups = GroupOptions {
        session_min_ms: 100,
        consumer_session_ms: 3_000,
        consumer_interval_ms: 200,
        ..GroupOptions::default()
    };
}

async fn client(server: &Server) -> Client {
    Client::connect(Config::new([server.bootstrap()])).await.unwrap()
}

fn options(protocol: &Protocol, instance: Option<&str>) -> MemberOptions {
    let mut options = MemberOptions::new("g", Subscription::topics(["t"]));
    options.protocol = protocol.clone();
    options.instance_id = instance.map(str::to_owned);
    options.session_timeout = Duration::from_secs(3);
    options.heartbeat_interval = Duration::from_millis(200);
    options.metadata_interval = Duration::from_millis(500);
    options
}

/// A member that does what it is told and remembers what it has.
struct Worker {
    member: Arc<Member>,
    owned: Arc<Mutex<BTreeSet<i32>>>,
    task: JoinHandle<()>,
}

impl Worker {
    fn start(client: &Client, options: MemberOptions) -> Self {
        let member = Arc::new(Member::join(client, options));
        let owned: Arc<Mutex<BTreeSet<i32>>> = Arc::default();
        let (inner, mine) = (Arc::clone(&member), Arc::clone(&owned));
        let task = tokio::spawn(async move {
            let numbers =
                |parts: &[TopicPartition]| parts.iter().map(|part| part.partition).collect::<Vec<_>>();
            loop {
                match inner.event().await.unwrap() {
                    Event::Assigned(parts) => mine.lock().unwrap().extend(numbers(&parts)),
                    Event::Lost(parts) => {
                        let lost = numbers(&parts);
                        mine.lock().unwrap().retain(|part| !lost.contains(part));
                    }
                    Event::Revoking { partitions, done } => {
                        let revoked = numbers(&partitions);
                        mine.lock().unwrap().retain(|part| !revoked.contains(part));
                        done.done();
                    }
                }
            }
        });
        Self { member, owned, task }
    }

    fn count(&self) -> usize {
        self.owned.lock().unwrap().len()
    }

    async fn leave(self) {
        self.task.abort();
        let _ = self.task.await;
        if let Ok(member) = Arc::try_unwrap(self.member) {
            member.leave().await;
        }
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn apart(a: &Worker, b: &Worker) -> bool {
    a.owned.lock().unwrap().is_disjoint(&b.owned.lock().unwrap())
}

async fn share_and_restart(protocol: Protocol) {
    let mut server = Server::with(quick).await;
    server.topic("t", 6, &[]);
    let client = client(&server).await;
    let a = Worker::start(&client, options(&protocol, None));
    until("everything", || a.count() == 6).await;
    let b = Worker::start(&client, options(&protocol, None));
    until("halves", || a.count() == 3 && b.count() == 3).await;
    assert!(apart(&a, &b));
    let part = TopicPartition::new("t", *a.owned.lock().unwrap().first().unwrap());
    let value = OffsetAndMetadata { metadata: "note".to_owned(), ..OffsetAndMetadata::new(7) };
    a.member.commit(&[(part.clone(), value)]).await.unwrap();
    server.restart().await;
    // They go on where they were; the group is not made anew.
    let described = client.describe_group("g").await.unwrap().unwrap();
    assert_eq!(described.members.len(), 2, "{described:?}");
    let found = client.committed("g", None, true).await.unwrap();
    assert_eq!((found[&part].offset, found[&part].metadata.as_str()), (7, "note"));
    b.leave().await;
    until("everything again", || a.count() == 6).await;
    a.leave().await;
    assert!(client.describe_group("g").await.unwrap().unwrap().members.is_empty());
    client.delete_group("g").await.unwrap();
    assert!(client.list_groups().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_classic_group_shares_and_survives_a_restart() {
    share_and_restart(Protocol::Classic(vec![Assignor::CooperativeSticky])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_group_shares_and_survives_a_restart() {
    share_and_restart(Protocol::Consumer(None)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_member_that_dies_and_comes_back_has_its_partitions_without_a_rebalance() {
    let server = Server::with(quick).await;
    server.topic("t", 4, &[]);
    let client = client(&server).await;
    let protocol = Protocol::Classic(vec![Assignor::CooperativeSticky]);
    let a = Worker::start(&client, options(&protocol, Some("a")));
    let b = Worker::start(&client, options(&protocol, Some("b")));
    until("halves", || a.count() == 2 && b.count() == 2).await;
    let had = b.owned.lock().unwrap().clone();
    // A static member stays in the group when it leaves.
    b.leave().await;
    let again = Worker::start(&client, options(&protocol, Some("b")));
    until("the same", || *again.owned.lock().unwrap() == had).await;
    assert_eq!(a.count(), 2);
    again.leave().await;
    a.leave().await;
}

fn fill(server: &Server) {
    for number in 0..4 {
        let log = Arc::clone(server.log.topics().partition("t", number).unwrap());
        let records = batch(&[b"one", b"two", b"three"], Compression::None, Stamp::NONE);
        log.append((&records[..]).into(), acme_log::Writer::Client { guard: None }).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_and_the_console_consumer_read_as_groups_and_kafkas_tool_shows_them() {
    let mut server = Server::with(quick).await;
    server.topic("t", 4, &[]);
    fill(&server);
    let read = shown(&run(kcat(&server, &["-G", "kcats", "-o", "beginning", "-e", "-q", "t"]), "").await);
    assert_eq!(read.lines().count(), 12, "{read}");
    for protocol in ["classic", "consumer"] {
        let group = format!("java-{protocol}");
        let setting = format!("group.protocol={protocol}");
        let arguments = [
            "--topic",
            "t",
            "--group",
            &group,
            "--from-beginning",
            "--max-messages",
            "12",
            "--timeout-ms",
            "100000",
            "--command-property",
            &setting,
        ];
        let console =
            kafka::tool("org.apache.kafka.tools.consumer.ConsoleConsumer", &arguments, &server.bootstrap());
        let read = shown(&run(console.unwrap(), "").await);
        assert_eq!(read.lines().count(), 12, "{protocol}: {read}");
    }
    server.restart().await;
    let tool = |arguments: &[&str]| {
        let class = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
        kafka::tool(class, arguments, &server.bootstrap()).unwrap()
    };
    let described = shown(&run(tool(&["--describe", "--all-groups"]), "").await);
    for group in ["java-classic", "java-consumer"] {
        let lines: Vec<&str> = described.lines().filter(|line| line.starts_with(group)).collect();
        assert_eq!(lines.len(), 4, "{described}");
        let columns = |line: &&str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert!(lines.iter().map(columns).all(|of| of[3..6] == ["3", "3", "0"]), "{described}");
    }
    let listed = shown(&run(tool(&["--list", "--state"]), "").await);
    assert!(
        listed.lines().any(|line| line.starts_with("java-consumer") && line.contains("Empty")),
        "{listed}"
    );
    let reset = ["--reset-offsets", "--group", "java-classic", "--topic", "t", "--to-earliest", "--execute"];
    let reset = shown(&run(tool(&reset), "").await);
    assert_eq!(reset.lines().filter(|line| line.contains("java-classic")).count(), 4, "{reset}");
    let deleted = shown(&run(tool(&["--delete", "--group", "java-consumer"]), "").await);
    assert!(deleted.contains("successful"), "{deleted}");
}
