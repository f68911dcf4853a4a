//! Kafka: starts, takes and gives records, survives the loss of a node, asks for what its listeners are to ask for.

use acme_lab::{
    Namespace,
    kafka::{Kafka, OLD_VERSION, PASSWORD, Tls, USER},
    run,
};
use std::io::Write;
use std::process::{Command, Stdio};

/// Feeds lines to a command and returns whether it was content.
fn feed(command: &mut Command, lines: &str) -> bool {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // One that refuses to connect may end before it has read.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    child.wait().unwrap().success()
}

fn produce(kafka: &Kafka, topic: &str, lines: &str) {
    let arguments = ["-P", "-t", topic, "-K", ":", "-X", "acks=all", "-X", "message.timeout.ms=60000"];
    assert!(feed(&mut kafka.kcat(&arguments).unwrap(), lines), "the records are taken");
}

fn consume(kafka: &Kafka, topic: &str) -> String {
    let arguments = ["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%p %o %k=%s\n"];
    run(&mut kafka.kcat(&arguments).unwrap()).unwrap()
}

#[test]
fn a_node_keeps_what_it_took_over_a_kill() {
    let mut kafka = Kafka::start().unwrap();
    kafka.create_topic("orders", 1, &["retention.ms=-1"]).unwrap();
    produce(&kafka, "orders", "a:1\nb:2\n");
    assert_eq!(consume(&kafka, "orders"), "0 0 a=1\n0 1 b=2\n");
    kafka.kill(1).unwrap();
    assert!(run(&mut kafka.kcat(&["-L", "-m", "1"]).unwrap()).is_err(), "a killed node does not answer");
    kafka.restart(1).unwrap();
    assert_eq!(consume(&kafka, "orders"), "0 0 a=1\n0 1 b=2\n");
    kafka.pause(1).unwrap();
    assert!(
        run(&mut kafka.kcat(&["-L", "-m", "1"]).unwrap()).is_err(),
        "a node that stands still does not answer"
    );
    kafka.resume(1).unwrap();
    assert_eq!(consume(&kafka, "orders"), "0 0 a=1\n0 1 b=2\n");
}

#[test]
fn three_nodes_go_on_without_one() {
    let mut kafka = Kafka::cluster(3).unwrap();
    kafka.create_topic("orders", 3, &[]).unwrap();
    produce(&kafka, "orders", "a:1\n");
    kafka.kill(2).unwrap();
    produce(&kafka, "orders", "b:2\nc:3\nd:4\n");
    assert_eq!(consume(&kafka, "orders").lines().count(), 4);
    kafka.restart(2).unwrap();
}

#[test]
fn the_last_version_before_four_runs_too() {
    let kafka = Kafka::options().version(OLD_VERSION).start().unwrap();
    produce(&kafka, "orders", "a:1\n");
    assert_eq!(consume(&kafka, "orders"), "0 0 a=1\n");
    let versions = kafka.tool("kafka.admin.BrokerApiVersionsCommand", &[]).unwrap();
    assert!(run(&mut { versions }).unwrap().contains("Produce(0): 0 to 11"));
}

/// `kcat` on the secured listener.
fn enters(kafka: &Kafka, arguments: &[&str]) -> bool {
    let mut command = Command::new("kcat");
    command.args(["-b", &kafka.secured(), "-P", "-t", "t", "-X", "message.timeout.ms=5000"]).args(arguments);
    feed(&mut command, "x\n")
}

/// Whether Kafka's own client gets in.
fn lists(kafka: &Kafka, mechanism: &str, password: &str) -> bool {
    let file = kafka.folder().join("client.properties");
    let login = "org.apache.kafka.common.security.scram.ScramLoginModule required";
    let text = format!(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism={mechanism}\n\
         sasl.jaas.config={login} username=\"{USER}\" password=\"{password}\";\n"
    );
    std::fs::write(&file, text).unwrap();
    let arguments =
        ["--list", "--bootstrap-server", &kafka.secured(), "--command-config", &file.display().to_string()];
    run(&mut kafka.tool("org.apache.kafka.tools.TopicCommand", &arguments).unwrap()).is_ok()
}

#[test]
fn users_need_their_password() {
    acme_lab::kafka::install_kcat().unwrap();
    let kafka = Kafka::options().sasl().start().unwrap();
    kafka.create_topic("t", 1, &[]).unwrap();
    let user = format!("sasl.username={USER}");
    for (password, expected) in [(PASSWORD, true), ("wrong", false)] {
        let password = format!("sasl.password={password}");
        let arguments = ["security.protocol=SASL_PLAINTEXT", "sasl.mechanisms=PLAIN", &user, &password]
            .map(|setting| ["-X", setting]);
        assert_eq!(enters(&kafka, &arguments.concat()), expected, "{arguments:?}");
        // Debian's kcat repeats its nonce in a way that Kafka refuses since 4.0.
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            assert_eq!(
                lists(&kafka, mechanism, password.rsplit('=').next().unwrap()),
                expected,
                "{mechanism}"
            );
        }
    }
    let token = [
        "security.protocol=SASL_PLAINTEXT",
        "sasl.mechanisms=OAUTHBEARER",
        "enable.sasl.oauthbearer.unsecure.jwt=true",
        "sasl.oauthbearer.config=principal=acme",
    ];
    assert!(enters(&kafka, &token.map(|setting| ["-X", setting]).concat()));
    assert!(!enters(&kafka, &[]), "without any security");
}

#[test]
fn clients_show_a_certificate_where_it_is_wanted() {
    acme_lab::kafka::install_kcat().unwrap();
    for tls in [Tls::Server, Tls::Mutual] {
        let kafka = Kafka::options().tls(tls).start().unwrap();
        kafka.create_topic("t", 1, &[]).unwrap();
        let authority = format!("ssl.ca.location={}", kafka.authority().display());
        let mut arguments = vec!["-X", "security.protocol=SSL", "-X", &authority];
        assert_eq!(enters(&kafka, &arguments), tls == Tls::Server);
        let certificate = format!("ssl.certificate.location={}", kafka.client_certificate().display());
        let key = format!("ssl.key.location={}", kafka.client_key().display());
        arguments.extend(["-X", &certificate, "-X", &key]);
        assert!(enters(&kafka, &arguments));
    }
}

#[test]
fn a_cluster_of_a_namespace_is_reached_there_and_only_there() {
    let namespace = Namespace::start().unwrap();
    let kafka = Kafka::options().nodes(3).within(&namespace).start().unwrap();
    assert_eq!(kafka.bootstrap(), "kafka1:9092,kafka2:9092,kafka3:9092");
    kafka.create_topic("orders", 1, &[]).unwrap();
    produce(&kafka, "orders", "a:1\n");
    assert_eq!(consume(&kafka, "orders"), "0 0 a=1\n");
    let reach = ["127.0.0.1", "9092"];
    let connect = "exec 3<>/dev/tcp/$0/$1";
    assert!(run(namespace.command("bash").args(["-c", connect]).args(reach)).is_ok());
    assert!(run(Command::new("bash").args(["-c", connect]).args(reach)).is_err());
}
