//! The members of a group as a table.

use super::groups::NONE;
use acme_kafka::TopicPartition;
use acme_kafka::group::{GroupDescription, MemberDescription};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The table of `describe --members`.
pub(crate) fn table(group: &GroupDescription, verbose: bool, out: &mut String) {
    let members = &group.members;
    let width = |least: usize, cell: &dyn Fn(&MemberDescription) -> usize| {
        members.iter().map(cell).max().unwrap_or(0).max(least)
    };
    let named = members.iter().any(|member| member.instance_id.is_some());
    let group_width = group.group.len().max(15);
    let id_width = width(15, &|it| it.member_id.len());
    let instance_width = width(17, &|it| it.instance_id.as_ref().map_or(0, String::len));
    let (host_width, client_width) = (width(15, &|it| it.host.len()), width(15, &|it| it.client_id.len()));
    let current_width = width(20, &|it| shown(Some(&it.assigned)).len());
    let target_width = width(20, &|it| shown(it.target.as_deref()).len());
    // A group that is being moved to the protocol of KIP-848 has members of both kinds.
    let mixed = members.iter().any(|member| member.upgraded == Some(false));
    let mut line = |cells: [&str; 11]| {
        let [group, id, instance, host, client, count, epoch, current, target_epoch, target, upgraded] =
            cells;
        let _ = write!(out, "{group:<group_width$} {id:<id_width$} ");
        if named {
            let _ = write!(out, "{instance:<instance_width$} ");
        }
        let _ = write!(out, "{host:<host_width$} {client:<client_width$} {count:<15} ");
        if verbose {
            let _ = write!(
                out,
                "{epoch:<15} {current:<current_width$} {target_epoch:<15} {target:<target_width$}"
            );
            if mixed {
                let _ = write!(out, " {upgraded}");
            }
        }
        out.push('\n');
    };
    line([
        "\nGROUP",
        "CONSUMER-ID",
        "GROUP-INSTANCE-ID",
        "HOST",
        "CLIENT-ID",
        "#PARTITIONS",
        "CURRENT-EPOCH",
        "CURRENT-ASSIGNMENT",
        "TARGET-EPOCH",
        "TARGET-ASSIGNMENT",
        "UPGRADED",
    ]);
    for member in members {
        let epoch = |epoch: i32| if epoch < 0 { NONE.to_owned() } else { epoch.to_string() };
        line([
            &group.group,
            &member.member_id,
            member.instance_id.as_deref().unwrap_or_default(),
            &member.host,
            &member.client_id,
            &member.assigned.len().to_string(),
            &epoch(member.epoch),
            &shown(Some(&member.assigned)),
            &epoch(group.assignment_epoch),
            &shown(member.target.as_deref()),
            member.upgraded.map_or(NONE, |upgraded| if upgraded { "true" } else { "false" }),
        ]);
    }
}

/// `orders:0,1;users:0`.
fn shown(partitions: Option<&[TopicPartition]>) -> String {
    let Some(partitions) = partitions.filter(|partitions| !partitions.is_empty()) else {
        return NONE.to_owned();
    };
    let topics = by_topic(partitions);
    let topics = topics.iter().map(|(topic, numbers)| {
        let numbers: Vec<String> = numbers.iter().map(i32::to_string).collect();
        format!("{topic}:{}", numbers.join(","))
    });
    topics.collect::<Vec<_>>().join(";")
}

fn by_topic(partitions: &[TopicPartition]) -> BTreeMap<&str, Vec<i32>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    topics
}

/// The same for programs.
pub(crate) fn value(group: &GroupDescription) -> serde_json::Value {
    let members = group.members.iter().map(|member| {
        json!({
            "consumer_id": member.member_id,
            "group_instance_id": member.instance_id,
            "host": member.host,
            "client_id": member.client_id,
            "epoch": Some(member.epoch).filter(|epoch| *epoch >= 0),
            "assignment": by_topic(&member.assigned),
            "target_assignment": member.target.as_deref().map(by_topic),
        })
    });
    json!({ "group": group.group, "members": members.collect::<Vec<_>>() })
}
