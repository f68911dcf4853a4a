//! Committed offsets, and who may commit.

use super::{Manner, Register, Worker, group, options, protocols, wait_until};
use crate::{NODE, client, topic};
use acme_kafka::group::{GroupMetadata, OffsetAndMetadata};
use acme_kafka::{ErrorCode, TopicPartition};
use std::time::Duration;

fn at(offset: i64, metadata: &str) -> OffsetAndMetadata {
    OffsetAndMetadata { offset, leader_epoch: 0, metadata: metadata.to_owned() }
}

#[tokio::test]
async fn offsets_come_back_with_their_epochs_and_notes() {
    let client = client().await;
    let name = topic(&client, 3).await;
    let partition = |number| TopicPartition::new(name.as_str(), number);
    let who = GroupMetadata::outside("notes");
    assert!(client.committed("notes", None, true).await.unwrap().is_empty());
    let long = "x".repeat(4_096);
    let offsets = [(partition(0), at(7, "checkpoint-3")), (partition(2), at(9, &long))];
    client.commit_offsets(&who, &offsets).await.unwrap();
    let committed = client.committed("notes", None, true).await.unwrap();
    assert_eq!(committed.into_iter().collect::<Vec<_>>(), offsets);
    let asked = [partition(1), partition(2)];
    let committed = client.committed("notes", Some(&asked), true).await.unwrap();
    assert_eq!(committed.len(), 1);
    assert_eq!(committed[&partition(2)].offset, 9);
    let error = client.commit_offsets(&who, &[(partition(0), at(8, &format!("{long}x")))]).await.unwrap_err();
    assert_eq!(error.code().unwrap().name(), "OFFSET_METADATA_TOO_LARGE", "{error}");
    assert_eq!(client.committed("notes", None, true).await.unwrap()[&partition(0)].offset, 7);
}

#[tokio::test]
async fn only_the_present_owner_commits() {
    let client = client().await;
    for protocol in protocols() {
        let name = topic(&client, 2).await;
        let group = group("fenced", &protocol);
        let register = Register::default();
        let bootstrap = NODE.bootstrap();
        let partition = |number| TopicPartition::new(name.as_str(), number);
        let a = Worker::start("a", &bootstrap, options(&group, &[&name], &protocol), &register);
        register.wait(&[("a", 2)]).await;
        let first = a.member().await.identity().unwrap();
        a.member().await.commit(&[(partition(0), at(1, "")), (partition(1), at(1, ""))]).await.unwrap();
        // Somebody outside does not commit beside a member.
        let outside =
            client.commit_offsets(&GroupMetadata::outside(&group), &[(partition(0), at(9, ""))]).await;
        assert_eq!(outside.unwrap_err().code(), Some(ErrorCode::UNKNOWN_MEMBER_ID));

        let b = Worker::start("b", &bootstrap, options(&group, &[&name], &protocol), &register);
        register.wait(&[("a", 1), ("b", 1)]).await;
        // The generation of before is refused, and with the present one the same member goes on.
        wait_until(
            "a is in a later generation",
            || async {
                let now = a.member().await.identity().unwrap();
                (now.generation > first.generation && now.member_id == first.member_id).then_some(())
            },
            String::new,
        )
        .await;
        let (mine, theirs) = (a.member().await.owned(), b.member().await.owned());
        // For what it still has, a member of KIP-848 may be an epoch late (KIP-1251): so the one that moved is tried.
        let stale = client.commit_offsets(&first, &[(theirs[0].clone(), at(9, ""))]).await.unwrap_err();
        let expected = [ErrorCode::ILLEGAL_GENERATION, ErrorCode::STALE_MEMBER_EPOCH];
        assert!(expected.contains(&stale.code().unwrap()), "{stale}");
        a.member().await.commit(&[(mine[0].clone(), at(2, "a"))]).await.unwrap();
        let foreign = a.member().await.commit(&[(theirs[0].clone(), at(9, "a"))]).await.unwrap_err();
        assert_eq!(foreign.code(), Some(ErrorCode::UNKNOWN_MEMBER_ID), "{foreign}");

        // The dead do not commit once they were missed.
        let dead = b.member().await.identity().unwrap();
        b.die().await;
        register.wait(&[("a", 2)]).await;
        let error = client.commit_offsets(&dead, &[(theirs[0].clone(), at(9, ""))]).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::UNKNOWN_MEMBER_ID), "{error}");
        let committed = client.committed(&group, None, true).await.unwrap();
        assert_eq!((committed[&mine[0]].offset, committed[&theirs[0]].offset), (2, 1));
        a.leave().await;
    }
}

#[tokio::test]
async fn a_member_commits_in_the_middle_of_a_rebalance() {
    let client = client().await;
    for protocol in protocols() {
        let name = topic(&client, 2).await;
        let group = group("middle", &protocol);
        let register = Register::default();
        let bootstrap = NODE.bootstrap();
        let slow = Manner::Takes(Duration::from_secs(3));
        let a = Worker::with("a", &bootstrap, options(&group, &[&name], &protocol), &register, slow);
        register.wait(&[("a", 2)]).await;
        let member = a.member().await;
        let all = member.owned();
        let b = Worker::start("b", &bootstrap, options(&group, &[&name], &protocol), &register);
        // Again and again while the group finds its new shape: what `a` has not given back is still its to commit.
        let mut offset = 0;
        while register.counts().get("b").is_none() {
            let owned = member.owned();
            let offsets: Vec<_> = owned.iter().map(|partition| (partition.clone(), at(offset, ""))).collect();
            if let Err(error) = member.commit(&offsets).await {
                assert!(member.owned() != owned, "{error}, {:#?}", register.log());
            }
            offset += 1;
        }
        assert!(offset > 3, "{offset} commits");
        drop(member);
        register.wait(&[("a", 1), ("b", 1)]).await;
        let committed = client.committed(&group, Some(&all), true).await.unwrap();
        assert_eq!(committed.len(), 2);
        a.leave().await;
        b.leave().await;
    }
}
