//! Logins, privileges and certificates, on Elasticsearch with its security on.

use crate::rows::{changes, make, unwrapped};
use acme_connect::DynSink;
use acme_lab::elasticsearch::{Node, PASSWORD};
use acme_types::Blame;
use std::sync::LazyLock;
use std::time::Duration;

static NODE: LazyLock<Node> = LazyLock::new(|| Node::start_secured().expect("the server starts"));

fn keys(index: &str, user: &str, password: &str) -> String {
    let ca = NODE.certificate();
    let login = format!("username: {user}\npassword: {password}");
    format!("index: {index}\nid_field: id\n{login}\ntls: {{ca: '{}'}}", ca.display())
}

fn sink(keys: &str) -> Box<dyn DynSink> {
    unwrapped(make(&NODE.url(), keys).expect("the configuration is right").sink)
}

/// The destination, open. A node that has just started refuses logins for a moment.
async fn ready(keys: &str) -> Box<dyn DynSink> {
    let mut sink = sink(keys);
    for _ in 0..300 {
        match sink.open(None).await {
            Ok(()) => return sink,
            Err(diagnostic) if diagnostic.blame == Blame::Remote => {}
            Err(diagnostic) => panic!("{diagnostic}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the server is never ready");
}

#[tokio::test]
async fn a_user_who_may_only_write_is_enough() {
    let mut sink = ready(&keys("users", "writer", PASSWORD)).await;
    for _ in 0..2 {
        let list = [("INSERT", 1, "a", "{}"), ("DELETE", 2, "a", "{}"), ("INSERT", 3, "b", "{}")];
        assert_eq!(sink.write(&changes(&list)).await.expect("it is written"), []);
    }
    assert_eq!(sink.check().await, []);
}

#[tokio::test]
async fn a_user_who_may_not_write_is_told_what_is_missing() {
    let mut reader = ready(&keys("users-read", "reader", PASSWORD)).await;
    let found = reader.check().await;
    let [fault] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        fault.message,
        "the user \"reader\" lacks privileges on the index \"users-read\": delete, index"
    );
    let fault = reader.write(&changes(&[("INSERT", 1, "a", "{}")])).await.expect_err("it may not write");
    assert!(fault.blame == Blame::User && fault.message.contains("unauthorized"), "{fault}");
}

#[tokio::test]
async fn a_wrong_password_is_no_reason_to_try_again() {
    ready(&keys("users", "writer", PASSWORD)).await;
    let fault = sink(&keys("users", "writer", "wrong-one")).open(None).await.expect_err("it is wrong");
    assert!(fault.blame == Blame::User && fault.message.contains("does not accept the login"), "{fault}");
    assert!(!format!("{fault:?}").contains("wrong-one"), "{fault:?}");
}

#[tokio::test]
async fn a_certificate_must_be_trusted() {
    ready(&keys("users", "writer", PASSWORD)).await;
    let login = format!("index: users\nusername: writer\npassword: {PASSWORD}");
    let fault = sink(&login).open(None).await.expect_err("nobody signed it");
    assert!(fault.blame == Blame::User && fault.message.contains("is not trusted"), "{fault}");
    assert!(fault.help.as_ref().is_some_and(|help| help.contains("tls.ca")), "{fault}");
    sink(&format!("{login}\ntls: {{verify: false}}")).open(None).await.expect("nothing is checked");
}
