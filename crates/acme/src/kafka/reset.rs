//! Setting the offsets of groups that have no members.

use super::failure::Failure;
use super::groups::{Groups, committed};
use super::{Said, java};
use acme_kafka::group::{GroupMetadata, OffsetAndMetadata};
use acme_kafka::{At, Client, ErrorCode, Isolation, TopicPartition};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Which partitions are meant.
#[derive(Clone, Debug)]
pub(crate) enum Scope {
    /// All that the group has committed.
    Committed,
    /// `orders` with all of its partitions, or `orders:0,1`.
    Topics(Vec<String>),
    /// Those of the file.
    File,
}

/// Where they are set to.
#[derive(Clone, Debug)]
pub(crate) enum To {
    Earliest,
    Latest,
    /// Where they are; the end for partitions without an offset.
    Current,
    Offset(i64),
    Shift(i64),
    /// The first record that is not older, in ms since 1970.
    Time(i64),
    /// What a file says: group (where it names them), partition, offset.
    Plan(Vec<(Option<String>, TopicPartition, i64)>),
}

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Reset {
    pub(crate) groups: Groups,
    pub(crate) scope: Scope,
    pub(crate) to: To,
    pub(crate) execute: bool,
    /// As lines that `--from-file` takes.
    pub(crate) export: bool,
}

type Offsets = BTreeMap<TopicPartition, i64>;

/// `reset-offsets`.
pub(crate) async fn reset(client: &Client, reset: &Reset, as_json: bool) -> Result<Said, Failure> {
    let mut said = Said::default();
    let mut all: BTreeMap<String, Offsets> = BTreeMap::new();
    let ids = reset.groups.ids(client).await?;
    for id in &ids {
        // One that does not exist is one without members.
        let state = client.describe_group(id).await?.map_or_else(|| "Dead".to_owned(), |group| group.state);
        if !["Empty", "Dead"].contains(&state.as_str()) {
            let _ = writeln!(
                said.out,
                "\nError: Assignments can only be reset if the group '{id}' is inactive, but the current state is {state}."
            );
            said.err.push_str("help: stop the group's consumers first\n");
            said.failed = true;
            all.insert(id.clone(), Offsets::new());
            continue;
        }
        let offsets = planned(client, id, reset, &mut said).await?;
        if reset.execute && !offsets.is_empty() {
            let positions = named(client, &offsets).await?;
            client.commit_offsets(&GroupMetadata::outside(id.clone()), &positions).await?;
        }
        all.insert(id.clone(), offsets);
    }
    if as_json {
        let said_before = std::mem::take(&mut said.out);
        said.err.push_str(said_before.trim_start());
        said.out = format!("{:#}\n", value(&all, reset.execute));
    } else if reset.export {
        said.out.push_str(&export(&all, ids.len() == 1));
    } else {
        table(&all, &mut said.out);
    }
    Ok(said)
}

/// The offsets as the source `kafka` takes them: each names its topic by the id, so that it is seen that they were meant for it.
async fn named(
    client: &Client,
    offsets: &Offsets,
) -> Result<Vec<(TopicPartition, OffsetAndMetadata)>, Failure> {
    let mut topics: Vec<&str> = offsets.keys().map(|partition| &*partition.topic).collect();
    topics.dedup();
    let metadata = client.metadata(&topics).await?;
    let position = |(partition, offset): (&TopicPartition, &i64)| {
        let id = metadata.topics.get(&partition.topic).map(|topic| topic.id).unwrap_or_default();
        (partition.clone(), OffsetAndMetadata { metadata: id.to_string(), ..OffsetAndMetadata::new(*offset) })
    };
    Ok(offsets.iter().map(position).collect())
}

fn value(all: &BTreeMap<String, Offsets>, executed: bool) -> serde_json::Value {
    let groups = all.iter().map(|(group, offsets)| {
        let offsets = offsets.iter().map(|(partition, offset)| {
            json!({ "topic": &*partition.topic, "partition": partition.partition, "new_offset": offset })
        });
        json!({ "group": group, "executed": executed, "offsets": offsets.collect::<Vec<_>>() })
    });
    groups.collect()
}

fn export(all: &BTreeMap<String, Offsets>, one_group: bool) -> String {
    let mut out = String::new();
    for (group, offsets) in all {
        for (partition, offset) in offsets {
            let group = if one_group { String::new() } else { format!("{},", field(group)) };
            let _ = writeln!(out, "{group}{},{},{offset}", field(&partition.topic), partition.partition);
        }
    }
    out.push('\n');
    out
}

/// A field of CSV; only a group's name can need quotes.
fn field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) || text.starts_with(' ') {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

fn table(all: &BTreeMap<String, Offsets>, out: &mut String) {
    let group_width = all.keys().map(String::len).max().unwrap_or(0).max(15);
    let topics = all.values().flat_map(BTreeMap::keys).map(|partition| partition.topic.len());
    let topic_width = topics.max().unwrap_or(0).max(15);
    let mut line = |group: &str, topic: &str, partition: &str, offset: &str| {
        let _ = write!(out, "\n{group:<group_width$} {topic:<topic_width$} {partition:<10} {offset}");
    };
    line("GROUP", "TOPIC", "PARTITION", "NEW-OFFSET");
    for (group, offsets) in all {
        for (partition, offset) in offsets {
            line(group, &partition.topic, &partition.partition.to_string(), &offset.to_string());
        }
    }
    out.push('\n');
}

/// The new offsets of one group.
async fn planned(client: &Client, group: &str, reset: &Reset, said: &mut Said) -> Result<Offsets, Failure> {
    if let To::Plan(lines) = &reset.to {
        let of_group = lines.iter().filter(|(named, ..)| named.as_deref().is_none_or(|named| named == group));
        let wanted: Offsets = of_group.map(|(_, partition, offset)| (partition.clone(), *offset)).collect();
        if wanted.is_empty() {
            let _ = writeln!(said.out, "\nError: No reset plan for group {group} found");
            said.failed = true;
        }
        all_exist(client, &wanted.keys().cloned().collect::<Vec<_>>()).await?;
        return within_log(client, wanted, said).await;
    }
    let partitions = match &reset.scope {
        Scope::Committed => committed(client, group).await?.into_keys().collect(),
        Scope::Topics(topics) => partitions_of(client, topics).await?,
        Scope::File => Vec::new(),
    };
    all_exist(client, &partitions).await?;
    match &reset.to {
        To::Earliest => listed(client, partitions, At::Earliest).await,
        To::Latest => listed(client, partitions, At::Latest).await,
        To::Offset(offset) => {
            let wanted = partitions.into_iter().map(|partition| (partition, *offset)).collect();
            within_log(client, wanted, said).await
        }
        To::Shift(by) => {
            let committed = committed(client, group).await?;
            let mut wanted = Offsets::new();
            for partition in partitions {
                let Some(now) = committed.get(&partition) else {
                    let name = java::partition(&partition);
                    let text = "since there is no current committed offset";
                    let message = format!("Cannot shift offset for partition {name} {text}");
                    return Err(Failure::user(
                        message,
                        "reset it with --to-earliest, --to-latest or --to-offset",
                    ));
                };
                wanted.insert(partition, now.offset.saturating_add(*by));
            }
            within_log(client, wanted, said).await
        }
        To::Current => {
            let committed = committed(client, group).await?;
            let (with, without): (Vec<_>, Vec<_>) =
                partitions.into_iter().partition(|partition| committed.contains_key(partition));
            let mut offsets = listed(client, without, At::Latest).await?;
            offsets.extend(with.into_iter().map(|partition| {
                let offset = committed[&partition].offset;
                (partition, offset)
            }));
            Ok(offsets)
        }
        To::Time(ms) => at_time(client, partitions, *ms, said).await,
        To::Plan(_) => Ok(Offsets::new()),
    }
}

async fn listed(client: &Client, partitions: Vec<TopicPartition>, at: At) -> Result<Offsets, Failure> {
    let asked: Vec<_> = partitions.into_iter().map(|partition| (partition, at)).collect();
    let listed = client.list_offsets(&asked, Isolation::ReadUncommitted).await?;
    Ok(listed.into_iter().map(|(partition, listed)| (partition, listed.offset)).collect())
}

async fn at_time(
    client: &Client,
    partitions: Vec<TopicPartition>,
    ms: i64,
    said: &mut Said,
) -> Result<Offsets, Failure> {
    let asked: Vec<_> = partitions.into_iter().map(|partition| (partition, At::Time(ms))).collect();
    let listed = client.list_offsets(&asked, Isolation::ReadUncommitted).await?;
    let mut offsets = Offsets::new();
    for (partition, listed) in listed {
        // The end has no timestamp.
        if listed.timestamp < 0 {
            let _ = writeln!(
                said.out,
                "\nWarn: Partition {} from topic {} is empty. Falling back to latest known offset.",
                partition.partition, partition.topic
            );
        }
        offsets.insert(partition, listed.offset);
    }
    Ok(offsets)
}

/// Moves offsets that lie outside of their logs to the nearest end.
async fn within_log(client: &Client, wanted: Offsets, said: &mut Said) -> Result<Offsets, Failure> {
    let partitions: Vec<TopicPartition> = wanted.keys().cloned().collect();
    let first = listed(client, partitions.clone(), At::Earliest).await?;
    let last = listed(client, partitions, At::Latest).await?;
    let mut offsets = Offsets::new();
    for (partition, offset) in wanted {
        let (first, last) = (first[&partition], last[&partition]);
        let name = java::partition(&partition);
        let mut moved = |which: &str, to: i64| {
            let _ = writeln!(
                said.err,
                "WARN New offset ({offset}) is {which} offset for topic partition {name}. Value will be set to {to}"
            );
            to
        };
        let inside = if offset > last {
            moved("higher than latest", last)
        } else if offset < first {
            moved("lower than earliest", first)
        } else {
            offset
        };
        offsets.insert(partition, inside);
    }
    Ok(offsets)
}

/// Fails if one of the partitions does not exist.
async fn all_exist(client: &Client, partitions: &[TopicPartition]) -> Result<(), Failure> {
    let topics: BTreeSet<&str> = partitions.iter().map(|partition| &*partition.topic).collect();
    if topics.is_empty() {
        return Ok(());
    }
    let topics: Vec<&str> = topics.into_iter().collect();
    let metadata = client.metadata(&topics).await?;
    let missing = partitions.iter().filter(|partition| {
        let topic = metadata.topics.get(&partition.topic).filter(|topic| topic.error.is_ok());
        !topic.is_some_and(|topic| topic.partitions.contains_key(&partition.partition))
    });
    let missing: Vec<String> = missing.map(java::partition).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let said = format!("The partitions \"{}\" do not exist", missing.join(","));
    Err(Failure::user(said, "`acme topics describe` shows a topic's partitions"))
}

/// The partitions of `orders` (all) and `orders:0,1`.
pub(crate) async fn partitions_of(
    client: &Client,
    topics: &[String],
) -> Result<Vec<TopicPartition>, Failure> {
    let mut partitions = BTreeSet::new();
    let mut whole = Vec::new();
    for text in topics {
        match text.split_once(':') {
            None => whole.push(text.as_str()),
            Some(_) => partitions.extend(named_partitions(text)?),
        }
    }
    if !whole.is_empty() {
        let metadata = client.metadata(&whole).await?;
        for name in whole {
            let topic = metadata.topics.get(name);
            let topic = topic.filter(|topic| topic.error.is_ok());
            let Some(topic) = topic else {
                let code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
                let error = acme_kafka::Error::Broker { code, what: format!("topic {name}"), detail: None };
                return Err(error.into());
            };
            partitions.extend(topic.partitions.keys().map(|number| TopicPartition::new(name, *number)));
        }
    }
    Ok(partitions.into_iter().collect())
}

fn named_partitions(text: &str) -> Result<Vec<TopicPartition>, Failure> {
    let help = "write it as orders:0,1";
    let mut parts = text.split(':');
    let (Some(topic), Some(numbers), None) = (parts.next(), parts.next(), parts.next()) else {
        let said = format!("Invalid topic arg '{text}', expected topic name and partitions");
        return Err(Failure::user(said, help));
    };
    let partition = |number: &str| {
        let number = number.parse().map_err(|_| {
            let said = format!("Invalid partition '{number}' specified in topic arg '{text}''");
            Failure::user(said, help)
        })?;
        Ok(TopicPartition::new(topic, number))
    };
    numbers.split(',').map(partition).collect()
}

/// Reads a plan: `topic,partition,offset` or `group,topic,partition,offset` on each line.
pub(crate) fn plan(text: &str) -> Result<To, Failure> {
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let fields = fields(line);
        let fault = || {
            let said = format!("line {} of the plan is not topic,partition,offset: {line}", number + 1);
            Failure::user(said, "make a plan with --export")
        };
        let (group, rest) = match fields.len() {
            3 => (None, &fields[..]),
            4 => (Some(fields[0].clone()), &fields[1..]),
            _ => return Err(fault()),
        };
        let (Ok(partition), Ok(offset)) = (rest[1].trim().parse(), rest[2].trim().parse()) else {
            return Err(fault());
        };
        lines.push((group, TopicPartition::new(rest[0].as_str(), partition), offset));
    }
    Ok(To::Plan(lines))
}

/// The fields of a line of CSV.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.trim_end().chars().peekable();
    while let Some(c) = chars.next() {
        let field = fields.last_mut().expect("there is always one");
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_what_an_export_wrote() {
        let offsets = Offsets::from([(TopicPartition::new("t", 0), 5), (TopicPartition::new("t", 1), 6)]);
        let all = BTreeMap::from([("g, \"1\"".to_owned(), offsets.clone()), ("h".to_owned(), offsets)]);
        let text = export(&all, false);
        assert_eq!(text.lines().next(), Some("\"g, \"\"1\"\"\",t,0,5"));
        let To::Plan(lines) = plan(&text).unwrap() else { panic!("it is a plan") };
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0], (Some("g, \"1\"".to_owned()), TopicPartition::new("t", 0), 5));
        let To::Plan(lines) = plan("\"t\",0,1\n").unwrap() else { panic!("it is a plan") };
        assert_eq!(lines, [(None, TopicPartition::new("t", 0), 1)]);
        assert!(plan("t,0\n").unwrap_err().said.contains("line 1"));
    }

    #[test]
    fn partitions_are_named_behind_a_colon() {
        assert_eq!(
            named_partitions("t:0,2").unwrap(),
            [TopicPartition::new("t", 0), TopicPartition::new("t", 2)]
        );
        assert_eq!(
            named_partitions("t:x").unwrap_err().said,
            "Invalid partition 'x' specified in topic arg 't:x''"
        );
        assert_eq!(
            named_partitions("t:0:1").unwrap_err().said,
            "Invalid topic arg 't:0:1', expected topic name and partitions"
        );
    }
}
