//! Records that are not whole, and values of the wrong type: at the end of a file, in its middle, while it grows.

use crate::harness::{Place, counted, stop, text, until};
use expect_test::{Expect, expect};
use std::time::Duration;

const PIPELINE: &str = "
name: p
mode: MODE
sources: [{type: file, name: in, path: in.jsonl}]
transforms: [{type: map, fields: {double: \"n * 2\"}}]
destinations:
  - {type: file, name: out, path: out.jsonl}
";
const STOP: &str = "settings: {checkpoint: {interval: 20ms}}\n";
const SKIP: &str = "settings: {checkpoint: {interval: 20ms}, errors: {policy: skip}}\n";
const LETTERS: &str = "  - {type: file, name: dead, path: dead.jsonl}\n\
                       settings: {checkpoint: {interval: 20ms}, errors: {policy: dead_letter, to: dead}}\n";

fn place(mode: &str, settings: &str, input: &str) -> Place {
    let place = Place::new();
    place.write("p.yaml", &(PIPELINE.replace("MODE", mode) + settings));
    place.write("in.jsonl", input);
    place
}

/// Ends of a file that are no whole record.
const CUT: [&str; 6] = ["{\"n\":2", "{\"n\":2,\"t\":\"ab", "{\"n\"", "{", "{\"n\":2,\"t\":\"\\u00", "[1, 2]"];

#[test]
fn a_record_cut_off_at_the_end_of_a_batch_is_an_error_of_its_own() {
    for cut in CUT {
        let input = format!("{{\"n\":1}}\n{cut}");
        let stopped = place("batch", STOP, &input);
        let error = stopped.acme_fails(&["run", "p.yaml"]);
        assert!(error.contains("error[A0401]") && error.contains("in.jsonl@8"), "{cut}: {error}");
        assert!(!stopped.path("out.jsonl").exists(), "{cut}: nothing takes effect");

        let skipping = place("batch", SKIP, &input);
        let output = skipping.acme(&["run", "p.yaml"]);
        assert!(output.status.success() && text(&output.stderr).contains("1 failed"), "{cut}");
        assert_eq!(skipping.read("out.jsonl"), "{\"n\":1,\"double\":2}\n", "{cut}");

        let letters = place("batch", LETTERS, &input);
        letters.acme_ok(&["run", "p.yaml"]);
        assert_eq!(letters.read("out.jsonl"), "{\"n\":1,\"double\":2}\n", "{cut}");
        let letter: serde_json::Value =
            serde_json::from_str(&letters.read("dead.jsonl")).expect("one letter");
        assert_eq!((&letter["original"], &letter["origin"]), (&cut.into(), &"in.jsonl@8".into()));
    }
}

#[test]
fn a_last_record_without_a_line_end_is_whole_in_a_batch() {
    for end in ["{\"n\":2}", "{\"n\":2}\n", "{\"n\":2}\r\n", "{\"n\":2}\n\n\n"] {
        let place = place("batch", STOP, &format!("{{\"n\":1}}\n{end}"));
        place.acme_ok(&["run", "p.yaml"]);
        assert_eq!(place.read("out.jsonl"), "{\"n\":1,\"double\":2}\n{\"n\":2,\"double\":4}\n", "{end:?}");
    }
}

#[test]
fn a_last_line_that_is_not_finished_is_waited_for_in_a_stream_also_over_restarts() {
    let place = place("streaming", STOP, "{\"n\":1}\n");
    let whole = "{\"n\":2,\"t\":\"gr\u{fc}n\"}\n".as_bytes();
    // Byte for byte, also in the middle of a character, with a restart after every third.
    let mut child = place.spawn(&["run", "p.yaml"]);
    for (index, byte) in whole.iter().enumerate() {
        use std::io::Write;
        let file = std::fs::OpenOptions::new().append(true).open(place.path("in.jsonl"));
        file.expect("it is there").write_all(&[*byte]).expect("it is written");
        if index % 3 == 2 {
            std::thread::sleep(Duration::from_millis(150));
            let output = stop(child);
            assert!(output.status.success(), "after {index} bytes: {}", text(&output.stderr));
            child = place.spawn(&["run", "p.yaml"]);
        }
    }
    // It goes to a hidden file until the run ends.
    let written = || {
        let names = std::fs::read_dir(place.path(".")).expect("it is there").flatten();
        let names = names.filter(|entry| entry.file_name().to_string_lossy().contains("out"));
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        names.map(|entry| read(entry.path())).collect::<String>()
    };
    until("the row is read", || written().contains("\"double\":4"));
    let output = stop(child);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let written = written();
    let mut rows: Vec<&str> = written.lines().collect();
    rows.sort_unstable();
    assert_eq!(rows, ["{\"n\":1,\"double\":2}", "{\"n\":2,\"t\":\"gr\u{fc}n\",\"double\":4}"]);
}

#[test]
fn a_finished_line_that_is_cut_off_is_an_error_in_a_stream_too() {
    let place = place("streaming", SKIP, "{\"n\":1}\n{\"n\":\n{\"n\":3}\n");
    let child = place.spawn(&["run", "p.yaml"]);
    until("all rows are read", || counted(&place, "rows_out") == 2 && counted(&place, "commits") > 0);
    let output = stop(child);
    assert!(output.status.success() && text(&output.stderr).contains("1 failed"), "{}", text(&output.stderr));
    assert_eq!(place.read("out.jsonl"), "{\"n\":1,\"double\":2}\n{\"n\":3,\"double\":6}\n");
}

#[track_caller]
fn check(input: &str, letters: Expect) {
    let stopped = place("batch", STOP, input);
    assert!(stopped.acme_fails(&["run", "p.yaml"]).contains("error[A0401]"));
    let place = place("batch", LETTERS, input);
    place.acme_ok(&["run", "p.yaml"]);
    letters.assert_eq(&place.read("dead.jsonl"));
    assert_eq!(place.read("out.jsonl"), "{\"n\":null,\"double\":null}\n{\"double\":null}\n");
}

#[test]
fn a_value_of_the_wrong_type_is_an_error_and_never_null() {
    let good = "{\"n\":null}\n{}\n";
    check(
        &format!(
            "{{\"n\":\"1\"}}\n{{\"n\":true}}\n{{\"n\":[1]}}\n{{\"n\":{{\"n\":1}}}}\n{{\"n\":1e400}}\n{{\"n\":NaN}}\n{good}"
        ),
        expect![[r#"
            {"error_code":"A0401","error":"field \"n\" is text where the pipeline needs a number","step":"in","origin":"in.jsonl@0","original":"{\"n\":\"1\"}","original_bytes":null}
            {"error_code":"A0401","error":"field \"n\" is true or false where the pipeline needs a number","step":"in","origin":"in.jsonl@10","original":"{\"n\":true}","original_bytes":null}
            {"error_code":"A0401","error":"field \"n\" is an array where the pipeline needs a number","step":"in","origin":"in.jsonl@21","original":"{\"n\":[1]}","original_bytes":null}
            {"error_code":"A0401","error":"field \"n\" is an object where the pipeline needs a number","step":"in","origin":"in.jsonl@31","original":"{\"n\":{\"n\":1}}","original_bytes":null}
            {"error_code":"A0401","error":"field \"n\" number 1e400 has more digits than an exact number can keep; declare the field as `double`","step":"in","origin":"in.jsonl@45","original":"{\"n\":1e400}","original_bytes":null}
            {"error_code":"A0401","error":"is not a JSON object: expected value at line 1 column 6","step":"in","origin":"in.jsonl@57","original":"{\"n\":NaN}","original_bytes":null}
        "#]],
    );
}
