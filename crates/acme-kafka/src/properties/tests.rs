use super::*;
use crate::config::{Sasl, ScramHash};

fn parse(pairs: &[(&str, &str)]) -> Result<Properties, Vec<Fault>> {
    Properties::parse(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn client(pairs: &[(&str, &str)]) -> Config {
    let mut config = Config::new(["127.0.0.1:9092"]);
    parse(pairs).unwrap().client(&mut config).unwrap();
    config
}

#[track_caller]
fn refused(pairs: &[(&str, &str)], name: &str, says: &str) {
    let faults = parse(pairs).unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].name, name);
    assert!(faults[0].message.contains(says), "{faults:?}");
    assert!(!format!("{faults:?}").contains("s3cret"), "{faults:?}");
}

#[test]
fn logins_are_read_as_java_writes_them() {
    let plain = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"al\\\"ice\" password='s3 cret';";
    let config = client(&[
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.jaas.config", plain),
    ]);
    assert!(config.security.tls.is_some());
    let Some(Sasl::Plain { username, password }) = config.security.sasl else { panic!("no PLAIN") };
    assert_eq!((username.as_str(), password.reveal()), ("al\"ice", "s3 cret"));
    let scram = "ScramLoginModule required username=bob password=\"x=;y\" ;";
    let config = client(&[
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.jaas.config", scram),
    ]);
    let Some(Sasl::Scram { hash: ScramHash::Sha512, username, password }) = config.security.sasl else {
        panic!("no SCRAM")
    };
    assert_eq!((username.as_str(), password.reveal()), ("bob", "x=;y"));
    assert!(config.security.tls.is_none());
}

#[test]
fn what_is_wrong_is_named_and_no_secret_is_shown() {
    let jaas =
        |text| [("security.protocol", "SASL_SSL"), ("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", text)];
    for text in [
        "PlainLoginModule required username=\"a\" password=\"s3cret\"",
        "PlainLoginModule required username=\"a\" password=\"s3cret;",
        "PlainLoginModule optional username=\"a\" password=\"s3cret\";",
        "ScramLoginModule required username=\"a\" password=\"s3cret\";",
        "PlainLoginModule required password=\"s3cret\";",
        "s3cret;",
    ] {
        refused(&jaas(text), "sasl.jaas.config", "sasl.jaas.config");
    }
    refused(&[("security.protocol", "SASL_SSL")], "sasl.mechanism", "missing");
    refused(&[("sasl.mechanism", "PLAIN")], "sasl.mechanism", "no effect, as security.protocol is PLAINTEXT");
    refused(&[("securty.protocol", "SSL")], "securty.protocol", "no property");
    refused(&[("group.id", "x")], "group.id", "not set here");
    refused(&[("acks", "1")], "acks", "could be lost");
    refused(&[("linger.ms", "soon")], "linger.ms", "whole number");
    refused(&[("compression.type", "brotli")], "compression.type", "\"brotli\" is no value");
    refused(
        &[("max.in.flight.requests.per.connection", "6")],
        "max.in.flight.requests.per.connection",
        "at most 5",
    );
    refused(&[("session.timeout.ms", "1000")], "heartbeat.interval.ms", "less than session.timeout.ms");
    refused(
        &[("security.protocol", "SSL"), ("ssl.truststore.location", "/a/trust.jks")],
        "ssl.truststore.location",
        "Java key store",
    );
    let faults = parse(&[("acks", "0"), ("nope", "1"), ("fetch.min.bytes", "-1")]).unwrap_err();
    assert_eq!(faults.len(), 3, "all are found at once: {faults:?}");
}

#[test]
fn what_means_nothing_here_is_noted() {
    let properties =
        parse(&[("max.poll.records", "10"), ("fetch.min.bytes", "7"), ("key.deserializer", "X")]).unwrap();
    let names: Vec<&str> = properties.notes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["max.poll.records", "key.deserializer"]);
    let mut options = FetchOptions::default();
    properties.fetch(&mut options).unwrap();
    assert_eq!(options.min_bytes, 7);
}

#[test]
fn settings_reach_what_they_are_for() {
    let properties = parse(&[
        ("group.protocol", "consumer"),
        ("group.remote.assignor", "range"),
        ("group.instance.id", "w1"),
        ("isolation.level", "read_uncommitted"),
        ("compression.type", "zstd"),
        ("linger.ms", "0"),
        ("client.id", "me"),
        ("request.timeout.ms", "1500"),
    ])
    .unwrap();
    let mut member = MemberOptions::new("g", crate::group::Subscription::topics(["t"]));
    properties.member(&mut member).unwrap();
    assert_eq!(member.protocol, Protocol::Consumer(Some("range".to_owned())));
    assert_eq!(member.instance_id.as_deref(), Some("w1"));
    let mut fetch = FetchOptions::default();
    properties.fetch(&mut fetch).unwrap();
    assert_eq!(fetch.isolation, Isolation::ReadUncommitted);
    let producer = properties.producer().unwrap();
    assert_eq!((producer.linger, producer.compression), (Some(Duration::ZERO), Some(Compression::Zstd)));
    let config = client(&[("client.id", "me"), ("request.timeout.ms", "1500")]);
    assert_eq!((config.client_id.as_str(), config.request_timeout), ("me", Duration::from_millis(1500)));
    let cooperative = parse(&[(
        "partition.assignment.strategy",
        "org.apache.kafka.clients.consumer.CooperativeStickyAssignor,range",
    )]);
    cooperative.unwrap().member(&mut member).unwrap();
    assert_eq!(member.protocol, Protocol::Classic(vec![Assignor::CooperativeSticky, Assignor::Range]));
}

#[test]
fn a_properties_file_is_read_as_java_reads_it() {
    let text = "# a comment\n! another\n\na=1\n b : 2\nc 3\nd=x\\\n   y\ne=\\tq\\\\\nf=\n";
    let pairs = read_file(text);
    let shown: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(shown, ["a=1", "b=2", "c=3", "d=xy", "e=\tq\\", "f="]);
}
