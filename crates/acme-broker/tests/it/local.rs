//! Our own client, on a connection that is no socket.

use crate::support::{PATIENCE, Server, batch};
use acme_kafka::admin::NewTopic;
use acme_kafka::world::Local;
use acme_kafka::{At, Client, Config, FetchOptions, Fetcher, Isolation, Position, TopicPartition, World};
use acme_records::{Compression, Stamp};
use std::sync::Arc;

pub(crate) async fn client(server: &Server) -> Client {
    let broker = server.broker.clone();
    let mut config = Config::new(["localhost:9092"]);
    config.world = World::Simulated(Arc::new(Local(move || std::future::ready(Ok(broker.connect())))));
    Client::connect(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_works_within_the_process_while_nobody_listens() {
    let server = Server::with(|options| options.listen = None).await;
    assert_eq!(server.broker.address(), None);
    let client = client(&server).await;
    client.create_topic(&NewTopic::new("t", 2).with("retention.ms", "1000000")).await.unwrap();
    let partition = TopicPartition::new("t", 1);
    let log = Arc::clone(server.log.topics().partition("t", 1).unwrap());
    let mut fetcher = Fetcher::new(client.clone(), FetchOptions::default());
    fetcher.assign(&[(partition.clone(), Position::at(0))]);
    for round in 0..3_i64 {
        let records = batch(&[b"a", b"b"], Compression::Lz4, Stamp::NONE);
        log.append((&records[..]).into(), acme_log::Writer::Client { guard: None }).unwrap();
        let fetched = tokio::time::timeout(PATIENCE, fetcher.next()).await.unwrap().unwrap();
        assert_eq!((fetched.records.len(), fetched.next_offset), (2, 2 * round + 2));
    }
    let asked = [(partition.clone(), At::Latest)];
    let listed = client.list_offsets(&asked, Isolation::ReadCommitted).await.unwrap();
    assert_eq!(listed[&partition].offset, 6);
    assert_eq!(client.delete_records(&partition, 4).await.unwrap(), 4);
    client.create_partitions("t", 4).await.unwrap();
    assert_eq!(client.describe_topics(&["t"], 3).await.unwrap()[0].partitions.len(), 4);
    client.delete_topic("t").await.unwrap();
    assert!(server.log.topics().named("t").is_none());
}
