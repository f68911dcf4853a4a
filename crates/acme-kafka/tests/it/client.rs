//! Reaching a cluster, logging in, finding leaders, administration.

use crate::{NODE, client, topic};
use acme_kafka::admin::{ConfigEntry, NewTopic, Resource};
use acme_kafka::config::{Identity, Pem, ScramHash, TokenFuture, TokenProvider};
use acme_kafka::{At, Client, Config, CoordinatorKind, ErrorCode, Isolation, Sasl, Tls, TopicPartition};
use acme_lab::kafka::{Kafka, OLD_VERSION, PASSWORD, USER};
use acme_types::Secret;
use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn produce(kafka: &Kafka, topic: &str, lines: &str) {
    feed(kafka, &["-t", topic], lines);
}

/// Has kcat write lines.
pub(crate) fn feed(kafka: &Kafka, arguments: &[&str], lines: &str) {
    let mut command = kafka.kcat(&[&["-P", "-X", "acks=all"], arguments].concat()).unwrap();
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

type Configs = BTreeMap<String, ConfigEntry>;

#[tokio::test]
async fn a_topic_is_created_described_changed_and_deleted() {
    let client = client().await;
    let new = NewTopic::new("life", 2).with("retention.ms", "60000");
    let id = client.create_topic(&new).await.unwrap();
    assert!(!id.is_nil());
    let error = client.create_topic(&new).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TOPIC_ALREADY_EXISTS), "{error}");
    assert_eq!(client.leader(&TopicPartition::new("life", 1)).await.unwrap().topic_id, id);

    let resource = Resource::Topic("life".to_owned());
    let names = ["retention.ms", "cleanup.policy"];
    // The controller has taken it; the broker that is asked learns of it a moment later.
    let when = async |is_there: fn(&Configs) -> bool| {
        for _ in 0..3000 {
            let configs = client.describe_configs(&resource, Some(&names)).await.unwrap();
            if is_there(&configs) {
                return configs;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the broker has not learned of it");
    };
    let configs = when(|configs| configs["retention.ms"].value.as_deref() == Some("60000")).await;
    assert!(!configs["retention.ms"].is_default);
    assert!(configs["cleanup.policy"].is_default);
    let changes = [("retention.ms", None), ("cleanup.policy", Some("compact"))];
    client.alter_configs(&resource, &changes).await.unwrap();
    let configs = when(|configs| configs["cleanup.policy"].value.as_deref() == Some("compact")).await;
    assert!(configs["retention.ms"].is_default);
    let error = client.alter_configs(&resource, &[("retention.ms", Some("soon"))]).await.unwrap_err();
    assert!(error.to_string().contains("soon"), "{error}");

    client.create_partitions("life", 3).await.unwrap();
    assert!(client.create_partitions("life", 3).await.is_err());
    client.delete_topic("life").await.unwrap();
    let error = client.delete_topic("life").await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), "{error}");
}

#[tokio::test]
async fn offsets_are_listed_by_place_and_time() {
    let client = client().await;
    let name = topic(&client, 1).await;
    let partition = TopicPartition::new(name.as_str(), 0);
    produce(&NODE, &name, "a\nb\nc\n");
    let of = async |at| {
        let asked = [(partition.clone(), at)];
        client.list_offsets(&asked, Isolation::ReadCommitted).await.unwrap()[&partition]
    };
    assert_eq!(of(At::Earliest).await.offset, 0);
    assert_eq!(of(At::Latest).await.offset, 3);
    let first = of(At::Time(0)).await;
    assert_eq!((first.offset, first.leader_epoch), (0, 0));
    assert_eq!(of(At::Time(first.timestamp + 3_600_000)).await.offset, 3, "a time after the end is the end");
    assert_eq!(client.delete_records(&partition, 2).await.unwrap(), 2);
    assert_eq!(of(At::Earliest).await.offset, 2);
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_named_and_not_created() {
    let client = client().await;
    let error = client.leader(&TopicPartition::new("nowhere", 0)).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    assert!(error.to_string().contains("nowhere/0"), "{error}");
    assert!(!client.all_topics().await.unwrap().topics.contains_key("nowhere"));
}

#[tokio::test]
async fn coordinators_are_found_on_old_and_new_clusters() {
    let old = Kafka::options().version(OLD_VERSION).start().unwrap();
    for bootstrap in [old.bootstrap(), NODE.bootstrap()] {
        let client = Client::connect(Config::new([bootstrap])).await.unwrap();
        for kind in [CoordinatorKind::Group, CoordinatorKind::Transaction] {
            assert_eq!(client.coordinator(kind, "k").await.unwrap(), 1);
        }
        client.create_topic(&NewTopic::new("again", 1)).await.unwrap();
        client.delete_topic("again").await.unwrap();
    }
}

#[tokio::test]
async fn nobody_at_home_is_said_within_the_time_allowed() {
    let mut config = Config::new([format!("127.0.0.1:{}", acme_lab::free_port().unwrap())]);
    config.operation_timeout = Duration::from_millis(500);
    let error = Client::connect(config).await.unwrap_err();
    assert!(error.to_string().contains("could be reached"), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn the_leader_is_found_again_when_its_broker_dies() {
    let mut kafka = Kafka::cluster(3).unwrap();
    let mut config = Config::new(kafka.bootstrap().split(',').map(str::to_owned).collect::<Vec<_>>());
    config.request_timeout = Duration::from_secs(5);
    let client = Client::connect(config).await.unwrap();
    client.create_topic(&NewTopic::new("orders", 1)).await.unwrap();
    let partition = TopicPartition::new("orders", 0);
    let before = client.leader(&partition).await.unwrap();
    kafka.kill(u8::try_from(before.broker).unwrap()).unwrap();
    // The cached leader is dead; the list must come from its successor.
    let listed = client.list_offsets(&[(partition.clone(), At::Latest)], Isolation::ReadCommitted).await;
    assert_eq!(listed.unwrap()[&partition].offset, 0);
    let after = client.leader(&partition).await.unwrap();
    assert_ne!(after.broker, before.broker);
    assert!(after.epoch > before.epoch);
}

/// A login to the secured listener with these settings.
async fn enter(kafka: &Kafka, tls: Option<Tls>, sasl: Option<Sasl>) -> acme_kafka::Result<Client> {
    let mut config = Config::new([kafka.secured()]);
    config.operation_timeout = Duration::from_secs(5);
    config.security.tls = tls;
    config.security.sasl = sasl;
    Client::connect(config).await
}

/// Asks for a token as a real provider does: later.
#[derive(Debug)]
struct Tokens;

impl TokenProvider for Tokens {
    fn token(&self) -> TokenFuture<'_> {
        Box::pin(async {
            tokio::task::yield_now().await;
            // {"alg":"none"} . {"sub":"acme","iat":1600000000,"exp":4000000000}
            let claims = "eyJzdWIiOiJhY21lIiwiaWF0IjoxNjAwMDAwMDAwLCJleHAiOjQwMDAwMDAwMDB9";
            Ok(Secret::new(format!("eyJhbGciOiJub25lIn0.{claims}.")))
        })
    }
}

#[tokio::test]
async fn every_mechanism_lets_in_who_knows_the_password_and_nobody_else() {
    let kafka = Kafka::options().sasl().start().unwrap();
    let username = USER.to_owned();
    for (word, expected) in [(PASSWORD, true), ("wrong", false)] {
        let password = Secret::new(word.to_owned());
        let scram = |hash| Sasl::Scram { hash, username: username.clone(), password: password.clone() };
        let plain = Sasl::Plain { username: username.clone(), password: password.clone() };
        for sasl in [plain, scram(ScramHash::Sha256), scram(ScramHash::Sha512)] {
            let mechanism = sasl.mechanism();
            let result = enter(&kafka, None, Some(sasl)).await;
            assert_eq!(result.is_ok(), expected, "{mechanism} {word}: {result:?}");
            if let Err(error) = result {
                assert!(matches!(error, acme_kafka::Error::Auth { .. }), "{error}");
                assert!(!error.to_string().contains(word), "{error}");
            }
        }
    }
    let bearer = |token: Arc<dyn TokenProvider>| Sasl::OauthBearer { token, extensions: Vec::new() };
    enter(&kafka, None, Some(bearer(Arc::new(Tokens)))).await.unwrap();
    let expired = Secret::new("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIiwiaWF0IjoxLCJleHAiOjJ9.".to_owned());
    let error = enter(&kafka, None, Some(bearer(Arc::new(expired)))).await.unwrap_err();
    assert!(error.to_string().contains("login at"), "{error}");
    assert!(enter(&kafka, None, None).await.is_err(), "without any security");
}

#[tokio::test]
async fn tls_checks_the_broker_and_shows_a_certificate_where_it_is_wanted() {
    let pem = |path: std::path::PathBuf| Pem::File(path.display().to_string());
    for kind in [acme_lab::kafka::Tls::Server, acme_lab::kafka::Tls::Mutual] {
        let kafka = Kafka::options().tls(kind).start().unwrap();
        let anonymous = Tls { authorities: Some(pem(kafka.authority())), ..Tls::default() };
        let result = enter(&kafka, Some(anonymous.clone()), None).await;
        assert_eq!(result.is_ok(), kind == acme_lab::kafka::Tls::Server, "{result:?}");
        let certificates = pem(kafka.client_certificate());
        let identity = Some(Identity { certificates, key: pem(kafka.client_key()) });
        enter(&kafka, Some(Tls { identity, ..anonymous }), None).await.unwrap();
        let error = enter(&kafka, Some(Tls::default()), None).await.unwrap_err();
        assert!(
            error.to_string().starts_with("TLS with"),
            "the system's authorities did not sign it: {error}"
        );
        let error = enter(&kafka, None, None).await.unwrap_err();
        assert!(error.to_string().contains("is this a listener for TLS"), "{error}");
    }
}
