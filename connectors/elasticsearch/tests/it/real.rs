//! What is in the index afterwards: each case runs on Elasticsearch and on OpenSearch.

use crate::rows::{changes, column, make, open, plain, refused, rows};
use crate::server::Server;
use acme_connect::Rows;
use acme_types::batch::{OPERATION, VERSION, json_field};
use acme_types::{Blame, Epoch};
use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray,
    StringViewArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::Field;
use reqwest::Method;
use std::collections::BTreeMap;
use std::sync::Arc;

macro_rules! cases {
    ($($name:ident)*) => {
        mod elasticsearch {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::server::Server::get(acme_lab::elasticsearch::Engine::Elasticsearch)).await;
            })*
        }
        mod opensearch {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::server::Server::get(acme_lab::elasticsearch::Engine::OpenSearch)).await;
            })*
        }
    };
}

cases! {
    changes_in_any_order_converge
    an_older_version_overwrites_nothing
    a_document_that_does_not_fit_is_refused_alone
    ids_of_all_types_are_text
    each_table_has_its_index
    a_field_is_part_of_the_index_name
    rows_without_versions_are_written_in_order
    rows_without_a_key_become_new_documents
    a_truncate_takes_only_what_is_older
    a_truncate_is_refused_unless_it_is_to_be_applied
    rows_that_would_spoil_a_request_are_refused_alone
    many_rows_go_in_many_requests
    the_check_names_what_is_wrong
}

const KEYS: &str = "id_field: id";

fn index(name: &str) -> String {
    format!("index: {name}\n{KEYS}")
}

fn documents(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(id, document)| ((*id).to_owned(), (*document).to_owned())).collect()
}

async fn changes_in_any_order_converge(server: Server) {
    // 40 keys with 8 changes each; every third key ends deleted. The oracle takes the newest change of each key.
    let mut all = Vec::new();
    let mut newest: BTreeMap<String, (i64, Option<String>)> = BTreeMap::new();
    for version in 1..=320_i64 {
        let key = version % 40;
        let delete = key % 3 == 0 && version > 280 || version % 7 == 0;
        let document = format!(r#"{{"key":{key},"version":{version}}}"#);
        newest.insert(key.to_string(), (version, (!delete).then(|| document.clone())));
        all.push((if delete { "DELETE" } else { "UPDATE" }, version, key.to_string(), document));
    }
    let expected: BTreeMap<String, String> =
        newest.into_iter().filter_map(|(key, (_, document))| Some((key, document?))).collect();
    assert!(expected.len() > 10 && expected.len() < 40, "some keys end deleted, some do not");
    for (run, step) in [1, 319, 7, 101, 33].into_iter().enumerate() {
        let name = format!("converge-{run}");
        let mut sink = open(&server.url, &format!("{}\nbatch_rows: 30", index(&name))).await;
        // Steps without a common factor with 320 visit every change once, each in another order; then all again.
        let order: Vec<usize> = (0..320).map(|at| at * step % 320).collect();
        for part in order.chunks(100).chain(order.chunks(77)) {
            let list: Vec<_> = part
                .iter()
                .map(|&at| (all[at].0, all[at].1, all[at].2.as_str(), all[at].3.as_str()))
                .collect();
            assert_eq!(sink.write(&changes(&list)).await.expect("it is written"), []);
        }
        sink.prepare(Epoch(1), true).await.expect("all is durable");
        assert_eq!(server.documents(&name).await, expected, "order {step}");
    }
}

async fn an_older_version_overwrites_nothing(server: Server) {
    let mut sink = open(&server.url, &index("zombie")).await;
    let newest = [("INSERT", 10, "kept", r#"{"n":10}"#), ("DELETE", 20, "gone", "{}")];
    assert_eq!(sink.write(&changes(&newest)).await.expect("it is written"), []);
    // Another process that was believed dead wakes up with older rows.
    let mut zombie = open(&server.url, &index("zombie")).await;
    let older = [
        ("UPDATE", 9, "kept", r#"{"n":9}"#),
        ("DELETE", 8, "kept", "{}"),
        ("UPDATE", 10, "kept", r#"{"n":99}"#),
        ("INSERT", 19, "gone", r#"{"n":19}"#),
    ];
    assert_eq!(zombie.write(&changes(&older)).await.expect("all is done"), []);
    assert_eq!(server.documents("zombie").await, documents(&[("kept", r#"{"n":10}"#)]));
    let (_, settings) = server.ask(Method::GET, "/zombie/_settings?flat_settings=true", "").await;
    assert!(settings.contains(r#""index.gc_deletes":"24h""#), "{settings}");
}

async fn a_document_that_does_not_fit_is_refused_alone(server: Server) {
    let mut sink = open(&server.url, &index("mapping")).await;
    let list = [
        ("INSERT", 1, "a", r#"{"n":1}"#),
        ("INSERT", 2, "b", r#"{"n":"many"}"#),
        ("INSERT", 3, "c", r#"{"n":3}"#),
    ];
    let mut refused = refused(sink.write(&changes(&list)).await.expect("the others are written"));
    let (row, reason) = refused.remove(0);
    assert!(refused.is_empty() && row == 1, "{row} {refused:?}");
    assert!(reason.contains("failed to parse field [n] of type [long]"), "{reason}");
    assert!(reason.contains("caused by illegal_argument_exception: For input string: \"many\""), "{reason}");
    let expected = [("a", r#"{"n":1}"#), ("c", r#"{"n":3}"#)];
    assert_eq!(server.documents("mapping").await, documents(&expected));
}

async fn ids_of_all_types_are_text(server: Server) {
    let text = |value: &str| StringArray::from_iter_values([value]);
    let json = |value: &str| -> (Field, ArrayRef) {
        (json_field("id"), Arc::new(StringViewArray::from_iter_values([value])))
    };
    let plain = "6a2f41a3-c54c-fce8-32d2-0324e1c32e22";
    let cases: Vec<((Field, ArrayRef), &str)> = vec![
        (column("id", Int64Array::from(vec![i64::MIN])), "-9223372036854775808"),
        (column("id", UInt64Array::from(vec![u64::MAX])), "18446744073709551615"),
        (column("id", Int32Array::from(vec![7])), "7"),
        (column("id", text(plain)), plain),
        (column("id", text("a \"quoted\" \\ id\tö/?#{}%")), "a \"quoted\" \\ id\tö/?#{}%"),
        (column("id", BooleanArray::from(vec![true])), "true"),
        (column("id", Float64Array::from(vec![1.5])), "1.5"),
        (column("id", Date32Array::from(vec![19_000])), "2022-01-08"),
        (
            column("id", TimestampMicrosecondArray::from(vec![1_700_000_000_000_001]).with_timezone("UTC")),
            "2023-11-14T22:13:20.000001Z",
        ),
        (
            column("id", Decimal128Array::from(vec![1250]).with_precision_and_scale(10, 2).expect("it fits")),
            "12.50",
        ),
        (json("42"), "42"),
        (json(r#""forty two""#), "forty two"),
        (json(r#""tab\tö""#), "tab\tö"),
    ];
    let mut sink = open(&server.url, &index("ids")).await;
    let mut expected = BTreeMap::new();
    for (at, (id, text)) in cases.into_iter().enumerate() {
        // Two cases may have the same id.
        let document = format!(r#"{{"case":"{at}"}}"#);
        let fates = sink.write(&rows(vec![id], &[&document])).await.expect("it is written");
        assert_eq!(fates, [], "case {at}");
        expected.insert(text.to_owned(), document);
    }
    assert_eq!(server.documents("ids").await, expected);

    let mut sink = open(&server.url, "index: pairs\nid_field: [id, part]").await;
    let pair = |id: i64, part: &str, document: &str| {
        rows(vec![column("id", Int64Array::from(vec![id])), column("part", text(part))], &[document])
    };
    for (id, part, document) in [(1, "x", r#"{"n":1}"#), (1, "x_y", r#"{"n":2}"#)] {
        assert_eq!(sink.write(&pair(id, part, document)).await.expect("it is written"), []);
    }
    let expected = [("1_x", r#"{"n":1}"#), ("1_x%5Fy", r#"{"n":2}"#)];
    assert_eq!(server.documents("pairs").await, documents(&expected));
    assert_eq!(make("", "index: pairs\nid_field: [id, part]").expect("right").reads, ["id", "part"]);
}

async fn each_table_has_its_index(server: Server) {
    let mut sink = open(&server.url, &index("app-{schema}.{table}")).await;
    let of = |tables: &[Option<&str>], documents: &[&str]| -> Rows {
        let count = i64::try_from(tables.len()).expect("few");
        rows(
            vec![
                column("_meta.table", StringViewArray::from_iter(tables.iter().copied())),
                column("_meta.schema", StringViewArray::from_iter_values(tables.iter().map(|_| "Public"))),
                column(OPERATION, StringViewArray::from_iter_values(tables.iter().map(|_| "INSERT"))),
                column(VERSION, Int64Array::from_iter_values(1..=count)),
                column("id", Int64Array::from_iter_values(1..=count)),
            ],
            documents,
        )
    };
    let tables = [Some("users"), Some("Orders"), Some("users"), None, Some("a*b"), Some("orders")];
    let list = [r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#, r#"{"n":4}"#, r#"{"n":5}"#, r#"{"n":6}"#];
    let refused = refused(sink.write(&of(&tables, &list)).await.expect("the others are written"));
    assert_eq!(refused.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [3, 4], "{refused:?}");
    assert!(refused[0].1.contains("\"table\", part of the index's name, is missing"), "{refused:?}");
    assert!(refused[1].1.contains("\"app-public.a*b\" cannot name an index"), "{refused:?}");
    let users = server.documents("app-public.users").await;
    assert_eq!(users, documents(&[("1", r#"{"n":1}"#), ("3", r#"{"n":3}"#)]));
    let orders = server.documents("app-public.orders").await;
    assert_eq!(orders, documents(&[("2", r#"{"n":2}"#), ("6", r#"{"n":6}"#)]));
    let (_, settings) = server.ask(Method::GET, "/app-public.*/_settings?flat_settings=true", "").await;
    assert_eq!(settings.matches(r#""index.gc_deletes":"24h""#).count(), 2, "{settings}");
}

async fn a_field_is_part_of_the_index_name(server: Server) {
    let keys = "index: by-{country}\nid_field: id";
    assert_eq!(make("", keys).expect("right").reads, ["country", "id"]);
    let mut sink = open(&server.url, keys).await;
    let batch = rows(
        vec![
            column("id", Int64Array::from(vec![1, 2])),
            column("country", StringArray::from(vec!["DE", "FR"])),
        ],
        &[r#"{"n":1}"#, r#"{"n":2}"#],
    );
    assert_eq!(sink.write(&batch).await.expect("it is written"), []);
    assert_eq!(server.documents("by-de").await, documents(&[("1", r#"{"n":1}"#)]));
    assert_eq!(server.documents("by-fr").await, documents(&[("2", r#"{"n":2}"#)]));
}

async fn rows_without_versions_are_written_in_order(server: Server) {
    let mut sink = open(&server.url, &format!("{}\nbatch_rows: 2", index("plain"))).await;
    let list: Vec<String> = (1..=9).map(|n| format!(r#"{{"n":{n}}}"#)).collect();
    let list: Vec<_> = list.iter().map(|document| ("same", document.as_str())).collect();
    for _ in 0..2 {
        assert_eq!(sink.write(&plain(&list)).await.expect("it is written"), []);
        assert_eq!(server.documents("plain").await, documents(&[("same", r#"{"n":9}"#)]));
    }
}

async fn rows_without_a_key_become_new_documents(server: Server) {
    let mut sink = open(&server.url, "index: keyless").await;
    let batch = rows(vec![column("n", Int64Array::from(vec![1, 2]))], &[r#"{"n":1}"#, r#"{"n":2}"#]);
    assert_eq!(sink.write(&batch).await.expect("it is written"), []);
    // A change becomes a document too; the plan lets it come here only where it says which change it is.
    let delete = changes(&[("DELETE", 1, "1", r#"{"n":1,"operation":"DELETE"}"#)]);
    assert_eq!(sink.write(&delete).await.expect("it is written"), []);
    let found = server.documents("keyless").await;
    let mut found: Vec<_> = found.values().collect();
    found.sort();
    assert_eq!(found, [r#"{"n":1,"operation":"DELETE"}"#, r#"{"n":1}"#, r#"{"n":2}"#]);
}

async fn a_truncate_takes_only_what_is_older(server: Server) {
    let keys = format!("{}\ntruncate: apply", index("truncated"));
    let mut sink = open(&server.url, &keys).await;
    let list = [
        ("INSERT", 1, "a", r#"{"n":1}"#),
        ("INSERT", 2, "b", r#"{"n":2}"#),
        ("TRUNCATE", 3, "", "{}"),
        ("INSERT", 4, "b", r#"{"n":4}"#),
        ("INSERT", 5, "c", r#"{"n":5}"#),
    ];
    let expected = documents(&[("b", r#"{"n":4}"#), ("c", r#"{"n":5}"#)]);
    // After a crash everything is repeated, what is newer than the TRUNCATE being there already.
    for _ in 0..2 {
        assert_eq!(sink.write(&changes(&list)).await.expect("it is written"), []);
        assert_eq!(server.documents("truncated").await, expected);
    }
    let all = [("TRUNCATE", 6, "", "{}")];
    assert_eq!(sink.write(&changes(&all)).await.expect("it is written"), []);
    assert_eq!(server.documents("truncated").await, BTreeMap::new());
    // And an index that is not there is empty already.
    let mut sink = open(&server.url, "index: truncated-{id}\nid_field: id\ntruncate: apply").await;
    assert_eq!(sink.write(&changes(&[("TRUNCATE", 6, "none", "{}")])).await.expect("nothing to do"), []);
}

async fn a_truncate_is_refused_unless_it_is_to_be_applied(server: Server) {
    let list = [("INSERT", 1, "a", r#"{"n":1}"#), ("TRUNCATE", 3, "", "{}")];
    let mut sink = open(&server.url, &index("untruncated")).await;
    let refused = refused(sink.write(&changes(&list)).await.expect("the row is written"));
    assert!(
        refused.len() == 1 && refused[0].0 == 1 && refused[0].1.contains("truncate: apply"),
        "{refused:?}"
    );
    let mut sink = open(&server.url, &format!("{}\ntruncate: ignore", index("untruncated"))).await;
    assert_eq!(sink.write(&changes(&list)).await.expect("it is passed over"), []);
    assert_eq!(server.documents("untruncated").await, documents(&[("a", r#"{"n":1}"#)]));
}

async fn rows_that_would_spoil_a_request_are_refused_alone(server: Server) {
    let mut sink = open(&server.url, &index("spoil")).await;
    let (long, longest) = ("x".repeat(513), "y".repeat(512));
    let list = [
        ("INSERT", 1, long.as_str(), "{}"),
        ("INSERT", 2, "", "{}"),
        ("INSERT", -3, "negative", "{}"),
        ("INSERT", 4, "cut", r#"{"n":"#),
        ("INSERT", 5, "lines", "{\n  \"text\": \"a\\nb\"\r\n}\n"),
        ("INSERT", 6, longest.as_str(), r#"{"n":6}"#),
    ];
    let refused = refused(sink.write(&changes(&list)).await.expect("the others are written"));
    assert_eq!(refused.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [0, 1, 2, 3], "{refused:?}");
    let found = server.documents("spoil").await;
    assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), ["lines", &longest]);
    assert_eq!(found["lines"].split_whitespace().collect::<String>(), r#"{"text":"a\nb"}"#);
}

async fn many_rows_go_in_many_requests(server: Server) {
    let list: Vec<(String, String)> =
        (0..9_000).map(|n| (n.to_string(), format!(r#"{{"n":{n},"text":"{}"}}"#, "x".repeat(100)))).collect();
    let list: Vec<_> =
        list.iter().map(|(id, document)| ("INSERT", 1, id.as_str(), document.as_str())).collect();
    let mut sink = open(&server.url, &format!("{}\nbatch_bytes: 100KiB", index("many"))).await;
    assert_eq!(sink.write(&changes(&list)).await.expect("it is written"), []);
    assert_eq!(server.documents("many").await.len(), 9_000);
}

async fn the_check_names_what_is_wrong(server: Server) {
    let check = async |url: &str, keys: &str| {
        let found = make(url, keys).expect("the configuration is right").sink.sink().check().await;
        found.iter().map(|diagnostic| format!("{diagnostic}\n")).collect::<String>()
    };
    assert_eq!(check(&server.url, &index("not-yet")).await, "", "it will be created");
    let found = check(&server.url, &format!("{}\ncreate_index: false", index("not-yet"))).await;
    assert!(found.contains("the index \"not-yet\" does not exist"), "{found}");
    let (status, _) = server.ask(Method::GET, "/not-yet", "").await;
    assert_eq!(status, 404, "a check changes nothing");

    server.ask(Method::PUT, "/forgetful", "{}").await;
    let found = check(&server.url, &index("forgetful")).await;
    assert!(found.starts_with("warning") && found.contains("forgets deletes after 60s"), "{found}");
    assert_eq!(check(&server.url, "index: forgetful").await, "", "without keys there are no deletes");
    server.ask(Method::PUT, "/mindful", r#"{"settings":{"index.gc_deletes":"2d"}}"#).await;
    assert_eq!(check(&server.url, &index("mindful")).await, "");

    let closed = acme_lab::free_port().expect("a free port");
    let found = check(&format!("http://127.0.0.1:{closed}"), KEYS_OF_USERS).await;
    assert!(
        found.contains("cannot connect to http://127.0.0.1") && found.contains("ELASTICSEARCH_URL"),
        "{found}"
    );

    // An index that vanishes while the pipeline runs, and may not be created.
    let mut sink = open(&server.url, &format!("{}\ncreate_index: false", index("not-yet"))).await;
    let fault = sink.write(&plain(&[("1", "{}")])).await.expect_err("it is not there");
    assert_eq!(fault.blame, Blame::User, "{fault}");
}

/// The item as the guide has it.
const KEYS_OF_USERS: &str = "index: users\nid_field: id";
