//! One of the two brokers: its connections, and what was said on them.

use super::compare::{Exchange, Names};
use super::tree::Tree;
use crate::support::{PATIENCE, Wire};
use bytes::Buf;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::{Decodable, HeaderVersion, Request};
use std::collections::BTreeMap;
use std::fmt::Debug;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, sleep, timeout};

/// A coordinator is still being made or found: loading, not available, not here.
const SOON: [i16; 3] = [14, 15, 16];
/// `CONCURRENT_TRANSACTIONS`
const CONCURRENT: i16 = 51;

pub(super) struct Side {
    address: String,
    wires: Vec<Wire<TcpStream>>,
    offered: BTreeMap<i16, (i16, i16)>,
    /// What leader epochs are counted from: 0, or the life of the log.
    pub(super) epoch: i32,
    script: &'static str,
    pub(super) exchanges: Vec<Exchange>,
}

impl Side {
    /// `offered` are the versions of our broker, for both.
    pub(super) async fn new(address: &str, offered: BTreeMap<i16, (i16, i16)>, epoch: i32) -> Self {
        let wire = connect(address).await;
        Self {
            address: address.to_owned(),
            wires: vec![wire],
            offered,
            epoch,
            script: "",
            exchanges: Vec::new(),
        }
    }

    /// What follows belongs to this script; its connections are new ones.
    pub(super) async fn begin(&mut self, script: &'static str) {
        self.script = script;
        self.wires = vec![connect(&self.address).await];
    }

    /// The oldest version, one in the middle, and the newest.
    pub(super) fn versions<R: Request>(&self) -> Vec<i16> {
        let (min, max) = self.offered[&R::KEY];
        let mut versions = vec![min, i16::midpoint(min, max), max];
        versions.dedup();
        versions
    }

    pub(super) fn newest<R: Request>(&self) -> i16 {
        self.offered[&R::KEY].1
    }

    /// Asks in three versions.
    pub(super) async fn each<R: Request>(&mut self, label: &str, request: impl Fn(i16) -> R)
    where
        R::Response: Debug + Default,
    {
        for version in self.versions::<R>() {
            self.ask(label, version, &request(version)).await;
        }
    }

    /// Asks in the newest version.
    pub(super) async fn newly<R: Request>(&mut self, label: &str, request: R) -> R::Response
    where
        R::Response: Debug + Default,
    {
        let version = self.newest::<R>();
        self.ask(label, version, &request).await
    }

    /// Asks; the answer, or an empty one if the broker has closed.
    pub(super) async fn ask<R: Request>(&mut self, label: &str, version: i16, request: &R) -> R::Response
    where
        R::Response: Debug + Default,
    {
        self.ask_until(label, version, request, &SOON).await
    }

    /// Asks until the transaction before has ended.
    pub(super) async fn settled<R: Request>(&mut self, label: &str, version: i16, request: &R) -> R::Response
    where
        R::Response: Debug + Default,
    {
        let mut soon = SOON.to_vec();
        soon.push(CONCURRENT);
        self.ask_until(label, version, request, &soon).await
    }

    async fn ask_until<R: Request>(
        &mut self,
        label: &str,
        version: i16,
        request: &R,
        soon: &[i16],
    ) -> R::Response
    where
        R::Response: Debug + Default,
    {
        // The coordinators' topics are made at the beginning; what is said for so long after it is an answer.
        let mut soon = soon.to_vec();
        if self.script.starts_with("transactions::") {
            soon.push(CONCURRENT);
        }
        let patience = if self.script == "ready" { PATIENCE } else { Duration::from_secs(3) };
        let until = Instant::now() + patience;
        loop {
            self.send_on(0, version, request).await;
            let answer = self.answer::<R>(0, version).await;
            let text = answer.as_ref().map(|answer| format!("{answer:?}")).unwrap_or_default();
            if soon.iter().any(|code| text.contains(&format!("error_code: {code},")))
                && Instant::now() < until
            {
                sleep(Duration::from_millis(10)).await;
                continue;
            }
            self.record::<R>(label, version, answer.as_ref());
            return answer.unwrap_or_default();
        }
    }

    /// Waits until a topic's partitions have their leader: Kafka answers that a topic is made before it is.
    pub(super) async fn led(&mut self, name: &str, partitions: i32) {
        let parts: Vec<(i32, i64)> = (0..partitions).map(|number| (number, -1)).collect();
        let request = super::words::list_offsets(name, &parts);
        let version = self.newest::<kafka_protocol::messages::ListOffsetsRequest>();
        let until = Instant::now() + PATIENCE;
        loop {
            self.send_on(0, version, &request).await;
            let answer = self.answer::<kafka_protocol::messages::ListOffsetsRequest>(0, version).await;
            let answer = answer.unwrap_or_default();
            if answer.topics.iter().flat_map(|topic| &topic.partitions).all(|part| part.error_code == 0) {
                return;
            }
            assert!(Instant::now() < until, "{}: {name} has no leaders: {answer:?}", self.address);
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// The epoch of the first member of a group of KIP-848: from Kafka 4.2 on, groups begin at 2.
    pub(super) fn first_member_epoch(&self) -> i32 {
        2 - self.epoch
    }

    /// Sends on the n-th connection of the script, without waiting.
    pub(super) async fn send_on<R: Request>(&mut self, wire: usize, version: i16, request: &R) {
        while self.wires.len() <= wire {
            self.wires.push(connect(&self.address).await);
        }
        self.wires[wire].send(request, version).await;
    }

    /// Takes the answer to what was sent on the n-th connection.
    pub(super) async fn receive_on<R: Request>(
        &mut self,
        wire: usize,
        label: &str,
        version: i16,
    ) -> R::Response
    where
        R::Response: Debug + Default,
    {
        let answer = self.answer::<R>(wire, version).await;
        self.record::<R>(label, version, answer.as_ref());
        answer.unwrap_or_default()
    }

    async fn answer<R: Request>(&mut self, wire: usize, version: i16) -> Option<R::Response> {
        let Ok(frame) = timeout(PATIENCE / 6, self.wires[wire].frame()).await else {
            panic!(
                "{}: {} v{version} is not answered; before it: {:?}",
                self.address,
                R::KEY,
                self.exchanges.last()
            );
        };
        let Some(mut bytes) = frame else {
            self.wires[wire] = connect(&self.address).await;
            return None;
        };
        bytes.advance(4);
        if R::Response::header_version(version) >= 1 {
            assert_eq!(bytes.get_u8(), 0, "no tags");
        }
        let answer = R::Response::decode(&mut bytes, version).unwrap();
        assert!(bytes.is_empty(), "{} bytes are left over", bytes.len());
        Some(answer)
    }

    fn record<R: Request>(&mut self, label: &str, version: i16, answer: Option<&R::Response>)
    where
        R::Response: Debug + Default,
    {
        let tree = answer.map_or_else(|| Tree::leaf("the connection is closed"), Tree::of);
        let api = ApiKey::try_from(R::KEY).map_or_else(|()| R::KEY.to_string(), |key| format!("{key:?}"));
        self.note(format!("{}: {api} v{version}: {label}", self.script), tree);
    }

    fn note(&mut self, what: String, answer: Tree) {
        if std::env::var_os("ACME_SCRIPT").is_some() {
            println!("{}: {what}", self.address);
        }
        // Ids are the same where they are the same within one answer.
        let answer = Names::new(self.epoch).normal(answer);
        self.exchanges.push(Exchange { what, answer });
    }

    /// Sends bytes as they are, on a connection of its own: what comes back, without its correlation id.
    pub(super) async fn raw(&mut self, label: &str, frame: &[u8]) {
        let mut wire = connect(&self.address).await;
        wire.stream.write_all(frame).await.unwrap();
        // Kafka waits for the rest of what is too short; ours, too.
        let answer = timeout(Duration::from_secs(1), wire.frame()).await;
        let answer = answer.map(|bytes| bytes.map(|bytes| bytes.slice(4.min(bytes.len())..)));
        let tree = match &answer {
            Err(_) => Tree::leaf("nothing comes"),
            Ok(None) => Tree::leaf("the connection is closed"),
            Ok(Some(bytes)) => Tree::Leaf(format!("{:02x?}", &bytes[..])),
        };
        self.note(format!("{}: raw: {label}", self.script), tree);
    }
}

async fn connect(address: &str) -> Wire<TcpStream> {
    Wire::new(TcpStream::connect(address).await.unwrap())
}
