//! What a real server cannot be told to do: throttle, fail, cut its reply, answer nonsense, hang.

use crate::rows::{changes, make, open, plain};
use acme_connect::{DynSink, Fate};
use acme_lab::http::{self, Http, Seen};
use acme_types::{Blame, Diagnostic};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What the server does with a `_bulk` request.
#[derive(Clone)]
enum Act {
    /// What any server may do.
    Plain(http::Act),
    /// Answers every row with this status.
    Each(u16),
}

/// A server that follows a script for `_bulk`, and is healthy and has every index otherwise.
struct Script(Http);

impl Script {
    fn start(acts: impl IntoIterator<Item = Act>) -> Self {
        let mut acts: VecDeque<Act> = acts.into_iter().collect();
        let act = move |seen: &Seen| match seen.line.contains("_bulk") {
            false => http::Act::Answer(200, "{}".to_owned()),
            true => match acts.pop_front() {
                None => http::Act::Answer(500, String::new()),
                Some(Act::Plain(act)) => act,
                Some(Act::Each(status)) => http::Act::Answer(200, each(&seen.body, status)),
            },
        };
        Self(Http::start(act).expect("a port is free"))
    }

    /// A destination that is open, with a key and two seconds of patience.
    async fn sink(&self) -> Box<dyn DynSink> {
        open(&self.0.url, "index: users\nid_field: id\ntimeout: 2s").await
    }

    /// The `_bulk` requests that came.
    fn bulks(&self) -> Vec<Seen> {
        self.0.seen("_bulk")
    }
}

/// A reply that gives every row of a request the same status.
fn each(request: &str, status: u16) -> String {
    let actions = request.lines().filter_map(|line| match line {
        line if line.starts_with(r#"{"index":{"#) => Some("index"),
        line if line.starts_with(r#"{"delete":{"#) => Some("delete"),
        _ => None,
    });
    let items: Vec<_> = actions.map(|action| format!(r#"{{"{action}":{{"status":{status}}}}}"#)).collect();
    format!(r#"{{"errors":{},"items":[{}]}}"#, status >= 300, items.join(","))
}

const ROWS: [(&str, i64, &str, &str); 3] =
    [("INSERT", 1, "a", r#"{"n":1}"#), ("DELETE", 2, "b", "{}"), ("UPDATE", 3, "c", r#"{"n":3}"#)];

fn ok() -> Act {
    Act::Each(200)
}

fn answer(status: u16, body: &str) -> Act {
    Act::Plain(http::Act::Answer(status, body.to_owned()))
}

/// One write of three rows that fails as a whole.
async fn failure(act: Act) -> Diagnostic {
    let script = Script::start([act]);
    let fault = script.sink().await.write(&changes(&ROWS)).await.expect_err("it fails");
    assert!(fault.message.contains(&script.0.url), "it names the server: {fault}");
    fault
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again() {
    for status in [408, 429, 500, 502, 503, 504] {
        let script = Script::start([answer(status, r#"{"error":"overloaded"}"#), ok()]);
        let mut sink = script.sink().await;
        let fault = sink.write(&changes(&ROWS)).await.expect_err("it is busy");
        assert_eq!(fault.blame, Blame::Remote, "{fault}");
        assert!(
            fault.message.contains(&status.to_string()) && fault.message.contains("overloaded"),
            "{fault}"
        );
        assert_eq!(sink.write(&changes(&ROWS)).await.expect("now it is written"), []);
        let bulks = script.bulks();
        assert_eq!(bulks[0].body, bulks[1].body, "the repetition says the same");
    }
}

#[tokio::test]
async fn a_throttled_row_does_not_hide_in_a_200() {
    let reply = r#"{"took":1,"errors":true,"items":[{"index":{"status":201}},{"delete":{"status":429,"error":{"type":"circuit_breaking_exception","reason":"busy"}}},{"index":{"status":503}}]}"#;
    let script = Script::start([answer(200, reply)]);
    let fates = script.sink().await.write(&changes(&ROWS)).await.expect("it is answered");
    let rows: Vec<_> = fates.iter().map(|(row, fate)| (*row, matches!(fate, Fate::Retry { .. }))).collect();
    assert_eq!(rows, [(1, true), (2, true)]);
}

#[tokio::test]
async fn a_row_that_waits_takes_all_later_ones_with_it_where_order_decides() {
    let reply = r#"{"errors":true,"items":[{"index":{"status":201}},{"index":{"status":429}}]}"#;
    let script = Script::start([answer(200, reply), ok(), ok()]);
    let mut sink = open(&script.0.url, "index: users\nid_field: id\nbatch_rows: 2").await;
    let list = [("a", "{}"), ("b", r#"{"n":1}"#), ("c", "{}"), ("", "{}"), ("b", r#"{"n":2}"#)];
    let fates = sink.write(&plain(&list)).await.expect("it is answered");
    // Row 4 must not be written before row 1, and row 3 was not looked at.
    let again = fates.iter().filter(|(_, fate)| matches!(fate, Fate::Retry { .. }));
    assert_eq!(again.map(|(row, _)| *row).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(script.bulks().len(), 1, "nothing is sent past the row that waits");
}

#[tokio::test]
async fn a_newer_version_that_is_there_and_a_missing_document_are_done() {
    let reply = r#"{"errors":true,"items":[{"index":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"x"}}},{"delete":{"status":404}},{"index":{"status":200}}]}"#;
    let script = Script::start([answer(200, reply)]);
    assert_eq!(script.sink().await.write(&changes(&ROWS)).await.expect("it is answered"), []);
}

#[tokio::test]
async fn a_row_that_may_not_be_written_is_no_fault_of_the_row() {
    let reply = r#"{"errors":true,"items":[{"index":{"status":403,"error":{"type":"cluster_block_exception","reason":"index [users] blocked by: [FORBIDDEN/8/index write (api)];"}}},{"delete":{"status":200}},{"index":{"status":200}}]}"#;
    let script = Script::start([answer(200, reply)]);
    let fault = script.sink().await.write(&changes(&ROWS)).await.expect_err("nothing may be written");
    assert!(fault.blame == Blame::User && fault.message.contains("FORBIDDEN/8"), "{fault}");
}

#[tokio::test]
async fn an_index_that_vanished_is_asked_for_again() {
    let reply = r#"{"errors":true,"items":[{"index":{"status":404,"error":{"type":"index_not_found_exception","reason":"no such index [users]"}}},{"delete":{"status":404}},{"index":{"status":200}}]}"#;
    let script = Script::start([answer(200, reply), ok()]);
    let mut sink = script.sink().await;
    let fates = sink.write(&changes(&ROWS)).await.expect("it is answered");
    assert_eq!(fates, [(0, Fate::Retry { after: Duration::from_secs(1) })]);
    assert_eq!(sink.write(&changes(&ROWS[..1])).await.expect("it is answered"), []);
    let seen = script.0.seen("");
    assert_eq!(seen.iter().filter(|seen| seen.line.starts_with("HEAD /users ")).count(), 2);
}

#[tokio::test]
async fn of_a_reply_that_cannot_be_trusted_nothing_is_believed() {
    let cases = [
        answer(200, ""),
        answer(200, "<html>welcome</html>"),
        answer(200, r#"{"errors":false,"items":[{"index":{"status":201}},{"delete":{"sta"#),
        answer(200, r#"{"errors":false,"items":[{"index":{"status":201}}]}"#),
        answer(200, r#"{"errors":true,"items":[{"index":{"status":201}},{"index":{"status":201}}]}"#),
        answer(200, r#"{"errors":false,"items":[{},{},{},{}]}"#),
        answer(200, r#"{"errors":false}"#),
        answer(200, r#"{"errors":true,"items":[{"index":{}},{"delete":{}},{"index":{}}]}"#),
        answer(200, r#"{"errors":false,"items":[{},{},{}]} trailing"#),
        Act::Plain(http::Act::Cut(r#"{"errors":false,"items":[{"index":{"status":201}},"#.to_owned())),
        Act::Plain(http::Act::Close),
    ];
    for act in cases {
        assert_eq!(failure(act).await.blame, Blame::Remote);
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    #[expect(clippy::disallowed_methods, reason = "the bound is what is tested")]
    let started = Instant::now();
    let fault = failure(Act::Plain(http::Act::Hang)).await;
    assert!(fault.blame == Blame::Remote && fault.message.contains("does not answer within 2s"), "{fault}");
    assert!(started.elapsed() < Duration::from_secs(20), "two seconds, and what a busy machine adds");
}

#[tokio::test]
async fn a_request_that_is_too_large_is_halved_down_to_the_row() {
    let too_large = || answer(413, "");
    // Three rows: all, the first, the other two, the second, the third.
    let script = Script::start([too_large(), ok(), too_large(), ok(), too_large()]);
    let fates = script.sink().await.write(&changes(&ROWS)).await.expect("it is answered");
    let [(2, Fate::Reject { reason })] = fates.as_slice() else { panic!("{fates:?}") };
    assert!(reason.contains("http.max_content_length"), "{reason}");
    let bulks = script.bulks();
    let parts: Vec<usize> = bulks.iter().map(|seen| seen.body.matches("version_type").count()).collect();
    assert_eq!(parts, [3, 1, 2, 1, 1]);
    assert_eq!(bulks[0].body, format!("{}{}", bulks[1].body, bulks[2].body), "the halves make up the whole");
}

#[tokio::test]
async fn a_row_that_spoils_the_request_is_found() {
    let refusal = |words: &str| {
        answer(
            400,
            &format!(
                r#"{{"error":{{"type":"illegal_argument_exception","reason":"{words}"}},"status":400}}"#
            ),
        )
    };
    let script = Script::start([refusal("all"), refusal("row"), ok()]);
    let fates = script.sink().await.write(&changes(&ROWS)).await.expect("it is answered");
    assert_eq!(fates, [(0, Fate::Reject { reason: "illegal_argument_exception: row".to_owned() })]);
    // What does not come from the server itself says nothing about rows.
    let fault = failure(answer(400, "<html>The plain HTTP request was sent to HTTPS port</html>")).await;
    assert_eq!(fault.blame, Blame::User);
    assert_eq!(failure(answer(404, r#"{"error":"no handler found"}"#)).await.blame, Blame::User);
}

#[tokio::test]
async fn a_login_that_is_refused_says_what_to_set() {
    let reply = r#"{"error":{"type":"security_exception","reason":"unable to authenticate user [joe]"}}"#;
    for (status, help) in [(401, "`username:` and `password:`"), (403, "privileges")] {
        let fault = failure(answer(status, reply)).await;
        assert!(fault.blame == Blame::User && fault.message.contains("[joe]"), "{fault}");
        assert!(fault.help.as_ref().is_some_and(|text| text.contains(help)), "{fault}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let header = "location: https://user:hunter2@other.example.com/_bulk?token=hunter2";
    let fault = failure(Act::Plain(http::Act::With(302, header, String::new()))).await;
    assert!(
        fault.blame == Blame::User && fault.message.contains("https://other.example.com/_bulk"),
        "{fault}"
    );
    assert!(!format!("{fault}{fault:?}").contains("hunter2"), "{fault}");
}

#[tokio::test]
async fn the_login_is_sent_and_never_shown() {
    let keys = |login: &str| format!("index: users\nid_field: id\n{login}");
    let logins = [
        ("username: joe\npassword: hunter2", "authorization: Basic am9lOmh1bnRlcjI="),
        ("api_key: aHVudGVyMg==", "authorization: ApiKey aHVudGVyMg=="),
    ];
    for (login, header) in logins {
        let script = Script::start([answer(401, "{}")]);
        let fault =
            open(&script.0.url, &keys(login)).await.write(&changes(&ROWS)).await.expect_err("refused");
        let bulks = script.bulks();
        assert!(bulks[0].headers.contains(header), "{}", bulks[0].headers);
        assert!(!format!("{fault}{fault:?}").contains("hunter2"), "{fault}");
    }
    let script = Script::start([answer(401, "{}")]);
    let url = script.0.url.replace("http://", "http://joe:hunter2@");
    let fault = open(&url, &keys("")).await.write(&changes(&ROWS)).await.expect_err("refused");
    assert!(script.bulks()[0].headers.contains(logins[0].1), "a login in the address is used");
    assert!(fault.message.contains(&script.0.url) && !format!("{fault:?}").contains("hunter2"), "{fault}");
}

#[tokio::test]
async fn addresses_take_turns() {
    let (one, two) = (Script::start([ok(), ok()]), Script::start([ok(), ok()]));
    let mut sink = open("", &format!("url: ['{}', '{}/prefix/']\nindex: users", one.0.url, two.0.url)).await;
    for _ in 0..3 {
        assert_eq!(sink.write(&plain(&[("a", "{}")])).await.expect("it is written"), []);
    }
    assert!(!one.bulks().is_empty() && !two.bulks().is_empty());
    assert!(two.bulks()[0].line.starts_with("POST /prefix/users/_bulk?"), "{}", two.bulks()[0].line);
}

#[test]
fn mistakes_in_the_configuration_are_named() {
    let cases = [
        ("index: Users", "upper-case"),
        ("index: users\nurl: localhost:9200", "must begin with http"),
        ("index: users\nurl: ''", "is not an address"),
        ("index: users\nusername: joe", "no password"),
        ("index: users\nusername: joe\npassword: x\napi_key: y", "besides"),
        ("index: users\napi_key: 'id:secret'", "encoded"),
        ("index: users\ntls: {ca: /does/not/exist}", "/does/not/exist"),
        ("index: users\ntimeout: 0s", "more than zero"),
        ("index: users\ntruncate: maybe", "truncate"),
        ("id_field: id", "index"),
    ];
    for (keys, word) in cases {
        let fault = make("", keys).err().unwrap_or_else(|| panic!("{keys} is wrong"));
        assert!(fault.message.contains(word) && fault.at.is_some(), "{keys}: {fault}");
    }
    let secret = make("postgres://joe:hunter2@db", "index: users").err().expect("no address of ours");
    assert!(!format!("{secret:?}").contains("hunter2"), "{secret}");
    assert!(make("", "index: users\nid_field: id").is_ok(), "the default address is local");
}
