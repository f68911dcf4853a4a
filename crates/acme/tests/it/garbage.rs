//! Whatever stands where a pipeline file is expected: a clear answer with its place and exit code 2; never a panic, never for
//! long, never much memory.

use crate::harness::{Place, text};
use acme_sim::Rng;
use acme_types::{Field, Kind, Role, Spec};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long an answer may take, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(10);
/// Kibibytes of data that the process may have. An address space would be too coarse: allocators reserve more than they use.
const MEMORY_KIB: u32 = 256 << 10;

/// What `validate` says of a file, and its exit code.
#[track_caller]
fn answer(place: &Place, file: &str) -> (Option<i32>, String) {
    let script = format!("ulimit -d {MEMORY_KIB} && exec \"$0\" validate \"$1\"");
    let began = Instant::now();
    let output = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_acme"), file])
        .current_dir(place.path("."))
        .env("DATABASE_URL", "postgres://u:p@127.0.0.1:1/d")
        .output()
        .expect("sh runs");
    assert!(began.elapsed() < PATIENCE, "{file} took {:?}", began.elapsed());
    let error = text(&output.stderr);
    assert!(!error.contains("panicked"), "{file}: {error}");
    assert!(error.len() < 40_000, "{file}: {} bytes of messages", error.len());
    assert!(error.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control()), "{file}: {error:?}");
    (output.status.code(), error)
}

#[track_caller]
fn refused(place: &Place, file: &str) -> String {
    let (code, error) = answer(place, file);
    assert_eq!(code, Some(2), "{file}: {error}");
    assert!(error.starts_with("error[A0") && error.contains(file), "{file}: {error}");
    error
}

#[track_caller]
fn check(name: &str, content: impl AsRef<[u8]>, says: &str) {
    let place = Place::new();
    std::fs::write(place.path("p.yaml"), content).expect("it can be written");
    let error = refused(&place, "p.yaml");
    assert!(error.contains("--> p.yaml:") && error.contains(says), "{name}: {error}");
}

#[test]
fn what_is_no_file_of_text_is_refused() {
    let place = Place::new();
    std::fs::create_dir(place.path("folder")).expect("it can be made");
    assert!(refused(&place, "folder").contains("error[A0111]"));
    assert!(refused(&place, "absent.yaml").contains("error[A0111]"));
    assert!(refused(&place, "/dev/zero").contains("more than 16 MiB"), "a device that never ends");
    check("empty", "", "the file is empty");
    check("spaces", " \n \n", "the file is empty");
    check("comment", format!("#{}", "x".repeat(10_000_000)), "the file is empty");
    check("NUL", "name: a\0b\n", "A0101");
    check("invalid UTF-8", b"name: p\nmode: b\xffatch\n", "--> p.yaml:2:8");
    check("UTF-16", b"\xff\xfen\0a\0m\0e\0", "not UTF-8 text");
    check("tabs", "name: p\nsources:\n\t- type: file\n", "tab");
    check("a control character", "name: \"\\e[2J\\u0007\"\n", "\\u{1b}[2J");
    check("two documents", "name: p\n---\nname: q\n", "more than one document");
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_no_mistake() {
    let place = Place::new();
    let good =
        "name: p\nsources: [{type: generator, fields: {n: sequence}}]\ndestinations: [{type: \"null\"}]\n";
    place.write("p.yaml", &format!("\u{feff}{}", good.replace('\n', "\r\n")));
    assert_eq!(answer(&place, "p.yaml"), (Some(0), String::new()));
}

#[test]
fn what_grows_without_end_is_refused_quickly() {
    let many = |text: &str, count: usize| text.repeat(count);
    check("deep flow lists", format!("name: {}", many("[", 100_000)), "A0101");
    check("deep flow maps", format!("name: {}", many("{a: ", 100_000)), "nested deeper");
    check("deep block lists", format!("{}x\n", many("- ", 100_000)), "nested deeper");
    check("deep keys", many("? ", 100_000), "nested deeper");
    let indented: String = (0..3_000).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    check("deep block maps", indented, "nested deeper");
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(","));
    }
    check("a bomb of aliases", bomb, "nodes");
    let inside: String = (0..60).map(|n| format!("&a{n} [")).collect();
    check("anchors in anchors", format!("a: {inside}{}{}\n", many("x,", 90_000), many("]", 60)), "nodes");
    check("an alias in its anchor", "a: &a [*a]\n", "A0101");
    check("many nodes", format!("a: [{}]\n", many("x,", 3_000_000)), "nodes");
    let keys: String = (0..49_000).map(|n| format!("a{n}: x\n")).collect();
    check("many keys", keys, "and 48");
    check("one key many times", many("name: p\n", 49_000), "stands twice");
    for quote in ["", "\"", "'"] {
        let long = format!("name: {quote}{}{quote}\n", many("x", 10_000_000));
        check("a long name", long, "\"xxx");
    }
    check("a long word", format!("mode: {}\n", many("x", 10_000_000)), "\"mode\" cannot be \"xxx");
    check("a long key", format!("{}: 1\n", many("x", 10_000_000)), "A0101");
    check("a long line of lines", many("\n", 10_000_000), "the file is empty");
    check("a long block", format!("name: |\n{}", many("  x\n", 2_000_000)), "error[A0104]");
    for word in ["&", "*a", "!", "%", "@", "`", "|", ">", "- - ", "? : ", ",", "}{", "'", "\"", "<<: "] {
        check(word, many(word, 50_000), "error[A0");
    }
}

/// Values that a key of this kind cannot have, as they stand in a file.
fn wrong(kind: &Kind) -> Vec<&'static str> {
    let number =
        ["x", "1e99", "99999999999999999999999999", "-99999999999999999999", "0x10", "NaN", "[1, 2]"];
    match kind {
        Kind::Text | Kind::Secret | Kind::Sql | Kind::Step => vec!["[a, b]", "{a: b}", "~", "[]", ""],
        Kind::Bool => vec!["maybe", "1", "yes", "[true]", "~", "\"\""],
        Kind::Int(..) => [&number[..], &["1.5", "{a: 1}", "~"]].concat(),
        Kind::Duration => [&number[..], &["10", "-1s", "99999999999999999d", "1y", "~"]].concat(),
        Kind::Size => [&number[..], &["-1", "99999999999999GiB", "1.5b", "~"]].concat(),
        Kind::Choice(_) => vec!["no-such-choice", "[a]", "{a: b}", "~", "\"\""],
        Kind::List(_) => vec!["{a: b}", "~", "[[a]]", "[{a: b}]"],
        Kind::Map(_) => vec!["a", "[a]", "~", "{a: [b]}", "{a: {b: c}}"],
        Kind::Object(_) => vec!["a", "[a]", "~", "{no-such-key: 1}"],
    }
}

/// Values at the edges of what a key of this kind can have.
fn extreme(kind: &Kind) -> Vec<String> {
    match kind {
        Kind::Text | Kind::Secret | Kind::Sql | Kind::Step => [
            "\"\"",
            "\"\\0\"",
            "\"../../../etc/passwd\"",
            "\"{\"",
            "\"[\"",
            "\"'; DROP TABLE x; --\"",
            "\"${\"",
        ]
        .into_iter()
        .map(str::to_owned)
        .chain([format!("\"{}\"", "é\u{202e}".repeat(5_000))])
        .collect(),
        Kind::Int(low, high) => vec![low.to_string(), high.to_string()],
        Kind::Duration => vec!["0s".to_owned(), "1us".to_owned(), "100000d".to_owned()],
        Kind::Size => vec!["0".to_owned(), "1".to_owned(), "8000000GiB".to_owned()],
        Kind::Choice(words) => words.iter().map(|word| (*word).to_owned()).collect(),
        Kind::List(inner) => std::iter::once("[]".to_owned())
            .chain(extreme(inner).into_iter().map(|value| format!("[{value}]")))
            .collect(),
        Kind::Map(inner) => std::iter::once("{}".to_owned())
            .chain(extreme(inner).into_iter().map(|value| format!("{{\"\": {value}, b: {value}}}")))
            .collect(),
        Kind::Object(_) => vec!["{}".to_owned()],
        Kind::Bool => vec!["true".to_owned(), "false".to_owned()],
    }
}

/// Takes the kind of a key, and what makes a pipeline of a value.
type Judge<'a> = dyn FnMut(&Kind, &dyn Fn(&str) -> String) + 'a;

/// Calls `judge` with a pipeline for each key of each item, those inside of others too: what stands on line 4 is up to it.
fn every_key(judge: &mut Judge<'_>) {
    fn walk(fields: &'static [Field], around: &dyn Fn(&str) -> String, judge: &mut Judge<'_>) {
        for field in fields {
            let here = |value: &str| around(&format!("{}:\n{value}", field.name));
            // A value on a line of its own, so that its place tells it from all others.
            judge(&field.kind, &here);
            if let Kind::Object(inner) = field.kind {
                walk(inner, &|inside| around(&format!("{}: {{{inside}}}", field.name)), judge);
            }
        }
    }
    for spec in acme::specs() {
        walk(spec.fields, &|inside| pipeline(spec, inside), judge);
    }
}

/// The key stands on line 3, its value on line 4.
fn pipeline(spec: &Spec, inside: &str) -> String {
    let item = format!("[{{type: \"{}\",\n {inside}\n}}]", spec.name);
    let source = "sources: [{type: generator, fields: {n: sequence}}]";
    let destination = "destinations: [{type: \"null\"}]";
    match spec.role {
        Role::Source => format!("name: p\nsources: {item}\n{destination}\n"),
        Role::Transform => format!("name: p\ntransforms: {item}\n{source}\n{destination}\n"),
        Role::Destination => format!("name: p\ndestinations: {item}\n{source}\n"),
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_refused_for_every_key() {
    let place = Place::new();
    let mut judged = 0;
    every_key(&mut |kind, with| {
        for value in wrong(kind) {
            let text = with(value);
            place.write("p.yaml", &text);
            let error = refused(&place, "p.yaml");
            // Line 4 is the value's, or the one behind it where nothing stands there.
            let found = error.contains("p.yaml:4:") || error.contains("p.yaml:3:") || value.is_empty();
            assert!(found, "{value} as {kind:?}: {error}\n{text}");
            judged += 1;
        }
    });
    assert!(judged > 150, "only {judged} values were judged");
}

#[test]
fn a_value_at_the_edge_of_its_kind_is_taken_or_refused() {
    let place = Place::new();
    let mut judged = 0;
    every_key(&mut |kind, with| {
        for value in extreme(kind) {
            place.write("p.yaml", &with(&value));
            let (code, error) = answer(&place, "p.yaml");
            assert!(matches!(code, Some(0 | 2)), "{value:.80} as {kind:?}: {error}");
            judged += 1;
        }
    });
    assert!(judged > 80, "only {judged} values were judged");
}

const GOOD: [&str; 5] = [
    include_str!("../../../../examples/orders.yaml"),
    include_str!("../../../../examples/quickstart.yaml"),
    include_str!("../../../../examples/realtime-users.yaml"),
    include_str!("../../../../examples/kafka-events.yaml"),
    r#"name: p
mode: batch
sources: [{type: file, path: [a.jsonl, "b-*.jsonl"], schema: {id: bigint, at: timestamp}}]
transforms:
  - {type: filter, condition: "id > 1 AND at > TIMESTAMP '2026-01-01T00:00:00Z'"}
  - {type: select, fields: [id, "upper(CAST(at AS VARCHAR)) AS text"]}
destinations:
  - {type: file, path: out.csv, format: csv, rotate: {size: 1MiB, every: 5m}}
  - {type: elasticsearch, name: es, index: "users-{id}", id_field: id, url: "http://u:p@127.0.0.1:1"}
settings: {parallelism: 2, checkpoint: {interval: 5s}, errors: {policy: skip}}
"#,
];

const MARKS: &[u8] = b"[]{}:,&*#?|-<>=!%@'\"\t\n $";

/// Cuts, doubles, swaps and overwrites parts of a text.
fn damaged(good: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=rng.below(2) {
        let length = bytes.len() as u64;
        if length < 2 {
            break;
        }
        let at = usize::try_from(rng.below(length)).expect("it fits");
        let end = bytes.len().min(at + 1 + usize::try_from(rng.below(20)).expect("it fits"));
        match rng.below(6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => bytes.splice(at..at, good[..end.min(good.len())].to_vec()).for_each(drop),
            3 => bytes[at] = u8::try_from(rng.below(256)).expect("below"),
            4 => bytes[at] = MARKS[usize::try_from(rng.below(MARKS.len() as u64)).expect("below")],
            _ => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part).for_each(drop);
            }
        }
    }
    bytes
}

#[test]
fn damaged_files_and_random_bytes_always_get_an_answer() {
    let place = Place::new();
    for good in GOOD {
        place.write("p.yaml", good);
        assert_eq!(answer(&place, "p.yaml"), (Some(0), String::new()));
    }
    let (mut valid, mut no) = (0, 0);
    for seed in 1..=400 {
        let mut rng = Rng(seed);
        let content = match rng.below(8) {
            0 => (0..rng.below(2_000)).map(|_| u8::try_from(rng.below(256)).expect("below")).collect(),
            1 => (0..rng.below(2_000)).map(|_| b' ' + u8::try_from(rng.below(95)).expect("below")).collect(),
            pick => damaged(GOOD[usize::try_from(pick).expect("small") % GOOD.len()].as_bytes(), &mut rng),
        };
        std::fs::write(place.path("p.yaml"), &content).expect("it can be written");
        let (code, error) = answer(&place, "p.yaml");
        match code {
            Some(0) => valid += 1,
            Some(2) => no += 1,
            code => panic!("seed {seed}: {code:?}: {error}\n{}", String::from_utf8_lossy(&content)),
        }
        let faults = error.matches("error[A").count();
        let places = error.matches("--> p.yaml:").count();
        assert!(code == Some(0) || (faults > 0 && places >= faults), "seed {seed}: no place: {error}");
    }
    println!("{valid} valid, {no} refused");
    assert!(valid > 10 && no > 200, "{valid} valid, {no} refused: the damage does not bite");
}
