//! `kafka` and `upsert-kafka`.

use super::Translation;
use super::rules::{DELIVERY, Flink, Meaning, PARALLELISM, Rule, both, formats, sink, source};
use crate::sql::table::SqlOption;
use acme_types::codes::{BAD_VALUE, MISSING_KEY};
use acme_types::{Diagnostic, Role};

pub(super) static KAFKA: Flink = Flink {
    name: "kafka",
    item: "kafka",
    only: None,
    required: &[],
    rules: RULES,
    has_format: true,
    together: |translation| {
        formats(translation);
        if translation.is_source() {
            topics(translation);
            start(translation);
            end(translation);
        } else {
            key(translation);
        }
    },
};

pub(super) static UPSERT_KAFKA: Flink = Flink {
    name: "upsert-kafka",
    item: "kafka",
    only: Some(Role::Destination),
    required: &[("topic", &["topic"]), ("key.format", &["key"]), ("value.format", &["format"])],
    rules: RULES,
    has_format: true,
    together: |translation| {
        formats(translation);
        if translation.table.primary_key.is_empty() {
            let message = "the connector \"upsert-kafka\" needs a primary key";
            let help = "add PRIMARY KEY (column) NOT ENFORCED to the columns";
            let at = &translation.table.name.at;
            translation.checker.push(Diagnostic::new(&MISSING_KEY, message).at(at).help(help));
        }
        key(translation);
    },
};

const NAMED: Meaning = Meaning::Ignored("Acme names the transactions of each worker by itself");
const BUFFERED: Meaning =
    Meaning::Ignored("SET 'execution.checkpointing.interval' says when rows are committed");

const RULES: &[Rule] = &[
    both("topic", Meaning::Together),
    source("topic-pattern", Meaning::Key("topic_pattern")),
    both("properties.bootstrap.servers", Meaning::List("brokers", ',')),
    source("properties.group.id", Meaning::Key("group_id")),
    source("properties.auto.offset.reset", Meaning::Together),
    sink("properties.auto.offset.reset", Meaning::Nothing),
    source("scan.startup.mode", Meaning::Together),
    source("scan.startup.timestamp-millis", Meaning::Together),
    source("scan.startup.specific-offsets", Meaning::Together),
    source("scan.bounded.mode", Meaning::Together),
    source("scan.bounded.timestamp-millis", Meaning::Only(&[], "a topic is read to its end, or without end")),
    source("scan.bounded.specific-offsets", Meaning::Only(&[], "a topic is read to its end, or without end")),
    source(
        "scan.topic-partition-discovery.interval",
        Meaning::Ignored("'properties.metadata.max.age.ms' says how often topics are looked for"),
    ),
    source("scan.parallelism", PARALLELISM),
    both("format", Meaning::Key("format")),
    both("value.format", Meaning::Key("format")),
    both("value.fields-include", Meaning::Only(&["ALL"], "a record's value has all columns")),
    both("key.format", Meaning::Together),
    both("key.fields", Meaning::Together),
    both("key.fields-prefix", Meaning::Only(&[""], "the columns of the key are columns of the value too")),
    both("key.json.*", Meaning::Nothing),
    both("key.csv.*", Meaning::Nothing),
    sink("sink.partitioner", Meaning::Together),
    sink("sink.semantic", DELIVERY),
    sink("sink.delivery-guarantee", DELIVERY),
    sink("sink.transactional-id-prefix", NAMED),
    sink("sink.transaction-naming-strategy", NAMED),
    sink("sink.parallelism", PARALLELISM),
    sink("sink.buffer-flush.max-rows", BUFFERED),
    sink("sink.buffer-flush.interval", BUFFERED),
];

/// `topic`, which may be several.
fn topics(translation: &mut Translation<'_, '_>) {
    let names = ["topic", "topics", "topic-pattern", "topic_pattern"];
    if !names.iter().any(|name| translation.get(name).is_some()) {
        let message = "the connector \"kafka\" needs the option 'topic'";
        let help = "add 'topic' = '…' to the WITH clause, or 'topic-pattern'";
        let at = &translation.table.name.at;
        translation.checker.push(Diagnostic::new(&MISSING_KEY, message).at(at).help(help));
    }
    let Some(option) = translation.get("topic") else { return };
    let Some(topics) = translation.resolve(option) else { return };
    match topics.contains(';') {
        true => translation.put_list("topics", option, topics.split(';')),
        false => translation.put_resolved("topic", option, &topics),
    }
}

/// Where reading begins.
fn start(translation: &mut Translation<'_, '_>) {
    let reset = translation.word("properties.auto.offset.reset");
    let Some((mode, option)) = translation.word("scan.startup.mode") else {
        if let Some((reset, option)) = reset {
            reset_to(translation, &reset, option);
        }
        return;
    };
    match &*mode {
        "earliest-offset" => translation.put_resolved("start_offset", option, "earliest"),
        "latest-offset" => translation.put_resolved("start_offset", option, "latest"),
        "group-offsets" => {
            if let Some((reset, option)) = reset {
                reset_to(translation, &reset, option);
            }
        }
        "timestamp" => further(translation, option, "scan.startup.timestamp-millis", |text| {
            text.trim().parse().ok().and_then(moment).ok_or("a number of milliseconds since 1970")
        }),
        "specific-offsets" => further(translation, option, "scan.startup.specific-offsets", |text| {
            offsets(text).ok_or("offsets such as 'partition:0,offset:42;partition:1,offset:300'")
        }),
        _ => {
            let expected =
                "one of 'earliest-offset', 'latest-offset', 'group-offsets', 'timestamp', 'specific-offsets'";
            translation.refuse(option, expected);
        }
    }
}

fn reset_to(translation: &mut Translation<'_, '_>, reset: &str, option: &SqlOption) {
    match reset {
        "earliest" | "latest" => translation.put_resolved("start_offset", option, reset),
        _ => translation.refuse(option, "'earliest' or 'latest'"),
    }
}

/// A mode of which another option says more.
fn further(
    translation: &mut Translation<'_, '_>,
    mode: &SqlOption,
    name: &'static str,
    convert: impl Fn(&str) -> Result<String, &'static str>,
) {
    match translation.get(name) {
        Some(option) => translation.convert("start_offset", option, convert),
        None => {
            let message = format!("this start needs the option '{name}'");
            let help = format!("add '{name}' = '…' to the WITH clause");
            translation.checker.push(Diagnostic::new(&MISSING_KEY, message).at(&mode.value_at).help(help));
        }
    }
}

/// Milliseconds since 1970 as `2026-01-01T00:00:00.000Z`.
fn moment(ms: i64) -> Option<String> {
    const DAY: i64 = 86_400_000;
    let (days, rest) = (ms.div_euclid(DAY), ms.rem_euclid(DAY));
    // The civil calendar in eras of 400 years that begin in March (H. Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = days.checked_add(719_468)?;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, milli) = (rest / 1_000 % 60, rest % 1_000);
    (0..=9_999)
        .contains(&year)
        .then(|| format!("{year:04}-{month:02}-{of_month:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"))
}

/// `partition:0,offset:42;partition:1,offset:300` as `0:42,1:300`.
fn offsets(text: &str) -> Option<String> {
    let pair = |pair: &str| {
        let (partition, offset) = pair.trim().split_once(',')?;
        let number = |text: &str, name: &str| -> Option<u64> {
            text.trim().strip_prefix(name)?.trim().strip_prefix(':')?.trim().parse().ok()
        };
        Some(format!("{}:{}", number(partition, "partition")?, number(offset, "offset")?))
    };
    let pairs = text.split(';').filter(|text| !text.trim().is_empty()).map(pair);
    pairs.collect::<Option<Vec<_>>>().filter(|pairs| !pairs.is_empty()).map(|pairs| pairs.join(","))
}

/// Where reading ends.
fn end(translation: &mut Translation<'_, '_>) {
    match translation.word("scan.bounded.mode") {
        Some((mode, _)) if mode == "latest-offset" => translation.bounded = true,
        Some((mode, option)) if mode != "unbounded" => {
            translation.refuse(option, "'unbounded' or 'latest-offset'");
        }
        _ => {}
    }
}

/// The key of a record that is written, and where it goes.
fn key(translation: &mut Translation<'_, '_>) {
    if let Some(option) = translation.get("topic") {
        translation.put("topic", option, option.value.reveal().to_owned());
    }
    if let Some((partitioner, option)) = translation.word("sink.partitioner") {
        match &*partitioner {
            "default" => {}
            "fixed" | "round-robin" => {
                let message = "'sink.partitioner' changes nothing: rows go by their key, or in turn";
                let ignored = Diagnostic::warning(&acme_types::codes::IGNORED, message);
                translation.checker.push(ignored.at(&option.key_at));
            }
            _ => translation.refuse(option, "'default', 'fixed' or 'round-robin'"),
        }
    }
    let columns: Vec<String> = match translation.get("key.fields") {
        Some(option) => translation.resolve(option).map_or(Vec::new(), |text| {
            text.split(';').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
        }),
        None => translation.table.primary_key.iter().map(|column| column.name.clone()).collect(),
    };
    let fields = translation.get("key.fields");
    if let Some(option) = fields
        && let Some(missing) = (columns.iter())
            .find(|name| !translation.table.columns.iter().any(|column| column.name == **name))
    {
        let message = "'key.fields' names a column that the table does not have".to_owned();
        let known: Vec<&str> = translation.table.columns.iter().map(|column| &*column.name).collect();
        let help = match crate::suggest::nearest(missing, known.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("known columns: {}", known.join(", ")),
        };
        translation.checker.push(Diagnostic::new(&BAD_VALUE, message).at(&option.value_at).help(help));
        return;
    }
    let Some((format, option)) = translation.word("key.format") else {
        if let Some(option) = fields {
            let message = "'key.fields' needs the option 'key.format'";
            let help = "add 'key.format' = 'raw' for one column as text, or 'json'";
            translation.checker.push(Diagnostic::new(&MISSING_KEY, message).at(&option.key_at).help(help));
        }
        return;
    };
    match (&*format, &columns[..]) {
        ("raw" | "csv", [column]) => {
            let quoted = format!("\"{}\"", column.replace('"', "\"\""));
            translation.put_resolved("key", option, &quoted);
        }
        ("raw" | "csv", _) => translation.refuse(option, "'json' where the key has not exactly one column"),
        // The keys of changes are JSON without being asked.
        ("json", _) if fields.is_none() => {}
        ("json", _) => {
            let message = "a key of JSON cannot be made of 'key.fields'".to_owned();
            let help = "declare the columns as PRIMARY KEY and take the connector upsert-kafka, or write 'key.format' = 'raw' for one column";
            translation.report(option, message, help);
        }
        _ => translation.refuse(option, "'json', 'raw' or 'csv'"),
    }
}

#[cfg(test)]
mod tests {
    use super::{moment, offsets};

    #[test]
    fn a_moment_is_written_with_its_date() {
        let at = |ms| moment(ms).expect("it is within the calendar");
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(1_767_225_599_999), "2025-12-31T23:59:59.999Z");
        assert_eq!(at(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(moment(i64::MAX), None);
        assert_eq!(moment(i64::MIN), None);
    }

    #[test]
    fn offsets_are_pairs() {
        let text = "partition:0,offset:42; partition:1,offset:300;";
        assert_eq!(offsets(text).as_deref(), Some("0:42,1:300"));
        assert_eq!(offsets("0:42"), None);
        assert_eq!(offsets(""), None);
    }
}
