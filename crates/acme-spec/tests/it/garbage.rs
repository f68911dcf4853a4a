//! Whatever the file holds: an answer with a place, never a panic, never for long.

use crate::read;

const GOOD: &str = r#"name: orders
mode: streaming
sources:
  - type: database
    name: shop
    url: ${URL}
    port: ${PORT}
    tables: [public.orders, public.users]
    pause: 1.5s
transforms:
  - {type: keep, condition: "a > 1"}
  - type: split
    name: by_size
    routes: {large: "a > 10", small: "true"}
    default: rest
destinations:
  - {type: drain, name: large}
  - {type: drain, name: others, from: [small, rest]}
  - {type: drain, name: dead}
settings:
  parallelism: 2
  checkpoint: {interval: 5s}
  errors: {policy: dead_letter, to: dead}
"#;

/// Words, punctuation and white space, so that taking one out or doubling it makes a near miss.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = first.is_alphanumeric();
        let length = match word {
            true => rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        tokens.push(&rest[..length]);
        rest = &rest[length..];
    }
    tokens
}

#[test]
fn the_good_file_is_good() {
    let (spec, found) = read(GOOD);
    assert!(found.is_empty(), "{found:#?}");
    let spec = spec.expect("it is valid");
    assert_eq!(spec.graph.destinations.len(), 3);
    assert_eq!(spec.graph.dead_letter, Some(2));
}

#[test]
fn every_near_miss_gets_an_answer() {
    let tokens = tokens(GOOD);
    let (mut valid, mut refused) = (0, 0);
    let mut judge = |text: String| match read(&text) {
        (Some(_), _) => valid += 1,
        (None, found) => {
            refused += 1;
            assert!(found.iter().any(|diagnostic| !diagnostic.warning), "refused without a reason:\n{text}");
            assert!(
                found.iter().all(|diagnostic| diagnostic.at.is_some()),
                "a reason without a place: {found:?}\n{text}"
            );
        }
    };
    for at in 0..tokens.len() {
        let (before, after) = (tokens[..at].concat(), tokens[at + 1..].concat());
        judge(format!("{before}{after}"));
        judge(format!("{before}{0}{0}{after}", tokens[at]));
        if let Some(next) = tokens.get(at + 1) {
            judge(format!("{before}{next}{}{}", tokens[at], tokens[at + 2..].concat()));
        }
    }
    println!("{valid} valid, {refused} refused");
    assert!(valid > 100 && refused > 300, "{valid} valid, {refused} refused: the mutations do not bite");
}

#[test]
fn bombs_and_depths_are_refused_quickly() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let before = level - 1;
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 10].join(","));
    }
    let shown = |text: &str| read(text).1.iter().map(ToString::to_string).collect::<String>();
    assert!(shown(&bomb).contains("nodes"), "{}", shown(&bomb));
    let deep = shown(&format!("a: {}", "[".repeat(10_000)));
    assert!(deep.contains("A0101"), "{deep}");
    let deep = shown(&format!("a: {}1{}", "[".repeat(80), "]".repeat(80)));
    assert!(deep.contains("deeper"), "{deep}");
    assert!(shown("a: &a [*a]").contains("A0101"));
    let long = format!(
        "name: p\nsources: [{{type: database, url: \"{}\"}}]\ndestinations: [{{type: drain}}]\n",
        "x".repeat(5_000_000)
    );
    assert!(read(&long).0.is_some());
    for text in [
        "\u{0}",
        "\u{feff}name: p",
        "name: p\r\n",
        "\t",
        "? [a]\n: b",
        "!!binary x",
        "%YAML 9.9\n---\n",
        "---\na\n---\nb",
    ] {
        let _ = read(text);
    }
}
