use super::*;
use crate::config::{Pem, Sasl, ScramHash};

fn settings(text: &str) -> Result<Settings, Vec<String>> {
    let shown = |faults: Vec<Fault>| {
        faults.into_iter().map(|it| format!("{}; {}", it.message, it.help.unwrap_or_default())).collect()
    };
    Properties::parse(text).settings().map_err(shown)
}

#[test]
fn a_clients_file_is_understood() {
    let settings = settings(
        r#"bootstrap.servers=a:1, b:2
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
  username="u" password="p=1;";
ssl.truststore.location=/ca.pem
ssl.endpoint.identification.algorithm=
request.timeout.ms=1500
group.id=g
isolation.level=read_committed
partition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor,range
auto.offset.reset=by_duration:P1DT2H
acks=all
compression.type=zstd
max.poll.records=5
"#,
    )
    .unwrap();
    assert_eq!(settings.client.bootstrap, ["a:1", "b:2"]);
    assert_eq!(settings.client.request_timeout, Duration::from_millis(1500));
    let tls = settings.client.security.tls.unwrap();
    assert!(!tls.verify_host);
    assert!(matches!(tls.authorities, Some(Pem::File(path)) if path == "/ca.pem"));
    let Some(Sasl::Scram { hash: ScramHash::Sha512, username, password }) = settings.client.security.sasl
    else {
        panic!("{:?}", settings.client.security.sasl)
    };
    assert_eq!((username.as_str(), password.reveal()), ("u", "p=1;"));
    let consumer = settings.consumer;
    assert_eq!(consumer.group_id.as_deref(), Some("g"));
    assert_eq!(consumer.isolation_level, Some(Isolation::ReadCommitted));
    assert_eq!(consumer.partition_assignment_strategy, ["cooperative-sticky", "range"]);
    assert_eq!(consumer.auto_offset_reset, Some(Reset::ByDuration(Duration::from_secs(93_600))));
    assert_eq!(settings.producer.acks, Some(-1));
    assert_eq!(settings.producer.compression_type.as_deref(), Some("zstd"));
    assert_eq!(
        settings.notes,
        ["max.poll.records has no effect: memory and batches are bounded by Acme itself"]
    );
}

#[test]
fn every_fault_is_said_with_its_remedy() {
    let faults = settings(
        "sasl.mechansim=PLAIN\nfetch.min.bytes=many\nisolation.level=dirty\nsecurity.protocol=SASL_SSL\n\
         ssl.truststore.location=/t.jks\nmy.own=1",
    )
    .unwrap_err();
    let all = faults.join("\n");
    for expected in [
        "unknown property \"sasl.mechansim\"; did you mean \"sasl.mechanism\"?",
        "unknown property \"my.own\"; only names of Kafka's own clients are taken here",
        "fetch.min.bytes is \"many\", which is no whole number from 0 on",
        "isolation.level is \"dirty\", which is none of read_uncommitted, read_committed",
        "ssl.truststore.type is JKS, Kafka's default; stores are read as PEM only; convert it",
        "sasl.mechanism is not set",
    ] {
        assert!(all.contains(expected), "{expected} is not in\n{all}");
    }
    assert_eq!(faults.len(), 6, "{all}");
}

#[test]
fn a_token_endpoint_needs_a_client_and_a_way_that_keeps_its_secret() {
    let text = |url: &str, more: &str| {
        format!(
            "bootstrap.servers=a:1\nsecurity.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\n\
             sasl.oauthbearer.token.endpoint.url={url}\n{more}"
        )
    };
    let client = "sasl.oauthbearer.client.credentials.client.id=i\n\
                  sasl.oauthbearer.client.credentials.client.secret=hunter2";
    let made = settings(&text("https://idp/token", client)).unwrap();
    assert!(matches!(made.client.security.sasl, Some(Sasl::OauthBearer { .. })));
    assert!(!format!("{made:?}").contains("hunter2"));
    for (url, more, expected) in [
        ("https://idp/token", "", "needs a client id and a client secret; set sasl.oauthbearer.client"),
        ("http://idp/token", client, "http would show the client's secret to the network: use https"),
        ("ftp://idp", client, "it begins with none of https://, http:// and file://"),
    ] {
        let faults = settings(&text(url, more)).unwrap_err().join("\n");
        assert!(faults.contains(expected) && !faults.contains("hunter2"), "{faults}");
    }
}

#[test]
fn no_fault_and_no_debug_text_shows_a_password() {
    let text = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\n\
                sasl.jaas.config=x.PlainLoginModule required username=\"u\" password=\"hunter2\"";
    let faults = settings(text).unwrap_err().join("\n");
    assert!(faults.contains("semicolon") && !faults.contains("hunter2"), "{faults}");
    assert!(!format!("{:?}", Properties::parse(text)).contains("hunter2"));
    let scram = format!("{};", text.replace("PLAIN\n", "SCRAM-SHA-256\n"));
    let faults = settings(&scram).unwrap_err().join("\n");
    assert!(faults.contains("PlainLoginModule, but SCRAM-SHA-256 needs ScramLoginModule"), "{faults}");
}

#[test]
fn durations_are_those_of_java() {
    assert_eq!(iso_duration("PT1H30M"), Some(Duration::from_secs(5_400)));
    assert_eq!(iso_duration("p2dt0.5s"), Some(Duration::from_millis(172_800_500)));
    for wrong in ["", "P", "PT", "1H", "PT1X", "PT1M1H", "P1.5D", "PT-1H"] {
        assert_eq!(iso_duration(wrong), None, "{wrong}");
    }
}
