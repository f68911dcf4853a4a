//! Groups of consumers: which there are, how far they have come, deleting them and their offsets.

use super::Said;
use super::failure::{Failure, words};
use super::reset::partitions_of;
use acme_kafka::group::{Committed, GroupDescription, ListedGroup, MemberDescription, OffsetAndMetadata};
use acme_kafka::{At, Client, Isolation, TopicPartition};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Stands for what is not known or does not exist.
pub(crate) const NONE: &str = "-";
const STATES: [&str; 7] =
    ["PreparingRebalance", "Stable", "Assigning", "Reconciling", "Empty", "CompletingRebalance", "Dead"];
const TYPES: [&str; 2] = ["Classic", "Consumer"];

/// Which groups are meant.
#[derive(Clone, Debug)]
pub(crate) enum Groups {
    All,
    Named(Vec<String>),
}

impl Groups {
    /// Their ids.
    pub(crate) async fn ids(&self, client: &Client) -> Result<Vec<String>, Failure> {
        match self {
            Self::Named(ids) => Ok(ids.clone()),
            Self::All => Ok(consumers(client).await?.into_iter().map(|group| group.group).collect()),
        }
    }
}

/// The groups of consumers, and those that only keep offsets.
async fn consumers(client: &Client) -> Result<Vec<ListedGroup>, Failure> {
    let mut groups = client.list_groups().await?;
    groups.retain(|group| {
        ["", "consumer"].contains(&group.protocol_type.as_str())
            && ["", "classic", "consumer"].contains(&group.kind.to_lowercase().as_str())
    });
    Ok(groups)
}

/// What `list` shows; a filter that is there without words only shows its column.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    pub(crate) states: Option<String>,
    pub(crate) types: Option<String>,
}

/// The words of a filter, checked.
fn filter(given: Option<&str>, known: &[&str], what: &str) -> Result<BTreeSet<String>, Failure> {
    let given = given.unwrap_or_default();
    let words: BTreeSet<String> =
        given.split(',').map(|word| word.trim().to_lowercase()).filter(|word| !word.is_empty()).collect();
    if words.iter().all(|word| known.iter().any(|known| known.eq_ignore_ascii_case(word))) {
        return Ok(words);
    }
    let known = known.join(", ");
    let said = format!("Invalid {what} list '{given}'. Valid {what}s are: {known}");
    Err(Failure::user(said, format!("use some of {known}, with commas between them")))
}

/// `list`.
pub(crate) async fn list(client: &Client, list: &List, as_json: bool) -> Result<Said, Failure> {
    let states = filter(list.states.as_deref(), &STATES, "state")?;
    let types = filter(list.types.as_deref(), &TYPES, "type")?;
    let mut groups = consumers(client).await?;
    let among =
        |words: &BTreeSet<String>, word: &str| words.is_empty() || words.contains(&word.to_lowercase());
    groups.retain(|group| among(&states, &group.state) && among(&types, &group.kind));
    let or_unknown = |text: &str| if text.is_empty() { "Unknown".to_owned() } else { text.to_owned() };
    if as_json {
        let all = groups.iter().map(
            |group| json!({ "group": group.group, "type": or_unknown(&group.kind), "state": or_unknown(&group.state) }),
        );
        return Ok(Said::json(&all.collect()));
    }
    let mut out = String::new();
    if list.states.is_none() && list.types.is_none() {
        groups.iter().for_each(|group| out.push_str(&format!("{}\n", group.group)));
        return Ok(Said::out(out));
    }
    let width = groups.iter().map(|group| group.group.len().max(15)).max().unwrap_or(15) + 10;
    let mut line = |id: &str, kind: &str, state: &str| {
        let _ = write!(out, "{id:<width$}");
        for (text, _) in
            [(kind, &list.types), (state, &list.states)].iter().filter(|(_, given)| given.is_some())
        {
            let _ = write!(out, " {text:<20}");
        }
        out.push('\n');
    };
    line("GROUP", "TYPE", "STATE");
    groups.iter().for_each(|group| line(&group.group, &or_unknown(&group.kind), &or_unknown(&group.state)));
    Ok(Said::out(out))
}

/// What `describe` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Offsets,
    Members,
    State,
}

/// `describe`.
pub(crate) async fn describe(
    client: &Client,
    groups: &Groups,
    about: About,
    verbose: bool,
    as_json: bool,
) -> Result<Said, Failure> {
    let mut said = Said::default();
    let mut values = Vec::new();
    for id in groups.ids(client).await? {
        let Some(group) = client.describe_group(&id).await? else { return Err(Failure::no_group(&id)) };
        if group.state == "Empty" {
            said.err.push_str(&format!("\nConsumer group '{id}' has no active members.\n"));
        } else if group.state != "Stable" {
            said.err.push_str(&format!("\nWarning: Consumer group '{id}' is rebalancing.\n"));
        }
        match about {
            About::Offsets => {
                let rows = rows(client, &group).await?;
                if as_json {
                    values.push(
                        json!({ "group": id, "offsets": rows.iter().map(Row::value).collect::<Vec<_>>() }),
                    );
                } else {
                    offsets_table(&id, &rows, verbose, &mut said.out);
                }
            }
            About::Members if as_json => values.push(super::members::value(&group)),
            About::Members => super::members::table(&group, verbose, &mut said.out),
            About::State if as_json => values.push(state_value(client, &group)),
            About::State => state_table(client, &group, verbose, &mut said.out),
        }
    }
    if as_json {
        said.out = format!("{:#}\n", serde_json::Value::from(values));
        said.err.clear();
    }
    Ok(said)
}

/// A partition of a group: how far it has come, and who reads it.
struct Row<'a> {
    partition: Option<TopicPartition>,
    committed: Option<OffsetAndMetadata>,
    end: Option<i64>,
    member: Option<&'a MemberDescription>,
}

impl Row<'_> {
    fn lag(&self) -> Option<i64> {
        Some(self.end? - self.committed.as_ref()?.offset)
    }

    fn epoch(&self) -> Option<i32> {
        self.committed.as_ref().map(|committed| committed.leader_epoch).filter(|epoch| *epoch >= 0)
    }

    fn value(&self) -> serde_json::Value {
        json!({
            "topic": self.partition.as_ref().map(|it| it.topic.to_string()),
            "partition": self.partition.as_ref().map(|it| it.partition),
            "leader_epoch": self.epoch(),
            "current_offset": self.committed.as_ref().map(|it| it.offset),
            "log_end_offset": self.end,
            "lag": self.lag(),
            "metadata": self.committed.as_ref().map(|it| it.metadata.as_str()).filter(|it| !it.is_empty()),
            "consumer_id": self.member.map(|it| it.member_id.as_str()),
            "host": self.member.map(|it| it.host.as_str()),
            "client_id": self.member.map(|it| it.client_id.as_str()),
        })
    }
}

/// The partitions of members, those with most of them first, and then the others that have an offset.
async fn rows<'a>(client: &Client, group: &'a GroupDescription) -> Result<Vec<Row<'a>>, Failure> {
    let committed = client.committed(&group.group, None, false).await?;
    let mut members: Vec<&MemberDescription> =
        group.members.iter().filter(|it| !it.assigned.is_empty()).collect();
    members.sort_by_key(|member| std::cmp::Reverse(member.assigned.len()));
    let mut found: Vec<(TopicPartition, Option<&MemberDescription>)> = Vec::new();
    for member in members {
        found.extend(member.assigned.iter().map(|partition| (partition.clone(), Some(member))));
    }
    let assigned: BTreeSet<TopicPartition> = found.iter().map(|(partition, _)| partition.clone()).collect();
    found.extend(committed.keys().filter(|it| !assigned.contains(it)).map(|it| (it.clone(), None)));
    let ends = ends(client, found.iter().map(|(partition, _)| partition)).await?;
    let row = |(partition, member): (TopicPartition, Option<&'a MemberDescription>)| Row {
        committed: committed.get(&partition).cloned(),
        end: ends.get(&partition).copied(),
        member,
        partition: Some(partition),
    };
    Ok(found.into_iter().map(row).collect())
}

/// Where partitions end. One that has no leader or is gone has no end.
async fn ends<'a>(
    client: &Client,
    partitions: impl Iterator<Item = &'a TopicPartition>,
) -> Result<BTreeMap<TopicPartition, i64>, Failure> {
    let partitions: Vec<TopicPartition> = partitions.cloned().collect();
    let topics: BTreeSet<&str> = partitions.iter().map(|partition| &*partition.topic).collect();
    let topics: Vec<&str> = topics.into_iter().collect();
    if topics.is_empty() {
        return Ok(BTreeMap::new());
    }
    let metadata = client.metadata(&topics).await?;
    let led = partitions.into_iter().filter(|partition| metadata.leader(partition).is_ok());
    let asked: Vec<_> = led.map(|partition| (partition, At::Latest)).collect();
    let listed = client.list_offsets(&asked, Isolation::ReadUncommitted).await?;
    Ok(listed.into_iter().map(|(partition, listed)| (partition, listed.offset)).collect())
}

fn offsets_table(group: &str, rows: &[Row<'_>], verbose: bool, out: &mut String) {
    if rows.is_empty() {
        return;
    }
    let text = |value: Option<String>| value.unwrap_or_else(|| NONE.to_owned());
    let number = |value: Option<i64>| text(value.map(|number| number.to_string()));
    let of = |row: &Row<'_>, field: fn(&MemberDescription) -> &str| {
        text(row.member.map(|it| field(it).to_owned()))
    };
    let topic = |row: &Row<'_>| text(row.partition.as_ref().map(|it| it.topic.to_string()));
    let width = |cell: &dyn Fn(&Row<'_>) -> usize| rows.iter().map(cell).max().unwrap_or(0).max(15);
    let group_width = group.len().max(15);
    let topic_width = width(&|row| topic(row).len());
    let id_width = width(&|row| of(row, |it| &it.member_id).len());
    let host_width = width(&|row| of(row, |it| &it.host).len());
    let mut line = |cells: [&str; 10]| {
        let [group, topic, partition, epoch, current, end, lag, id, host, client] = cells;
        let _ = write!(out, "\n{group:<group_width$} {topic:<topic_width$} {partition:<10} ");
        if verbose {
            let _ = write!(out, "{epoch:<15} ");
        }
        let _ = write!(out, "{current:<15} {end:<15} {lag:<15} {id:<id_width$} {host:<host_width$} {client}");
    };
    line([
        "GROUP",
        "TOPIC",
        "PARTITION",
        "LEADER-EPOCH",
        "CURRENT-OFFSET",
        "LOG-END-OFFSET",
        "LAG",
        "CONSUMER-ID",
        "HOST",
        "CLIENT-ID",
    ]);
    for row in rows {
        line([
            group,
            &topic(row),
            &text(row.partition.as_ref().map(|it| it.partition.to_string())),
            &number(row.epoch().map(i64::from)),
            &number(row.committed.as_ref().map(|it| it.offset)),
            &number(row.end),
            &number(row.lag()),
            &of(row, |it| &it.member_id),
            &of(row, |it| &it.host),
            &of(row, |it| &it.client_id),
        ]);
    }
    out.push('\n');
}

fn coordinator(client: &Client, group: &GroupDescription) -> String {
    let brokers = client.cached();
    let address = brokers.brokers.get(&group.coordinator);
    let address = address.map_or_else(|| NONE.to_owned(), |it| format!("{}:{}", it.host, it.port));
    format!("{address}  ({})", group.coordinator)
}

fn state_table(client: &Client, group: &GroupDescription, verbose: bool, out: &mut String) {
    let coordinator = coordinator(client, group);
    let (group_width, coordinator_width) = (group.group.len().max(15), coordinator.len().max(25));
    let epoch = |epoch: i32| if epoch < 0 { NONE.to_owned() } else { epoch.to_string() };
    let assignor = if group.assignor.is_empty() { NONE } else { &group.assignor };
    let mut line = |cells: [&str; 7]| {
        let [id, coordinator, strategy, state, epoch, target, members] = cells;
        let _ =
            write!(out, "\n{id:<group_width$} {coordinator:<coordinator_width$} {strategy:<20} {state:<20} ");
        if verbose {
            let _ = write!(out, "{epoch:<15} {target:<25} ");
        }
        out.push_str(members);
    };
    line([
        "GROUP",
        "COORDINATOR (ID)",
        "ASSIGNMENT-STRATEGY",
        "STATE",
        "GROUP-EPOCH",
        "TARGET-ASSIGNMENT-EPOCH",
        "#MEMBERS",
    ]);
    line([
        &group.group,
        &coordinator,
        assignor,
        &group.state,
        &epoch(group.epoch),
        &epoch(group.assignment_epoch),
        &group.members.len().to_string(),
    ]);
    out.push('\n');
}

fn state_value(client: &Client, group: &GroupDescription) -> serde_json::Value {
    json!({
        "group": group.group,
        "type": if group.is_consumer { "Consumer" } else { "Classic" },
        "coordinator": { "id": group.coordinator, "address": coordinator(client, group).split("  (").next() },
        "assignment_strategy": Some(&group.assignor).filter(|it| !it.is_empty()),
        "state": group.state,
        "group_epoch": Some(group.epoch).filter(|it| *it >= 0),
        "target_assignment_epoch": Some(group.assignment_epoch).filter(|it| *it >= 0),
        "members": group.members.len(),
    })
}

/// `delete`.
pub(crate) async fn delete(client: &Client, groups: &Groups, as_json: bool) -> Result<Said, Failure> {
    let (mut gone, mut failed) = (Vec::new(), Vec::new());
    for id in groups.ids(client).await? {
        match client.delete_group(&id).await {
            Ok(()) => gone.push(id),
            Err(error) if error.code().is_none() => return Err(error.into()),
            Err(error) => failed.push((id, Failure::from(error))),
        }
    }
    let quoted: Vec<String> = gone.iter().map(|id| format!("'{id}'")).collect();
    let quoted = quoted.join(", ");
    let mut said = Said { failed: !failed.is_empty(), ..Said::default() };
    if as_json {
        let failed: BTreeMap<_, _> = failed.iter().map(|(id, failure)| (id, &failure.said)).collect();
        said.out = format!("{:#}\n", json!({ "deleted": gone, "failed": failed }));
    } else if failed.is_empty() {
        said.out = format!("Deletion of requested consumer groups ({quoted}) was successful.\n");
    } else {
        said.out = "\nError: Deletion of some consumer groups failed:\n".to_owned();
        for (id, failure) in &failed {
            let reason = failure.with_exception();
            let _ = writeln!(said.out, "* Group '{id}' could not be deleted due to: {reason}");
        }
        if !gone.is_empty() {
            let _ = writeln!(said.out, "\nThese consumer groups were deleted successfully: {quoted}");
        }
    }
    let help: BTreeSet<_> = failed.iter().filter_map(|(_, failure)| failure.help.clone()).collect();
    help.iter().for_each(|help| said.err.push_str(&format!("help: {help}\n")));
    Ok(said)
}

/// `delete-offsets`, for topics as `orders` or `orders:0,1`.
pub(crate) async fn delete_offsets(
    client: &Client,
    group: &str,
    topics: &[String],
    as_json: bool,
) -> Result<Said, Failure> {
    let partitions = partitions_of(client, topics).await?;
    let mut said = Said::default();
    let mut whole: Option<Failure> = None;
    let results: Vec<(TopicPartition, Option<String>)> =
        match client.delete_group_offsets_each(group, &partitions).await {
            Ok(codes) => {
                let result = |(partition, code): (TopicPartition, acme_kafka::ErrorCode)| {
                    let text = (!code.is_ok()).then(|| {
                        let (name, text) = words(code);
                        let name = name.map(|name| format!("org.apache.kafka.common.errors.{name}: "));
                        name.unwrap_or_default() + &text
                    });
                    (partition, text)
                };
                codes.into_iter().map(result).collect()
            }
            Err(error) if error.code().is_none() => return Err(error.into()),
            Err(error) => {
                let failure = Failure::from(error);
                let text = failure.with_exception();
                whole = Some(failure);
                partitions.into_iter().map(|partition| (partition, Some(text.clone()))).collect()
            }
        };
    said.failed = results.iter().any(|(_, error)| error.is_some());
    if let Some(help) = whole.as_ref().and_then(|failure| failure.help.as_ref()) {
        said.err = format!("help: {help}\n");
    } else if said.failed {
        said.err = "help: stop the group's consumers of these topics first\n".to_owned();
    }
    if as_json {
        let all = results.iter().map(|(partition, error)| {
            json!({ "topic": &*partition.topic, "partition": partition.partition, "error": error })
        });
        said.out = format!("{:#}\n", all.collect::<serde_json::Value>());
        return Ok(said);
    }
    said.out = match whole {
        Some(failure) => format!("\nError: {}\n", failure.said),
        None if said.failed => {
            "\nError: Encountered some partition-level error, see the follow-up details.\n".to_owned()
        }
        None => format!("Request succeeded for deleting offsets from group {group}.\n"),
    };
    let width = results.iter().map(|(partition, _)| partition.topic.len()).max().unwrap_or(0).max(15);
    let mut line = |topic: &str, partition: &str, status: &str| {
        let _ = write!(said.out, "\n{topic:<width$} {partition:<10} {status:<15}");
    };
    line("TOPIC", "PARTITION", "STATUS");
    for (partition, error) in &results {
        let status =
            error.as_ref().map_or_else(|| "Successful".to_owned(), |error| format!("Error: {error}"));
        line(&partition.topic, &partition.partition.to_string(), &status);
    }
    said.out.push('\n');
    Ok(said)
}

/// The offsets of a group that are committed for these partitions.
pub(crate) async fn committed(client: &Client, group: &str) -> Result<Committed, Failure> {
    Ok(client.committed(group, None, false).await?)
}
