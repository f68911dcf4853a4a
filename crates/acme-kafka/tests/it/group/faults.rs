//! Members over the loss of their coordinator, over a cluster that stands still, and in a crowd that comes and goes.

use super::{Manner, Register, Worker, group, options, protocols, wait_until};
use crate::{NODE, client, topic};
use acme_kafka::admin::NewTopic;
use acme_kafka::group::{Member, MemberOptions, OffsetAndMetadata, Protocol};
use acme_kafka::{Client, Config, CoordinatorKind, ErrorCode, TopicPartition};
use acme_lab::kafka::{Kafka, OLD_VERSION};
use std::time::Duration;

#[tokio::test]
async fn a_coordinator_dies_and_nobody_loses_a_partition() {
    let mut kafka = Kafka::cluster(3).unwrap();
    let client = Client::connect(Config::new(kafka.bootstrap().split(','))).await.unwrap();
    client.create_topic(&NewTopic::new("orders", 6)).await.unwrap();
    for protocol in protocols() {
        let group = group("failover", &protocol);
        let register = Register::default();
        let bootstrap = kafka.bootstrap();
        let start = |worker: &str| {
            let mut options = options(&group, &["orders"], &protocol);
            options.session_timeout = Duration::from_secs(10);
            Worker::start(worker, &bootstrap, options, &register)
        };
        let (a, b) = (start("a"), start("b"));
        register.wait(&[("a", 3), ("b", 3)]).await;
        let from = register.log().len();
        let coordinator = client.coordinator(CoordinatorKind::Group, &group).await.unwrap();
        kafka.kill(u8::try_from(coordinator).unwrap()).unwrap();
        let offsets: Vec<(TopicPartition, OffsetAndMetadata)> =
            a.member().await.owned().into_iter().map(|it| (it, OffsetAndMetadata::new(5))).collect();
        a.member().await.commit(&offsets).await.unwrap();
        // What the others do needs the new coordinator too.
        let c = start("c");
        register.wait(&[("a", 2), ("b", 2), ("c", 2)]).await;
        assert!(!register.log()[from..].iter().any(|entry| entry.contains('!')), "{:#?}", register.log());
        assert_eq!(client.committed(&group, None, true).await.unwrap().len(), 3);
        for worker in [a, b, c] {
            worker.leave().await;
        }
        kafka.restart(u8::try_from(coordinator).unwrap()).unwrap();
    }
}

#[tokio::test]
async fn members_come_back_from_a_cluster_that_stood_still() {
    let kafka = Kafka::start().unwrap();
    let client = Client::connect(Config::new(kafka.bootstrap().split(','))).await.unwrap();
    client.create_topic(&NewTopic::new("orders", 4)).await.unwrap();
    for protocol in protocols() {
        let group = group("still", &protocol);
        // Each with a register of its own: who is thrown out hears of it after the partitions have gone to others.
        let registers = [Register::default(), Register::default()];
        let workers = ["a", "b"].map(|name| {
            let register = &registers[usize::from(name == "b")];
            Worker::start(name, &kafka.bootstrap(), options(&group, &["orders"], &protocol), register)
        });
        let whole = || async {
            let sizes: Vec<usize> =
                registers.iter().map(|register| register.counts().values().sum()).collect();
            (sizes == [2, 2]).then_some(())
        };
        let state = || format!("{:#?}", [registers[0].log(), registers[1].log()]);
        wait_until("both have two", whole, state).await;
        let before: Vec<_> =
            [workers[0].member().await.identity(), workers[1].member().await.identity()].into();
        kafka.pause(1).unwrap();
        // Longer than the sessions, so that some end when it goes on.
        tokio::time::sleep(Duration::from_secs(8)).await;
        kafka.resume(1).unwrap();
        // They come back one after the other, and partitions may change hands once more behind a commit: what each owns is
        // committed until every partition was.
        let commit = || async {
            for worker in &workers {
                let member = worker.member().await;
                let owned = member.owned();
                let offsets: Vec<_> = owned.into_iter().map(|it| (it, OffsetAndMetadata::new(7))).collect();
                if offsets.len() != 2 || member.commit(&offsets).await.is_err() {
                    return None;
                }
            }
            let committed = client.committed(&group, None, true).await.unwrap();
            (committed.len() == 4 && committed.values().all(|offset| offset.offset == 7)).then_some(())
        };
        wait_until("each commits two, and all four are committed", commit, state).await;
        for (worker, before) in workers.iter().zip(before) {
            // Whoever it was before is either still it, or refused.
            let who = before.unwrap();
            if worker.member().await.identity().unwrap().member_id != who.member_id {
                let offset = (TopicPartition::new("orders", 0), OffsetAndMetadata::new(1));
                let error = client.commit_offsets(&who, &[offset]).await.unwrap_err();
                assert_eq!(error.code(), Some(ErrorCode::UNKNOWN_MEMBER_ID), "{error}");
            }
        }
        for worker in workers {
            worker.leave().await;
        }
    }
}

#[tokio::test]
async fn a_broker_that_does_not_know_the_new_protocol_says_so() {
    let kafka = Kafka::options().version(OLD_VERSION).start().unwrap();
    let client = Client::connect(Config::new([kafka.bootstrap()])).await.unwrap();
    client.create_topic(&NewTopic::new("orders", 2)).await.unwrap();
    let [classic, consumer] = protocols();
    let register = Register::default();
    let a = Worker::start("a", &kafka.bootstrap(), options("old", &["orders"], &classic), &register);
    register.wait(&[("a", 2)]).await;
    let offsets = [(TopicPartition::new("orders", 1), OffsetAndMetadata::new(4))];
    a.member().await.commit(&offsets).await.unwrap();
    assert_eq!(client.committed("old", None, true).await.unwrap().len(), 1);
    assert_eq!(client.describe_group("old").await.unwrap().unwrap().members.len(), 1);
    let member = Member::join(&client, options("new", &["orders"], &consumer));
    let error = member.event().await.unwrap_err().to_string();
    assert!(error.contains("ConsumerGroupHeartbeat"), "{error}");
    assert!(error.contains("classic"), "{error}");
    a.leave().await;
}

#[tokio::test]
async fn a_group_moves_to_the_new_protocol_member_by_member() {
    let client = client().await;
    let name = topic(&client, 4).await;
    let register = Register::default();
    let [classic, consumer] = protocols();
    let bootstrap = NODE.bootstrap();
    let a = Worker::start("a", &bootstrap, options("moves", &[&name], &classic), &register);
    register.wait(&[("a", 4)]).await;
    let b = Worker::start("b", &bootstrap, options("moves", &[&name], &consumer), &register);
    register.wait(&[("a", 2), ("b", 2)]).await;
    assert!(client.describe_group("moves").await.unwrap().unwrap().is_consumer);
    a.leave().await;
    register.wait(&[("b", 4)]).await;
    // And back.
    let c = Worker::start("c", &bootstrap, options("moves", &[&name], &classic), &register);
    register.wait(&[("b", 2), ("c", 2)]).await;
    b.leave().await;
    register.wait(&[("c", 4)]).await;
    assert!(!client.describe_group("moves").await.unwrap().unwrap().is_consumer);
    c.leave().await;
}

/// Numbers that a seed decides.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[tokio::test]
async fn in_a_crowd_that_comes_and_goes_nobody_has_what_another_one_has() {
    let client = client().await;
    let [classic, consumer] = protocols();
    let (one, two) = (topic(&client, 12).await, topic(&client, 12).await);
    let crowd = async |topic: &str, protocol: &Protocol, seed| {
        let register = Register::default();
        let mut options = options(&group("crowd", protocol), &[topic], protocol);
        options.session_timeout = Duration::from_secs(6);
        let left = come_and_go(&options, &register, Dice(seed)).await;
        let shares: Vec<(&str, usize)> = left.iter().map(|worker| (worker.name.as_str(), 4)).collect();
        register.wait(&shares).await;
        for worker in left {
            worker.leave().await;
        }
        register.check();
        // Else nothing was tried: revocations are where partitions could have two owners.
        assert!(register.revoked(0) >= 8, "{:#?}", register.log());
    };
    tokio::join!(crowd(&one, &classic, 0x5eed_0001), crowd(&two, &consumer, 0x5eed_0002));
}

/// Forty times somebody comes, leaves or dies, at any moment of the rebalance before; three remain.
async fn come_and_go(options: &MemberOptions, register: &Register, mut dice: Dice) -> Vec<Worker> {
    let mut workers: Vec<Worker> = Vec::new();
    let start = |number: u64, dice: &mut Dice| {
        let manner = Manner::Takes(Duration::from_millis(dice.below(1_500)));
        Worker::with(&format!("w{number}"), &NODE.bootstrap(), options.clone(), register, manner)
    };
    let mut number = 0;
    while number < 40 || workers.len() < 3 {
        number += 1;
        let index = usize::try_from(dice.below(1 + workers.len() as u64)).unwrap();
        match dice.below(12) {
            // Seldom: with the classic protocol everybody waits for the end of a dead member's session.
            0 if index < workers.len() => workers.remove(index).die().await,
            1..=4 if index < workers.len() => workers.remove(index).leave().await,
            _ if workers.len() < 6 => workers.push(start(number, &mut dice)),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(dice.below(1_500))).await;
    }
    while workers.len() > 3 {
        workers.remove(0).leave().await;
    }
    workers
}
