//! Deleting the records of partitions up to offsets that a file names.

use super::failure::Failure;
use super::{Said, java};
use acme_kafka::{Client, TopicPartition};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Where the records end that go, by partition.
pub(crate) type Plan = BTreeMap<TopicPartition, i64>;

const HELP: &str = "write it as {\"partitions\": [{\"topic\": \"orders\", \"partition\": 0, \"offset\": 42}], \"version\": 1}; \
                    offset -1 is the end";

fn fault(said: impl Into<String>) -> Failure {
    Failure::user(said, HELP)
}

/// Reads the text of `--offset-json-file`.
pub(crate) fn plan(text: &str) -> Result<Plan, Failure> {
    let value: Value =
        serde_json::from_str(text).map_err(|_| fault("The input string is not a valid JSON"))?;
    let whole = value.as_object().ok_or_else(|| fault(format!("Expected JSON object, received {value}")))?;
    if let Some(version) = whole.get("version") {
        match version.as_i64() {
            Some(1) => {}
            Some(other) => return Err(fault(format!("Not supported version field value {other}"))),
            None => return Err(fault(format!("Expected `Integer` value, received {version}"))),
        }
    }
    let partitions = whole.get("partitions").ok_or_else(|| fault("Missing partitions field"))?;
    let partitions =
        partitions.as_array().ok_or_else(|| fault(format!("Expected JSON array, received {partitions}")))?;
    let mut plan = Plan::new();
    let mut twice = Vec::new();
    for entry in partitions {
        let fields =
            entry.as_object().ok_or_else(|| fault(format!("Expected JSON object, received {entry}")))?;
        let field =
            |name: &str| fields.get(name).ok_or_else(|| fault(format!("No such field exists: `{name}`")));
        let wrong = |kind: &str, found: &Value| fault(format!("Expected `{kind}` value, received {found}"));
        let (topic, number, offset) = (field("topic")?, field("partition")?, field("offset")?);
        let partition = TopicPartition::new(
            topic.as_str().ok_or_else(|| wrong("String", topic))?,
            number.as_i64().and_then(|it| i32::try_from(it).ok()).ok_or_else(|| wrong("Integer", number))?,
        );
        let offset = offset.as_i64().ok_or_else(|| wrong("Long", offset))?;
        if plan.insert(partition.clone(), offset).is_some() {
            twice.push(java::partition(&partition));
        }
    }
    if !twice.is_empty() {
        twice.dedup();
        let twice = twice.join(",");
        return Err(fault(format!("Offset json file contains duplicate topic partitions: {twice}")));
    }
    Ok(plan)
}

/// Deletes what the plan says. What one partition refuses does not keep the others from it.
pub(crate) async fn delete_records(client: &Client, plan: &Plan, as_json: bool) -> Said {
    let mut said = Said::default();
    let mut results = Vec::new();
    let mut help = None;
    said.out.push_str("Executing records delete operation\nRecords delete operation completed:\n");
    for (partition, before) in plan {
        let name = java::partition(partition);
        let mut result =
            json!({ "topic": &*partition.topic, "partition": partition.partition, "before": before });
        match client.delete_records(partition, *before).await {
            Ok(low) => {
                let _ = writeln!(said.out, "partition: {name}\tlow_watermark: {low}");
                result["low_watermark"] = low.into();
            }
            Err(error) => {
                let failure = Failure::from(error);
                let why = failure.with_exception();
                let _ = writeln!(said.out, "partition: {name}\terror: {why}");
                result["error"] = failure.said.into();
                help = help.or(failure.help);
                said.failed = true;
            }
        }
        results.push(result);
    }
    if as_json {
        said.out = format!("{:#}\n", Value::from(results));
    }
    if let Some(help) = help {
        said.err = format!("help: {help}\n");
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_partitions_and_offsets() {
        let text = r#"{"partitions": [{"topic": "a", "partition": 1, "offset": 5}], "version": 1}"#;
        assert_eq!(plan(text).unwrap(), Plan::from([(TopicPartition::new("a", 1), 5)]));
        let part = r#"{"topic": "a", "partition": 1, "offset": 5}"#;
        for (text, expected) in [
            ("{", "The input string is not a valid JSON"),
            ("[]", "Expected JSON object, received []"),
            ("{}", "Missing partitions field"),
            (r#"{"partitions": 1}"#, "Expected JSON array, received 1"),
            (r#"{"partitions": [{}]}"#, "No such field exists: `topic`"),
            (
                r#"{"partitions": [{"topic": "a", "partition": "x", "offset": 1}]}"#,
                "Expected `Integer` value",
            ),
            (r#"{"version": 2, "partitions": []}"#, "Not supported version field value 2"),
        ] {
            assert!(plan(text).unwrap_err().said.starts_with(expected), "{text}");
        }
        let said = plan(&format!(r#"{{"partitions": [{part}, {part}]}}"#)).unwrap_err().said;
        assert_eq!(said, "Offset json file contains duplicate topic partitions: a-1");
    }
}
