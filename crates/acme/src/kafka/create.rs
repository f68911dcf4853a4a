//! Creating topics.

use super::Said;
use super::failure::Failure;
use super::topics::topic_id;
use acme_kafka::admin::NewTopic;
use acme_kafka::{Client, ErrorCode};
use serde_json::json;

/// A topic that is to be.
#[derive(Debug)]
pub(crate) struct Create {
    pub(crate) name: String,
    pub(crate) partitions: Option<i64>,
    pub(crate) replication_factor: Option<i64>,
    /// The brokers of each partition: `0:1,1:2`.
    pub(crate) assignment: Option<String>,
    /// Settings: `name=value`.
    pub(crate) configs: Vec<String>,
    pub(crate) if_not_exists: bool,
}

/// `create`.
pub(crate) async fn create(client: &Client, create: &Create, as_json: bool) -> Result<Said, Failure> {
    let topic = new_topic(create)?;
    let mut said = Said::default();
    if create.name.contains(['.', '_']) {
        let note = "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could \
                    collide. To avoid issues it is best to use either, but not both.\n";
        if as_json { said.err.push_str(note) } else { said.out.push_str(note) }
    }
    match client.create_topic(&topic).await {
        Ok(id) if as_json => {
            said.out = format!("{:#}\n", json!({ "name": create.name, "id": topic_id(id) }));
        }
        Ok(_) => said.out.push_str(&format!("Created topic {}.\n", create.name)),
        Err(error) if create.if_not_exists && error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(said)
}

fn new_topic(create: &Create) -> Result<NewTopic, Failure> {
    let fault = |said: &str, help: &str| Err(Failure::user(said, help));
    let assignments = assignments(create.assignment.as_deref())?;
    let factor = match create.replication_factor {
        None => -1,
        Some(factor) => match i16::try_from(factor) {
            Ok(factor) if factor >= 1 => factor,
            _ => {
                let said = "The replication factor must be between 1 and 32767 inclusive";
                return fault(said, "leave it out for the cluster's default");
            }
        },
    };
    let partitions = match create.partitions {
        None => -1,
        Some(count) => match i32::try_from(count) {
            Ok(count) if count >= 1 => count,
            _ => {
                return fault(
                    "The partitions must be greater than 0",
                    "leave it out for the cluster's default",
                );
            }
        },
    };
    let mut topic = NewTopic::new(&create.name, partitions);
    topic.replication_factor = factor;
    topic.assignments = assignments;
    for setting in &create.configs {
        let Some((name, value)) = setting.split_once('=').filter(|(_, value)| !value.trim().is_empty())
        else {
            let said = "requirement failed: Invalid topic config: all configs to be added must be in the format \
                        \"key=val\".";
            return fault(said, "write it as retention.ms=604800000");
        };
        topic.configs.insert(name.trim().to_owned(), value.trim().to_owned());
    }
    Ok(topic)
}

/// The brokers of each partition out of `1:2,2:3`.
pub(crate) fn assignments(text: Option<&str>) -> Result<Vec<Vec<i32>>, Failure> {
    let help = "write the brokers of each partition as 1:2,2:3";
    let mut all: Vec<Vec<i32>> = Vec::new();
    for (number, part) in text.unwrap_or_default().split(',').filter(|part| !part.is_empty()).enumerate() {
        let brokers: Result<Vec<i32>, _> = part.split(':').map(|id| id.trim().parse()).collect();
        let brokers = brokers.map_err(|_| Failure::user(format!("For input string: \"{part}\""), help))?;
        let twice = brokers.iter().enumerate().find(|(at, id)| brokers[..*at].contains(id));
        if let Some((_, id)) = twice {
            let said = format!("Partition replica lists may not contain duplicate entries: {id}");
            return Err(Failure::user(said, help));
        }
        if all.first().is_some_and(|first| first.len() != brokers.len()) {
            let said = format!("Partition {number} has different replication factor: {brokers:?}");
            return Err(Failure::user(said, help));
        }
        all.push(brokers);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_names_the_brokers_of_each_partition() {
        assert_eq!(assignments(Some("1:2,2:3")).unwrap(), [[1, 2], [2, 3]]);
        for (text, expected) in [
            ("1:x", "For input string: \"1:x\""),
            ("1:1", "Partition replica lists may not contain duplicate entries: 1"),
            ("1:2,3", "Partition 1 has different replication factor: [3]"),
        ] {
            assert_eq!(assignments(Some(text)).unwrap_err().said, expected);
        }
    }
}
