//! The client against real clusters.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

mod client;
mod fetch;
mod group;
mod judge;
mod produce;
mod tokens;
mod transaction;

use acme_kafka::admin::NewTopic;
use acme_kafka::{Client, Config};
use acme_lab::kafka::Kafka;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// One node for all tests that neither disturb it nor need another.
static NODE: LazyLock<Kafka> = LazyLock::new(|| Kafka::start().unwrap());

/// A client of the common node.
async fn client() -> Client {
    Client::connect(Config::new([NODE.bootstrap()])).await.unwrap()
}

/// A new topic of the common node, with a name of its own.
async fn topic(client: &Client, partitions: i32) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
    client.create_topic(&NewTopic::new(&name, partitions)).await.unwrap();
    name
}
