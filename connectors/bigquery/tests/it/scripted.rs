//! Quotas, refused rows, streams and jobs that were there before: by the documented replies of the real service.

use crate::harness::{Life, changes, documents, make, unwrapped};
use crate::script::{Act, Grpc, bytes, int};
use acme_connect::Fate;
use acme_lab::http::Http;
use acme_types::Blame;

const DATASET: &str = r#"{"location":"EU"}"#;
const TABLE: &str =
    r#"{"type":"TABLE","schema":{"fields":[{"name":"id","type":"INTEGER"},{"name":"v","type":"STRING"}]}}"#;
const STREAM: &str = "projects/p/datasets/d/tables/t/streams/s";

fn appended() -> Act {
    Act::Reply(bytes(1, &bytes(1, &int(1, 0))))
}

/// An error in the place of a result, as `google.rpc.Status`.
fn failed(code: u8, words: &str) -> Act {
    Act::Reply(bytes(2, &[int(1, code), bytes(2, words.as_bytes())].concat()))
}

fn created() -> Act {
    Act::Reply(bytes(1, STREAM.as_bytes()))
}

fn finalized(rows: u8) -> Act {
    Act::Reply(int(1, rows))
}

fn committed() -> Act {
    Act::Reply(bytes(1, &int(1, 1)))
}

fn keys(rest: &Http, grpc: &Grpc, more: &str) -> String {
    format!(
        "table: p.d.t\nproject: p\nendpoint: {}\nstorage_endpoint: {}\ntimeout: 2s\nflush_interval: 0s\n{more}",
        rest.url, grpc.address
    )
}

fn rest() -> Http {
    crate::script::rest(&[("/tables/t ", &[(200, TABLE)]), ("/datasets/d ", &[(200, DATASET)])])
}

const ROWS: [&str; 3] = [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#];

#[tokio::test]
async fn an_append_is_repeated_at_its_offset_until_it_is_known_to_be_there() {
    let grpc = Grpc::start(vec![
        ("CreateWriteStream", vec![Act::Status(8, "quota exceeded"), created()]),
        (
            "AppendRows",
            vec![
                failed(8, "too many rows"),
                Act::Status(14, "going away"),
                Act::Cut,
                // The attempt before was heard after all.
                failed(6, "the offset is within stream, expected 3"),
                appended(),
            ],
        ),
        ("FinalizeWriteStream", vec![finalized(4)]),
        ("BatchCommitWriteStreams", vec![Act::Status(13, "internal"), committed()]),
    ])
    .await;
    let mut life = Life::begin(&keys(&rest(), &grpc, ""), None).await;
    life.write(&documents(&ROWS)).await;
    life.write(&documents(&[r#"{"id":4}"#])).await;
    life.end(true).await;
    let appends = grpc.calls("AppendRows");
    assert_eq!(appends.len(), 5);
    assert!(appends[..4].windows(2).all(|two| two[0] == two[1]), "the repetition says the same");
    let offset = |offset: u8| bytes(2, &int(1, offset));
    let has = |message: &[u8], part: &[u8]| message.windows(part.len()).any(|window| window == part);
    assert!(has(&appends[0], &offset(0)) && has(&appends[4], &offset(3)));
    assert!(
        grpc.header("x-goog-request-params")
            .iter()
            .any(|value| value.starts_with("write_stream=projects%2Fp"))
    );
}

#[tokio::test]
async fn rows_that_the_service_refuses_go_to_the_error_policy_and_the_others_are_written() {
    let fault =
        |index: u8, words: &str| bytes(4, &[int(1, index), int(2, 1), bytes(3, words.as_bytes())].concat());
    let refused = [bytes(2, &int(1, 3)), fault(0, "bad id"), fault(2, "too long")].concat();
    let grpc = Grpc::start(vec![
        ("CreateWriteStream", vec![created()]),
        ("AppendRows", vec![Act::Reply(refused), appended()]),
        ("FinalizeWriteStream", vec![finalized(1)]),
        ("BatchCommitWriteStreams", vec![committed()]),
    ])
    .await;
    let mut life = Life::begin(&keys(&rest(), &grpc, ""), None).await;
    let refused = life.refused(&documents(&ROWS)).await;
    assert_eq!(refused, [(0, "bad id".to_owned()), (2, "too long".to_owned())]);
    life.end(true).await;
    let appends = grpc.calls("AppendRows");
    assert!(appends[1].ends_with(&bytes(2, &bytes(1, &int(1, 2)))), "only the second row is sent again");
}

#[tokio::test]
async fn a_stream_that_lost_rows_is_not_committed() {
    let grpc = Grpc::start(vec![
        ("CreateWriteStream", vec![created()]),
        ("AppendRows", vec![appended()]),
        ("FinalizeWriteStream", vec![finalized(2)]),
    ])
    .await;
    let mut life = Life::begin(&keys(&rest(), &grpc, ""), None).await;
    life.write(&documents(&ROWS)).await;
    let fault = life.sink.prepare(acme_types::Epoch(1), false).await.expect_err("rows are missing");
    assert!(fault.message.contains("holds 2 rows, and 3 were appended"), "{fault}");
}

#[tokio::test]
async fn streams_that_are_committed_already_are_left_out_and_the_others_committed() {
    let fault = |code: u8, stream: &str| bytes(2, &[int(1, code), bytes(2, stream.as_bytes())].concat());
    let other = "projects/p/datasets/d/tables/t/streams/z";
    let grpc =
        Grpc::start(vec![("BatchCommitWriteStreams", vec![Act::Reply(fault(2, STREAM)), committed()])]).await;
    let prepared = r#"{"groups":[{"streams":["s","z"],"sealed":true}]}"#.to_owned();
    let _life = Life::begin(&keys(&rest(), &grpc, ""), Some(&prepared)).await;
    let parent = bytes(1, b"projects/p/datasets/d/tables/t");
    let both = [parent.clone(), bytes(2, STREAM.as_bytes()), bytes(2, other.as_bytes())].concat();
    let one = [parent, bytes(2, other.as_bytes())].concat();
    assert_eq!(grpc.calls("BatchCommitWriteStreams"), [both, one]);
}

#[tokio::test]
async fn a_job_that_was_started_before_is_waited_for_and_one_that_failed_is_made_anew() {
    const RUNNING: &str = r#"{"status":{"state":"RUNNING"}}"#;
    const DONE: &str = r#"{"status":{"state":"DONE"}}"#;
    const FAILED: &str =
        r#"{"status":{"state":"DONE","errorResult":{"reason":"jobBackendError","message":"try again"}}}"#;
    const EXISTS: &str =
        r#"{"error":{"code":409,"message":"Already Exists","errors":[{"reason":"duplicate"}]}}"#;
    let rest = crate::script::rest(&[
        (
            "GET /bigquery/v2/projects/p/jobs/_acme_x_1?location=EU",
            &[(404, ""), (200, RUNNING), (200, FAILED)],
        ),
        ("GET /bigquery/v2/projects/p/jobs/_acme_x_2?location=EU", &[(404, ""), (200, DONE)]),
        ("POST /bigquery/v2/projects/p/jobs", &[(409, EXISTS), (200, RUNNING)]),
        ("DELETE /bigquery/v2/projects/p/datasets/d/tables/_acme_x ", &[(204, "")]),
        ("/tables/t ", &[(200, TABLE)]),
        ("/datasets/d ", &[(200, DATASET)]),
    ]);
    let grpc = Grpc::start(vec![("BatchCommitWriteStreams", vec![committed()])]).await;
    let prepared =
        r#"{"groups":[{"staging":"_acme_x","streams":["s"],"columns":["id","v"],"key":["id"],"sealed":true}]}"#.to_owned();
    let _life = Life::begin(&keys(&rest, &grpc, "write_mode: upsert\nkey: id"), Some(&prepared)).await;
    let jobs: Vec<String> = rest.seen("POST").into_iter().map(|seen| seen.body).collect();
    assert_eq!(jobs.len(), 2);
    assert!(
        jobs[0].contains(r#""jobId":"_acme_x_1","location":"EU""#)
            && jobs[1].contains(r#""jobId":"_acme_x_2""#)
    );
    assert_eq!(grpc.calls("BatchCommitWriteStreams").len(), 1, "its rows are there for the second job too");
    assert_eq!(rest.seen("DELETE").len(), 1);
}

#[tokio::test]
async fn quotas_are_waited_for_and_missing_permissions_are_not() {
    let reason = |status: u16, reason: &str| {
        format!(
            r#"{{"error":{{"code":{status},"message":"words of the service","errors":[{{"reason":"{reason}"}}]}}}}"#
        )
    };
    let (quota, rate) = (reason(403, "quotaExceeded"), reason(403, "rateLimitExceeded"));
    let busy = reason(503, "backendError");
    let rest = crate::script::rest(&[
        ("/tables/t ", &[(403, &*quota), (403, &*rate), (503, &*busy), (200, TABLE)]),
        ("/datasets/d ", &[(200, DATASET)]),
    ]);
    let grpc = Grpc::start(vec![(
        "CreateWriteStream",
        vec![Act::Status(7, "Permission TABLES_UPDATE_DATA denied")],
    )])
    .await;
    let mut life = Life::begin(&keys(&rest, &grpc, ""), None).await;
    assert_eq!(rest.seen("/tables/t ").len(), 4);
    let fault = life.sink.write(&documents(&ROWS)).await.expect_err("it is not allowed");
    assert_eq!(fault.blame, Blame::User);
    assert!(
        fault.to_string().contains("TABLES_UPDATE_DATA denied") && fault.to_string().contains("Data Editor"),
        "{fault}"
    );
    let denied = reason(403, "accessDenied");
    let rest = crate::script::rest(&[("/datasets/d ", &[(403, &*denied)])]);
    let fault = Life::try_begin(&keys(&rest, &grpc, ""), None).await.err().expect("it is not allowed");
    assert!(fault.blame == Blame::User && fault.to_string().contains("Data Editor"), "{fault}");
    assert_eq!(rest.seen("/datasets/d ").len(), 1, "it is not asked again");
}

#[tokio::test]
async fn of_insert_all_each_row_has_its_own_fate() {
    const REPLY: &str = r#"{"kind":"bigquery#tableDataInsertAllResponse","insertErrors":[{"index":0,"errors":[{"reason":"invalid","location":"v","debugInfo":"","message":"no such field: v."}]},{"index":1,"errors":[{"reason":"stopped","location":"","message":""}]},{"index":2,"errors":[{"reason":"backendError","message":"busy"}]}]}"#;
    let rest = crate::script::rest(&[
        ("/tables/t/insertAll", &[(200, REPLY)]),
        ("/tables/t ", &[(200, TABLE)]),
        ("/datasets/d ", &[(200, DATASET)]),
    ]);
    let grpc = Grpc::start(Vec::new()).await;
    let mut life = Life::begin(&keys(&rest, &grpc, "api: insert_all"), None).await;
    let fates = life.sink.write(&documents(&ROWS)).await.expect("it is answered");
    let [(0, Fate::Reject { reason }), (1, Fate::Retry { .. }), (2, Fate::Retry { .. })] = &*fates else {
        panic!("{fates:?}")
    };
    assert_eq!(reason, "v: no such field: v. (invalid)");
    let body = &rest.seen("insertAll")[0].body;
    assert!(body.contains(r#""ignoreUnknownValues":true"#) && body.contains(r#""json":{"id":2}}"#), "{body}");
}

#[tokio::test]
async fn new_columns_are_added_and_waited_for() {
    let wide = TABLE.replace("]}", r#",{"name":"more","type":"BOOL"}]}"#);
    let rest = crate::script::rest(&[
        ("PATCH /bigquery/v2/projects/p/datasets/d/tables/t ", &[(200, &*wide)]),
        ("/tables/t ", &[(200, TABLE)]),
        ("/datasets/d ", &[(200, DATASET)]),
    ]);
    // `StorageError` with SCHEMA_MISMATCH_EXTRA_FIELDS, as a detail of the status.
    let detail = [
        bytes(1, b"type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError"),
        bytes(2, &int(1, 7)),
    ];
    let extra = bytes(2, &[int(1, 3), bytes(2, b"extra"), bytes(3, &detail.concat())].concat());
    let grpc = Grpc::start(vec![
        ("CreateWriteStream", vec![created()]),
        ("AppendRows", vec![appended(), Act::Reply(extra), appended()]),
        ("FinalizeWriteStream", vec![finalized(1)]),
        ("BatchCommitWriteStreams", vec![committed()]),
    ])
    .await;
    let mut life = Life::begin(&keys(&rest, &grpc, "unknown_fields: add"), None).await;
    life.write(&documents(&[r#"{"id":1}"#])).await;
    life.write(&documents(&[r#"{"id":2,"more":true}"#])).await;
    life.end(true).await;
    let patch = &rest.seen("PATCH")[0].body;
    assert!(
        patch.contains(r#"{"name":"more","type":"BOOL"}"#)
            && patch.contains(r#"{"name":"id","type":"INTEGER"}"#),
        "{patch}"
    );
    assert_eq!(grpc.calls("CreateWriteStream").len(), 2, "a stream writes the columns that it began with");
}

#[tokio::test]
async fn the_check_names_the_permissions_that_are_missing() {
    let rest = crate::script::rest(&[
        (":testIamPermissions", &[(200, r#"{"permissions":["bigquery.tables.get"]}"#)]),
        ("/tables/t ", &[(200, r#"{"type":"VIEW"}"#)]),
        ("/datasets/d ", &[(200, DATASET)]),
    ]);
    let grpc = Grpc::start(vec![("GetWriteStream", vec![Act::Status(7, "denied")])]).await;
    let mut sink = unwrapped(make(&keys(&rest, &grpc, ""), false).expect("it is made").sink);
    let found: Vec<String> = sink.check().await.iter().map(ToString::to_string).collect();
    let text = found.join("\n");
    for words in [
        "is a view, to which rows cannot be written",
        "lacks permissions on p.d.t: bigquery.tables.updateData",
        "denied",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[tokio::test]
async fn a_staging_table_is_waited_for_until_the_service_knows_it() {
    let rest = crate::script::rest(&[
        ("POST /bigquery/v2/projects/p/datasets/d/tables ", &[(200, "{}")]),
        ("/tables/t ", &[(200, TABLE)]),
        ("/datasets/d ", &[(200, DATASET)]),
    ]);
    let grpc = Grpc::start(vec![
        ("CreateWriteStream", vec![Act::Status(5, "not found: table"), created()]),
        ("AppendRows", vec![appended()]),
    ])
    .await;
    let mut life = Life::begin(&keys(&rest, &grpc, "write_mode: upsert\nkey: id"), None).await;
    life.write(&changes(&[("INSERT", r#"{"id":1}"#)])).await;
    assert_eq!(grpc.calls("CreateWriteStream").len(), 2);
    let body = &rest.seen("POST")[0].body;
    assert!(
        body.contains("expirationTime") && body.contains(r#"{"name":"_acme_order","type":"INT64"}"#),
        "{body}"
    );
}

/// Reads an `AppendRowsRequest` with Google's own libraries; each row as JSON.
fn decoded(request: &[u8]) -> String {
    const PROGRAM: &str = "import sys\n\
        from google.cloud.bigquery_storage_v1 import types\n\
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, json_format\n\
        r = types.AppendRowsRequest.deserialize(bytes.fromhex(sys.argv[1]))\n\
        d = types.ProtoSchema.pb(r.proto_rows.writer_schema).proto_descriptor\n\
        f = descriptor_pb2.FileDescriptorProto(name='r.proto', syntax='proto2')\n\
        f.message_type.add().CopyFrom(d)\n\
        p = descriptor_pool.DescriptorPool(); p.Add(f)\n\
        m = message_factory.GetMessageClass(p.FindMessageTypeByName(d.name))\n\
        print(r.write_stream, r.offset, r.default_missing_value_interpretation.name)\n\
        for o in d.field: print(o.name, o.options.SerializeToString().hex())\n\
        for row in r.proto_rows.rows.serialized_rows: print(json_format.MessageToJson(m.FromString(row), indent=None))";
    let hex: String = request.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut command = acme_lab::bigquery::python(PROGRAM).expect("the libraries are installed");
    acme_lab::run(command.arg(hex)).expect("it can be read")
}

#[tokio::test]
async fn records_and_odd_names_are_read_by_googles_own_libraries() {
    let table = r#"{"type":"TABLE","schema":{"fields":[
        {"name":"id","type":"INTEGER","mode":"REQUIRED"},
        {"name":"größe","type":"FLOAT"},
        {"name":"where","type":"RECORD","fields":[{"name":"city","type":"STRING"},
            {"name":"at","type":"RECORD","fields":[{"name":"x","type":"FLOAT64"},{"name":"tags","type":"STRING","mode":"REPEATED"}]}]},
        {"name":"items","type":"RECORD","mode":"REPEATED","fields":[{"name":"sku","type":"STRING","mode":"REQUIRED"},{"name":"n","type":"INT64"}]},
        {"name":"raw","type":"BYTES"},{"name":"day","type":"DATE"}]}}"#;
    let rest = crate::script::rest(&[("/tables/t ", &[(200, table)]), ("/datasets/d ", &[(200, DATASET)])]);
    let grpc =
        Grpc::start(vec![("CreateWriteStream", vec![created()]), ("AppendRows", vec![appended()])]).await;
    let mut life = Life::begin(&keys(&rest, &grpc, ""), None).await;
    let refused = life
        .refused(&documents(&[
            r#"{"id":-1,"größe":1.5,"where":{"city":"B","at":{"x":2,"tags":["a","b"]},"other":1},"items":[{"sku":"s","n":1},{"sku":"t"}],"raw":"AQI=","day":"1969-12-31"}"#,
            r#"{"ID":9223372036854775807,"items":[],"where":null}"#,
            r#"{"id":1,"items":[{"n":1}]}"#,
        ]))
        .await;
    assert_eq!(refused, [(2, "\"items\": \"sku\" is required, and the row has no value for it".to_owned())]);
    expect_test::expect![[r#"
        projects/p/datasets/d/tables/t/streams/s 0 DEFAULT_VALUE
        id 
        column_2 aa9bbcc70d076772c3b6c39f65
        where 
        items 
        raw 
        day 
        {"id": "-1", "column2": 1.5, "where": {"city": "B", "at": {"x": 2.0, "tags": ["a", "b"]}}, "items": [{"sku": "s", "n": "1"}, {"sku": "t"}], "raw": "AQI=", "day": -1}
        {"id": "9223372036854775807"}
    "#]].assert_eq(&decoded(&grpc.calls("AppendRows")[0]));
}
