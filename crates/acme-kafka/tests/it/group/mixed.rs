//! Members of ours in one group with Kafka's own consumer and with librdkafka's.

use super::{Register, Worker, options, wait_until};
use crate::client::produce;
use crate::{NODE, client, topic};
use acme_kafka::group::{Assignor, GroupDescription, Protocol};
use acme_kafka::{Client, TopicPartition};
use std::collections::BTreeSet;
use std::process::{Child, Stdio};

/// A consumer of another make.
struct Other(Child);

impl Other {
    /// Kafka's own, with these properties.
    fn java(group: &str, topic: &str, properties: &[&str]) -> Self {
        let mut arguments = vec!["--group", group, "--topic", topic, "--from-beginning"];
        arguments.extend(properties.iter().flat_map(|property| ["--command-property", property]));
        let mut command = NODE.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", &arguments).unwrap();
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// librdkafka's.
    fn kcat(group: &str, topic: &str) -> Self {
        let settings =
            ["-X", "partition.assignment.strategy=cooperative-sticky", "-X", "session.timeout.ms=6000"];
        let mut command = NODE.kcat(&settings).unwrap();
        command.args(["-X", "auto.offset.reset=earliest", "-G", group, topic]);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Ends it in order, so that it leaves its group.
    fn end(mut self) {
        let id = self.0.id().to_string();
        acme_lab::run(std::process::Command::new("kill").args(["-s", "TERM", &id])).unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until the group is stable with shares of these sizes, and returns it; every partition is somebody's.
async fn shared(client: &Client, group: &str, sizes: &[usize]) -> GroupDescription {
    let described = || async { client.describe_group(group).await.unwrap() };
    let found = wait_until(
        &format!("shares of {sizes:?}"),
        || async {
            let found = described().await?;
            let mut shares: Vec<usize> = found.members.iter().map(|member| member.assigned.len()).collect();
            shares.sort_unstable();
            (found.state == "Stable" && shares == sizes).then_some(found)
        },
        String::new,
    )
    .await;
    let all: BTreeSet<&TopicPartition> = found.members.iter().flat_map(|member| &member.assigned).collect();
    assert_eq!(all.len(), sizes.iter().sum::<usize>(), "{found:?}");
    found
}

#[tokio::test]
async fn a_cooperative_group_of_three_makes() {
    let client = client().await;
    let name = topic(&client, 6).await;
    let cooperative =
        "partition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
    let protocol = Protocol::Classic(vec![Assignor::CooperativeSticky]);
    // Whoever comes first leads: each of them has to understand what the others say about themselves.
    for first in ["ours", "java", "kcat"] {
        let group = format!("mixed-{first}");
        let register = Register::default();
        let ours = || Worker::start("a", &NODE.bootstrap(), options(&group, &[&name], &protocol), &register);
        let java = || Other::java(&group, &name, &[cooperative, "session.timeout.ms=6000"]);
        let kcat = || Other::kcat(&group, &name);
        let (a, j, k);
        match first {
            "ours" => {
                a = ours();
                register.wait(&[("a", 6)]).await;
                j = java();
                k = kcat();
            }
            "java" => {
                j = java();
                shared(&client, &group, &[6]).await;
                a = ours();
                k = kcat();
            }
            _ => {
                k = kcat();
                shared(&client, &group, &[6]).await;
                a = ours();
                j = java();
            }
        }
        let found = shared(&client, &group, &[2, 2, 2]).await;
        register.wait(&[("a", 2)]).await;
        assert_eq!(found.assignor, "cooperative-sticky");
        let mine = a.member().await;
        let me = mine.identity().unwrap().member_id;
        let told = found.members.iter().find(|member| member.member_id == me).unwrap();
        assert_eq!(told.assigned, mine.owned());
        drop(mine);
        produce(&NODE, &name, "x\n");
        j.end();
        shared(&client, &group, &[3, 3]).await;
        k.end();
        register.wait(&[("a", 6)]).await;
        a.leave().await;
    }
}

#[tokio::test]
async fn a_group_of_kip_848_beside_kafkas_own_consumer() {
    let client = client().await;
    let name = topic(&client, 4).await;
    let protocol = Protocol::Consumer(Some("uniform".to_owned()));
    let register = Register::default();
    let a = Worker::start("a", &NODE.bootstrap(), options("mixed-848", &[&name], &protocol), &register);
    register.wait(&[("a", 4)]).await;
    let java = Other::java("mixed-848", &name, &["group.protocol=consumer"]);
    let found = shared(&client, "mixed-848", &[2, 2]).await;
    assert!(found.is_consumer);
    assert_eq!(found.assignor, "uniform");
    register.wait(&[("a", 2)]).await;
    java.end();
    register.wait(&[("a", 4)]).await;
    a.leave().await;
}
