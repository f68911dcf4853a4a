//! Looking at groups and removing them.

use super::{Register, Worker, group, options, protocols};
use crate::client::produce;
use crate::{NODE, client, topic};
use acme_kafka::group::{GroupMetadata, OffsetAndMetadata};
use acme_kafka::{Isolation, TopicPartition};

#[tokio::test]
async fn groups_are_listed_described_measured_and_deleted() {
    let client = client().await;
    for protocol in protocols() {
        let name = topic(&client, 2).await;
        let group = group("admin", &protocol);
        assert!(client.describe_group(&group).await.unwrap().is_none());
        let register = Register::default();
        let a = Worker::start("a", &NODE.bootstrap(), options(&group, &[&name], &protocol), &register);
        register.wait(&[("a", 2)]).await;
        let partition = |number| TopicPartition::new(name.as_str(), number);
        produce(&NODE, &name, "1\n2\n3\n4\n5\n");
        let zero = [partition(0), partition(1)].map(|partition| (partition, OffsetAndMetadata::new(0)));
        a.member().await.commit(&zero).await.unwrap();

        let listed = client.list_groups().await.unwrap();
        let found = listed.iter().find(|it| it.group == group).unwrap();
        assert!(group.ends_with(&found.kind), "{found:?}");
        assert_eq!(found.protocol_type, "consumer");
        let described = client.describe_group(&group).await.unwrap().unwrap();
        assert_eq!(
            (described.state.as_str(), described.is_consumer),
            ("Stable", group.ends_with("consumer"))
        );
        assert_eq!(described.members.len(), 1);
        assert_eq!(described.members[0].assigned, [partition(0), partition(1)]);
        assert_eq!(described.members[0].member_id, a.member().await.identity().unwrap().member_id);
        let lag = client.group_lag(&group, Isolation::ReadCommitted).await.unwrap();
        assert_eq!(lag.values().map(|lag| lag.records()).sum::<i64>(), 5);

        let error = client.delete_group(&group).await.unwrap_err();
        assert_eq!(error.code().unwrap().name(), "NON_EMPTY_GROUP", "{error}");
        let error = client.delete_group_offsets(&group, &[partition(0)]).await.unwrap_err();
        assert_eq!(error.code().unwrap().name(), "GROUP_SUBSCRIBED_TO_TOPIC", "{error}");
        a.leave().await;
        client.delete_group_offsets(&group, &[partition(0)]).await.unwrap();
        let left = client.committed(&group, None, true).await.unwrap();
        assert_eq!(left.into_keys().collect::<Vec<_>>(), [partition(1)]);
        client.delete_group(&group).await.unwrap();
        assert!(client.committed(&group, None, true).await.unwrap().is_empty());
        let error = client.delete_group(&group).await.unwrap_err();
        assert_eq!(error.code().unwrap().name(), "GROUP_ID_NOT_FOUND", "{error}");
    }
}

#[tokio::test]
async fn somebody_outside_commits_for_a_group_without_members() {
    let client = client().await;
    let name = topic(&client, 1).await;
    let partition = TopicPartition::new(name.as_str(), 0);
    let who = GroupMetadata::outside("outside");
    client.commit_offsets(&who, &[(partition.clone(), OffsetAndMetadata::new(3))]).await.unwrap();
    let described = client.describe_group("outside").await.unwrap().unwrap();
    assert_eq!((described.state.as_str(), described.members.len()), ("Empty", 0));
}
