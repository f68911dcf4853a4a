//! Values from outside the file.

use crate::read;

/// The note of a pipeline whose destination has this one.
#[track_caller]
fn note(value: &str) -> String {
    let text = format!(
        "name: p\nsources: [{{type: database, url: x}}]\ndestinations:\n  - type: drain\n    note: {value}\n"
    );
    let (spec, found) = read(&text);
    let spec = spec.unwrap_or_else(|| panic!("{found:?}"));
    spec.destinations[0].config.text("note").expect("given").clone()
}

#[test]
fn variables_files_and_defaults_are_put_in() {
    assert_eq!(note("${PORT}"), "5432");
    assert_eq!(note("\"a ${env:PORT} b ${PORT}\""), "a 5432 b 5432");
    assert_eq!(note("${NOPE:-fall back}"), "fall back");
    assert_eq!(note("${EMPTY:-fall back}"), "fall back");
    assert_eq!(note("\"${EMPTY}\""), "");
    assert_eq!(note("${file:/secret}"), "from a file");
    assert_eq!(note("$${PORT}"), "${PORT}");
    assert_eq!(note("cost $5"), "cost $5");
}

#[test]
fn a_value_is_never_read_again() {
    assert_eq!(note("${YAML}"), "a: [b, *c] # ${URL}");
}

#[test]
fn what_is_missing_is_named_with_its_place() {
    let text = "name: p\nsources:\n  - {type: database, url: \"${NOPE}\"}\ndestinations:\n  - {type: drain, note: \"${file:/no}\"}\n  - {type: drain, name: d, note: \"${unclosed\"}\n";
    let found = read(text).1;
    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 3, "{shown:#?}");
    assert!(
        shown[0].contains("variable NOPE is not set") && shown[0].contains("p.yaml:3:27"),
        "{}",
        shown[0]
    );
    assert!(shown[1].contains("/no") && shown[2].contains("never closed"), "{shown:#?}");
}

#[test]
fn no_message_shows_what_a_variable_held() {
    let text = "name: p\nsources:\n  - {type: database, url: \"${URL}\", port: \"${BAD_PORT}\", mode: \"${BAD_PORT}\", pause: \"${BAD_PORT}\"}\ndestinations: [{type: drain}]\n";
    let (spec, found) = read(text);
    assert!(spec.is_none() && found.len() == 3, "{found:?}");
    let shown = format!("{found:?} {}", found.iter().map(ToString::to_string).collect::<String>());
    assert!(!shown.contains("s3cret") && shown.contains("${BAD_PORT}"), "{shown}");
    let (spec, _) =
        read("name: p\nsources: [{type: database, url: \"${URL}\"}]\ndestinations: [{type: drain}]\n");
    let shown = format!("{:?}", spec.expect("it is valid"));
    assert!(!shown.contains("s3cret") && shown.contains("***"), "{shown}");
}
