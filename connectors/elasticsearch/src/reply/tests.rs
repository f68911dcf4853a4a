//! Replies as they come, and what is made of them.

use super::*;
use expect_test::{Expect, expect};

#[track_caller]
fn check(reply: &str, rows: usize, expect: &Expect) {
    let items: Vec<Item> = (0..rows).map(|row| Item { row, end: 0 }).collect();
    let mut fates = Fates::new();
    expect.assert_eq(&match read(reply.as_bytes(), &items, true, &mut fates) {
        Ok(findings) if findings == Findings::default() => format!("{fates:#?}\n"),
        Ok(findings) => format!("{fates:#?}\n{findings:#?}\n"),
        Err(cause) => {
            assert_eq!(fates, [], "an error takes back what was read before it");
            format!("error: {cause}\n")
        }
    });
}

#[test]
fn without_errors_items_are_only_counted() {
    let reply = r#"{"errors":false,"took":3,"items":[{"index":{"status":201}},{"anything":[1,{"a":null}]}]}"#;
    check(
        reply,
        2,
        &expect![[r#"
        []
    "#]],
    );
}

#[test]
fn each_item_has_its_own_fate() {
    let reply = r#"{"items":[
        {"index":{"status":201}},
        {"index":{"_id":"1","status":409,"error":{"type":"version_conflict_engine_exception","reason":"[1]: …"}}},
        {"delete":{"status":404}},
        {"index":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"queue full"}}},
        {"index":{"status":400,"error":{"type":"document_parsing_exception","reason":"[1:6] failed to parse",
            "caused_by":{"type":"x_content_e_o_f_exception","reason":"end\nof file"}}}},
        {"index":{"status":400,"error":"an old server says only this"}},
        {"index":{"status":400}}
    ],"errors":true}"#;
    check(
        reply,
        7,
        &expect![[r#"
        [
            (
                3,
                Retry {
                    after: 200ms,
                },
            ),
            (
                4,
                Reject {
                    reason: "document_parsing_exception: [1:6] failed to parse; caused by x_content_e_o_f_exception: end of file",
                },
            ),
            (
                5,
                Reject {
                    reason: "an old server says only this",
                },
            ),
            (
                6,
                Reject {
                    reason: "status 400",
                },
            ),
        ]
    "#]],
    );
}

#[test]
fn what_concerns_all_rows_is_kept_apart() {
    let reply = r#"{"errors":true,"items":[
        {"index":{"status":404,"error":{"type":"index_not_found_exception","reason":"no such index [users]"}}},
        {"index":{"status":403,"error":{"type":"security_exception","reason":"action is unauthorized"}}}
    ]}"#;
    check(
        reply,
        2,
        &expect![[r#"
        [
            (
                0,
                Retry {
                    after: 1s,
                },
            ),
        ]
        Findings {
            forbidden: Some(
                "security_exception: action is unauthorized",
            ),
            index_missing: true,
        }
    "#]],
    );
}

#[test]
fn a_reply_that_does_not_fit_its_request_says_nothing() {
    check(
        r#"{"errors":false,"items":[{}]}"#,
        2,
        &expect![[r#"
        error: it answers 1 rows, 2 were sent
    "#]],
    );
    check(
        r#"{"errors":true,"items":[{"index":{"status":429}}]}"#,
        2,
        &expect![[r#"
        error: it answers 1 rows, 2 were sent
    "#]],
    );
    check(
        r#"{"errors":true,"items":[{"index":{"status":429}},{"index":{"status":200}}]}"#,
        1,
        &expect![[r#"
        error: it has too many items at line 1 column 74
    "#]],
    );
    check(
        r#"{"errors":false,"items":[{}],"items":[{}]}"#,
        1,
        &expect![[r#"
        error: it has `items` twice at line 1 column 36
    "#]],
    );
    check(
        r#"{"errors":true,"items":[{"index":{"status":429},"delete":{"status":200}}]}"#,
        1,
        &expect![[r#"
        error: an item has two actions at line 1 column 56
    "#]],
    );
    check(
        r#"{"errors":true,"items":[{}]}"#,
        1,
        &expect![[r#"
        error: an item is empty at line 1 column 26
    "#]],
    );
    check(
        r#"{"errors":true}"#,
        1,
        &expect![[r#"
        error: it lacks `items`
    "#]],
    );
    check(
        r#"[]"#,
        0,
        &expect![[r#"
        error: invalid type: sequence, expected the reply to a bulk request at line 1 column 0
    "#]],
    );
    check(
        r#"{"errors":true,"items":[{"index":{"status":42"#,
        1,
        &expect![[r#"
        error: EOF while parsing an object at line 1 column 45
    "#]],
    );
}

#[test]
fn a_cut_anywhere_is_an_error() {
    let whole =
        r#"{"errors":true,"items":[{"index":{"status":400,"error":{"type":"a","reason":"b"}}}],"took":3}"#;
    let items = [Item { row: 0, end: 0 }];
    for length in 0..whole.len() {
        let mut fates = Fates::new();
        assert!(read(&whole.as_bytes()[..length], &items, true, &mut fates).is_err(), "{length}");
        assert_eq!(fates, []);
    }
    assert!(read(whole.as_bytes(), &items, true, &mut Fates::new()).is_ok());
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let reason = reason(&format!(r#"{{"type":"t","reason":"{}"}}"#, "ö".repeat(3000)));
    assert!(reason.ends_with("ö…") && reason.len() < REASON_MAX + 10);
}
