//! Clusters, topics and rights that are not as the pipeline needs them: each is one message, before anything has moved.

use super::World;
use crate::harness::{Place, text};
use acme_lab::kafka::{Kafka, PASSWORD, Tls, USER};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};

/// A pipeline; each side is `brokers: […], topic: …` and what else is given.
fn write(place: &Place, source: &str, destination: &str) {
    let text = format!(
        "name: p\nmode: batch\nsources:\n  - {{type: kafka, name: in, start_offset: earliest, {source}}}\n\
         destinations:\n  - {{type: kafka, name: out, {destination}}}\n"
    );
    place.write("p.yaml", &text);
}

/// What is said where it must fail: one message, with a place in the file and a remedy, and no secret.
#[track_caller]
pub(super) fn refused(place: &Place, arguments: &[&str]) -> String {
    let output = place.acme(arguments);
    let said = text(&output.stderr);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{arguments:?}: {:?}: {said}", output.status);
    assert_eq!(said.matches("error[").count(), 1, "{arguments:?}: one message: {said}");
    assert!(said.contains("\n  help: "), "{arguments:?}: {said}");
    for never in ["panicked", "sesame", PASSWORD, "INTERNAL", "A0999"] {
        assert!(!said.contains(never), "{arguments:?}: {never}: {said}");
    }
    said[said.find("error[").expect("it was counted")..].to_owned()
}

/// Both the check and the run must fail with this in their message, and at this place.
#[track_caller]
fn both_refuse(place: &Place, at: &str, words: &[&str]) {
    for arguments in [&["validate", "--online", "p.yaml"][..], &["run", "p.yaml"]] {
        let said = refused(place, arguments);
        assert!(said.contains(&format!("--> p.yaml:{at}")), "{arguments:?}: {at}: {said}");
        for word in words {
            assert!(said.contains(word), "{arguments:?}: {word}: {said}");
        }
    }
}

#[test]
fn a_topic_that_is_not_there_is_named_with_its_place() {
    let world = World::start();
    world.topic("in", 1);
    world.topic("out", 1);
    world.produce(&["-t", "in"], "{\"id\":1}\n");
    let brokers = format!("brokers: [\"{}\"], ", world.kafka.bootstrap());
    let pipeline = |source: &str, destination: &str| {
        write(&world.place, &format!("{brokers}{source}"), &format!("{brokers}{destination}"));
    };
    pipeline("topic: nowhere", "topic: out");
    both_refuse(
        &world.place,
        "4:",
        &["error[A0302]: the cluster has no topic \"nowhere\"", "acme topics create"],
    );
    pipeline("topics: [in, nowhere]", "topic: out");
    both_refuse(&world.place, "4:", &["no topic \"nowhere\""]);
    pipeline("topic_pattern: \"zz.*|i\"", "topic: out");
    both_refuse(
        &world.place,
        "4:",
        &["no topic that the user may see matches \"zz.*|i\"", "acme topics list"],
    );
    pipeline("topic: in", "topic: nowhere");
    both_refuse(&world.place, "6:", &["the cluster has no topic \"nowhere\"", "create: {}"]);
    pipeline("topic: in", "topic: \"no way\", create: {}");
    both_refuse(&world.place, "6:", &["cannot look at topic \"no way\": the name of the topic is invalid"]);
    pipeline("topic: in", "topic: new, create: {replication_factor: 3}");
    both_refuse(&world.place, "6:", &["cannot create topic \"new\"", "REPLICATION_FACTOR"]);
    assert_eq!(world.consume("out", "%s\n"), "", "nothing was written");
    // Nothing was committed by what failed, and nothing was made by looking.
    pipeline("topic: in", "topic: new, create: {}");
    world.place.acme_ok(&["validate", "--online", "p.yaml"]);
    assert!(!world.topics().contains("new"));
    world.place.acme_ok(&["run", "p.yaml"]);
    assert_eq!(world.consume("new", "%s\n"), "{\"id\":1}\n");
}

/// A server that is none of Kafka; it says this when it is spoken to, or keeps silent.
fn impostor(says: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has one").to_string();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            if says.is_empty() {
                held.push(stream);
                continue;
            }
            let mut heard = [0; 16];
            let _ = stream.read(&mut heard);
            let _ = stream.write_all(says.as_bytes());
            let _ = stream.shutdown(Shutdown::Write);
            // What was not read would reset the connection.
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    address
}

#[test]
fn a_broker_that_is_none_is_named_soon() {
    let world = World::start();
    world.topic("in", 1);
    world.topic("out", 1);
    world.produce(&["-t", "in"], "{\"id\":1}\n");
    let dead = format!("127.0.0.1:{}", acme_lab::free_port().expect("one is free"));
    let good = format!("brokers: [\"{}\"], ", world.kafka.bootstrap());
    let soon =
        "properties: {default.api.timeout.ms: \"1000\", socket.connection.setup.timeout.ms: \"2000\"}, ";
    let web = impostor("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nWhat?");
    let silent = impostor("");
    for (broker, words) in [
        (&*dead, &["error[A0301]: cannot reach Kafka at", "refused"][..]),
        ("no-such-host.invalid:9092", &["error[A0301]", "no-such-host.invalid:9092", "lookup"]),
        (&*web, &["error[A0301]", "does not follow the protocol"]),
        (&*silent, &["error[A0301]", "within 2000 ms"]),
    ] {
        let bad = format!("brokers: [\"{broker}\"], {soon}");
        write(&world.place, &format!("{bad}topic: in"), &format!("{good}topic: out"));
        both_refuse(&world.place, "4:", words);
        write(&world.place, &format!("{good}topic: in"), &format!("{bad}topic: out"));
        both_refuse(&world.place, "6:", words);
    }
    // Without any setting the check does not take long either.
    let began = std::time::Instant::now();
    write(&world.place, &format!("brokers: [\"{dead}\"], topic: in"), &format!("{good}topic: out"));
    refused(&world.place, &["validate", "--online", "p.yaml"]);
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    // One that answers is enough.
    let some =
        format!("brokers: [\"{dead}\", \"no-such-host.invalid:9092\", \"{}\"], ", world.kafka.bootstrap());
    write(&world.place, &format!("{some}topic: in"), &format!("{good}topic: out"));
    world.place.acme_ok(&["validate", "--online", "p.yaml"]);
    world.place.acme_ok(&["run", "p.yaml"]);
    assert_eq!(world.consume("out", "%s\n"), "{\"id\":1}\n");
}

/// A cluster whose second listener wants TLS, a login and rights.
fn guarded() -> Kafka {
    Kafka::options()
        .tls(Tls::Server)
        .sasl()
        .set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
        .set("super.users", "User:ANONYMOUS")
        .start()
        .expect("Kafka starts")
}

fn properties(protocol: &str, mechanism: &str, password: &str, authority: &str) -> String {
    let module = if mechanism == "PLAIN" { "plain.PlainLoginModule" } else { "scram.ScramLoginModule" };
    let mut text = format!("properties: {{security.protocol: {protocol}");
    if !mechanism.is_empty() {
        text += &format!(
            ", sasl.mechanism: {mechanism}, sasl.jaas.config: 'org.apache.kafka.common.security.{module} required \
             username=\"{USER}\" password=\"{password}\";'"
        );
    }
    if !authority.is_empty() {
        text += &format!(", ssl.truststore.type: PEM, ssl.truststore.location: {authority}");
    }
    text + ", default.api.timeout.ms: \"1000\"}, "
}

#[test]
fn logins_encryption_and_rights_that_are_missing_are_named() {
    let world = World { kafka: guarded(), place: Place::new() };
    world.topic("in", 1);
    world.topic("out", 1);
    world.produce(&["-t", "in"], "{\"id\":1}\n");
    let (plain, secured) = (world.kafka.bootstrap(), world.kafka.secured());
    let authority = world.kafka.authority().display().to_string();
    let good = format!("brokers: [\"{plain}\"], ");
    let stranger = world.kafka.client_certificate().display().to_string();
    for (broker, given, words) in [
        (
            &secured,
            properties("SASL_SSL", "PLAIN", "sesame", &authority),
            &["login at", "sasl.jaas.config"][..],
        ),
        (
            &secured,
            properties("SASL_SSL", "SCRAM-SHA-256", "sesame", &authority),
            &["login at", "credentials"],
        ),
        (
            &secured,
            properties("SASL_SSL", "PLAIN", PASSWORD, &stranger),
            &["TLS with", "certificate", "`ssl.*`"],
        ),
        (&secured, properties("SASL_SSL", "PLAIN", PASSWORD, ""), &["TLS with", "certificate"]),
        (&secured, properties("SASL_SSL", "PLAIN", PASSWORD, "/nowhere"), &["/nowhere", "`ssl.*`"]),
        (&secured, properties("SSL", "", "", &authority), &["closed", "wants TLS or a login"]),
        (&secured, properties("SASL_PLAINTEXT", "PLAIN", "sesame", ""), &["is this a listener for TLS"]),
        (&secured, properties("PLAINTEXT", "", "", ""), &["is this a listener for TLS"]),
        (&plain, properties("SASL_PLAINTEXT", "PLAIN", "sesame", ""), &["takes no login"]),
        (&plain, properties("SSL", "", "", &authority), &["TLS with", "that the port speaks TLS"]),
    ] {
        let bad = format!("brokers: [\"{broker}\"], {given}");
        write(&world.place, &format!("{bad}topic: in"), &format!("{good}topic: out"));
        both_refuse(&world.place, "4:", words);
    }
    for (given, words) in [
        (properties("SASL_SSL", "GSSAPI", "sesame", &authority), "none of PLAIN, SCRAM-SHA-256"),
        (properties("SASL_SLL", "PLAIN", "sesame", &authority), "SASL_SLL"),
    ] {
        let bad = format!("brokers: [\"{secured}\"], {given}");
        write(&world.place, &format!("{bad}topic: in"), &format!("{good}topic: out"));
        let output = world.place.acme(&["validate", "p.yaml"]);
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(words), "{said}");
        assert!(!said.contains("sesame"), "{said}");
    }
    rights(
        &world,
        &format!("brokers: [\"{secured}\"], {}", properties("SASL_SSL", "PLAIN", PASSWORD, &authority)),
    );
}

/// Grants one right after the other: each is missed by its name, until nothing is.
fn rights(world: &World, side: &str) {
    // A coordinator that was never asked before takes its time.
    let side = &side.replace(", default.api.timeout.ms: \"1000\"", "");
    let grant = |arguments: &[&str]| {
        let user = format!("User:{USER}");
        let arguments = [&["--add", "--force", "--allow-principal", &user], arguments].concat();
        let mut tool =
            world.kafka.tool("org.apache.kafka.tools.AclCommand", &arguments).expect("it is there");
        acme_lab::run(&mut tool).expect("it is granted");
    };
    let read =
        ["error[A0302]: the user has no right to Read on the topic \"in\"", "--operation Read --topic in"];
    let member = ["no right to Read on the group \"acme-p\"", "--operation Read --group acme-p"];
    let write_out = ["no right to Write on the topic \"out\"", "--operation Write --topic out"];
    write(
        &world.place,
        &format!("{side}topic: in"),
        &format!("brokers: [\"{}\"], topic: out", world.kafka.bootstrap()),
    );
    both_refuse(&world.place, "4:", &read);
    grant(&["--operation", "Describe", "--topic", "in", "--topic", "out"]);
    both_refuse(&world.place, "4:", &read);
    grant(&["--operation", "Read", "--topic", "in"]);
    both_refuse(&world.place, "4:", &member);
    grant(&["--operation", "Read", "--group", "acme-p"]);
    world.place.acme_ok(&["validate", "--online", "p.yaml"]);
    write(&world.place, &format!("{side}topic: in"), &format!("{side}topic: out"));
    let output = world.place.acme(&["validate", "--online", "p.yaml"]);
    let said = text(&output.stderr);
    assert!(!output.status.success() && write_out.iter().all(|word| said.contains(word)), "{said}");
    let said = refused(&world.place, &["run", "p.yaml"]);
    assert!(said.contains("transactional id") && said.contains("the operation Write"), "{said}");
    let transactions = ["--transactional-id", "acme-p", "--resource-pattern-type", "prefixed"];
    grant(&[&["--operation", "Write"][..], &transactions].concat());
    let said = refused(&world.place, &["run", "p.yaml"]);
    assert!(said.contains("\"out\"") && said.contains("Write"), "{said}");
    grant(&["--operation", "Write", "--topic", "out"]);
    let output = world.place.acme(&["validate", "--online", "p.yaml"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
    assert_eq!(world.consume("out", "%s\n"), "", "nothing came of what was refused");
    world.place.acme_ok(&["run", "p.yaml"]);
    assert_eq!(world.consume("out", "%s\n"), "{\"id\":1}\n", "and nothing was lost");
}
