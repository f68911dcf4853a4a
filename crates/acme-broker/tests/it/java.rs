//! Kafka's own Java client, and two of Python, against this broker. The programs lie in `tests/java` and `tests/python`; each
//! prints a line for everything that held.

use crate::clients::{kcat, run, shown};
use crate::support::Server;
use acme_broker::Tls;
use acme_lab::{java, kafka_python, rdkafka};
use acme_types::Secret;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/java").join(name)
}

fn clients(server: &Server, part: &str, machine: &[&str]) -> Command {
    let mut command = java::with_kafka(&source("Clients.java"), machine).unwrap();
    command.args([&server.bootstrap(), part]);
    command
}

/// How much a program found to hold.
fn held(output: &Output) -> usize {
    shown(output).lines().filter(|line| line.starts_with("held: ")).count()
}

/// Members of a group hear soon of each other.
async fn lively() -> Server {
    Server::with(|options| options.groups.consumer_interval_ms = 300).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_java_producer_finds_what_it_expects() {
    let server = Server::start().await;
    assert!(held(&run(clients(&server, "producer", &[]), "").await) >= 18);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_java_consumer_finds_what_it_expects() {
    let server = lively().await;
    assert!(held(&run(clients(&server, "consumer", &[]), "").await) >= 31);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_java_admin_finds_what_it_expects() {
    let server = Server::start().await;
    assert!(held(&run(clients(&server, "admin", &[]), "").await) >= 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn java_transactions_commit_abort_and_fence() {
    let server = Server::start().await;
    assert!(held(&run(clients(&server, "transactions", &[]), "").await) >= 20);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "cargo xtask soak"]
async fn soak_java_clients_find_what_they_expect_again_and_again() {
    let server = lively().await;
    let parts = "producer,consumer,admin,transactions";
    assert!(held(&run(clients(&server, parts, &["-Drounds=5"]), "").await) >= 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn confluents_python_client_finds_what_it_expects() {
    let server = Server::start().await;
    let program = include_str!("../python/librdkafka.py");
    let command = rdkafka::python(program, &[&server.bootstrap()]).unwrap();
    assert!(held(&run(command, "").await) >= 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_all_python_finds_what_it_expects() {
    let server = Server::start().await;
    let program = include_str!("../python/kafka_python.py");
    let command = kafka_python::program(program, &[&server.bootstrap()]).unwrap();
    assert!(held(&run(command, "").await) >= 15);
}

/// A certificate that its own key has signed.
fn certify(folder: &Path, name: &str) -> Tls {
    let (certificates, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    let words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext \
                 subjectAltName=IP:127.0.0.1,DNS:localhost -keyout";
    let mut command = Command::new("openssl");
    command.args(words.split_whitespace()).arg(&key).arg("-out").arg(&certificates);
    let made = command.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Tls { certificates, key }
}

struct Secured {
    server: Server,
    folder: tempfile::TempDir,
}

/// TLS, and alice with her password.
async fn secured() -> Secured {
    let folder = tempfile::tempdir().unwrap();
    let tls = certify(folder.path(), "broker");
    certify(folder.path(), "other");
    let server = Server::with(|options| {
        options.tls = Some(tls);
        options.users.insert("alice".to_owned(), Secret::new("secret-7".to_owned()));
    })
    .await;
    Secured { server, folder }
}

async fn java_as(secured: &Secured, password: &str, trusted: &str) -> Output {
    let file = secured.folder.path().join("client.properties");
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule";
    let text = format!(
        "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.jaas.config={login} required username=\"alice\" \
         password=\"{password}\";\nssl.truststore.type=PEM\nssl.truststore.location={}\n",
        secured.folder.path().join(trusted).display()
    );
    std::fs::write(&file, text).unwrap();
    let mut command = clients(&secured.server, "once", &[]);
    command.arg(file);
    run(command, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn java_with_tls_and_a_password_comes_in_and_else_says_why_not() {
    let secured = secured().await;
    assert_eq!(held(&java_as(&secured, "secret-7", "broker.pem").await), 1);
    for (password, trusted, expected) in [
        ("secret-8", "broker.pem", "SaslAuthenticationException"),
        ("secret-7", "other.pem", "SslAuthenticationException"),
    ] {
        let refused = java_as(&secured, password, trusted).await;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(expected), "{said}");
        assert!(!said.contains(password), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_with_tls_and_a_password_comes_in_and_else_says_why_not() {
    let secured = secured().await;
    let ask = |mode: &'static [&'static str], password: &str, trusted: &str| {
        let mut command = kcat(&secured.server, mode);
        let trusted = secured.folder.path().join(trusted);
        command.args(["-X", "security.protocol=SASL_SSL", "-X", "sasl.mechanisms=PLAIN"]);
        command.args(["-X", "sasl.username=alice", "-X", &format!("sasl.password={password}")]);
        command.args(["-X", &format!("ssl.ca.location={}", trusted.display())]);
        command
    };
    shown(&run(ask(&["-P", "-t", "t"], "secret-7", "broker.pem"), "there\n").await);
    let read =
        run(ask(&["-C", "-t", "t", "-o", "beginning", "-e", "-q"], "secret-7", "broker.pem"), "").await;
    assert_eq!(shown(&read), "there\n");
    for (password, trusted, expected) in
        [("secret-8", "broker.pem", "authentication"), ("secret-7", "other.pem", "certificate verify failed")]
    {
        let refused = run(ask(&["-L"], password, trusted), "").await;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.to_lowercase().contains(expected), "{said}");
    }
}
