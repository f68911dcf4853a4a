//! A broker for other clients' tests: `cargo run --release -p acme-broker --example serve -- DIR ADDRESS [session ms]`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for tests")]

use acme_broker::{Broker, GroupOptions, Options};
use acme_log::Log;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "a program has the real clock")]
fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let log = Log::open(arguments[0].as_ref(), acme_log::Options::new(Arc::new(now_ms))).unwrap();
    let mut groups = GroupOptions::default();
    if let Some(session) = arguments.get(2) {
        groups.consumer_session_ms = session.parse().unwrap();
        (groups.session_min_ms, groups.consumer_interval_ms) = (100, 300);
    }
    let options = Options { listen: Some(arguments[1].parse().unwrap()), groups, ..Options::default() };
    let broker = Broker::start(log.clone(), options).await.unwrap();
    println!("{}", broker.address().unwrap());
    tokio::signal::ctrl_c().await.unwrap();
    broker.stop().await;
    log.close();
}
