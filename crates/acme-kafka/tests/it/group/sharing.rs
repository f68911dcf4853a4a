//! Members of ours among themselves.

use super::{Manner, Register, Worker, group, numbers, options, protocols, wait_until};
use crate::{NODE, client, topic};
use acme_kafka::admin::NewTopic;
use acme_kafka::group::{Assignor, Event, Member, Protocol, Subscription};
use acme_kafka::{ErrorCode, TopicPartition};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test]
async fn the_register_finds_two_owners_where_there_are_two() {
    let client = client().await;
    let [protocol, _] = protocols();
    let name = topic(&client, 1).await;
    let register = Register::default();
    // Two groups, so both have the partition.
    let a = Worker::start("a", &NODE.bootstrap(), options("planted-1", &[&name], &protocol), &register);
    register.wait(&[("a", 1)]).await;
    let b = Worker::start("b", &NODE.bootstrap(), options("planted-2", &[&name], &protocol), &register);
    wait_until("a fault", || async { (!register.faults().is_empty()).then_some(()) }, String::new).await;
    a.leave().await;
    b.leave().await;
}

#[tokio::test]
async fn members_share_and_only_what_must_move_moves() {
    let client = client().await;
    for protocol in protocols() {
        let name = topic(&client, 6).await;
        let group = group("share", &protocol);
        let register = Register::default();
        let start = |worker: &str| {
            Worker::start(worker, &NODE.bootstrap(), options(&group, &[&name], &protocol), &register)
        };
        let a = start("a");
        register.wait(&[("a", 6)]).await;
        let b = start("b");
        register.wait(&[("a", 3), ("b", 3)]).await;
        let from = register.log().len();
        let c = start("c");
        register.wait(&[("a", 2), ("b", 2), ("c", 2)]).await;
        assert_eq!(register.revoked(from), 2, "{:#?}", register.log());
        // One dies, and those who stay keep what they have.
        let from = register.log().len();
        b.die().await;
        register.wait(&[("a", 3), ("c", 3)]).await;
        assert_eq!(register.revoked(from), 0, "{:#?}", register.log());
        // One leaves: nobody waits for its session to end.
        let began = Instant::now();
        c.leave().await;
        register.wait(&[("a", 6)]).await;
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        a.leave().await;
    }
}

#[tokio::test]
async fn eager_assignors_take_everything_back_first() {
    let client = client().await;
    for assignor in [Assignor::Range, Assignor::RoundRobin] {
        let name = topic(&client, 4).await;
        let protocol = Protocol::Classic(vec![assignor]);
        let group = format!("eager-{}", assignor.name());
        let register = Register::default();
        let start = |worker: &str| {
            Worker::start(worker, &NODE.bootstrap(), options(&group, &[&name], &protocol), &register)
        };
        let a = start("a");
        register.wait(&[("a", 4)]).await;
        let from = register.log().len();
        let b = start("b");
        register.wait(&[("a", 2), ("b", 2)]).await;
        assert_eq!(register.revoked(from), 4, "{:#?}", register.log());
        b.leave().await;
        register.wait(&[("a", 4)]).await;
        a.leave().await;
    }
}

#[tokio::test]
async fn new_partitions_and_new_topics_are_found() {
    let client = client().await;
    for protocol in protocols() {
        let name = topic(&client, 1).await;
        let group = group("found", &protocol);
        let register = Register::default();
        let mut matching = options(&group, &[], &protocol);
        let prefix = format!("{name}-");
        let (wanted, exact) = (prefix.clone(), name.clone());
        matching.subscription =
            Subscription::Matching(Arc::new(move |it| it == exact || it.starts_with(&wanted)));
        let a = Worker::start("a", &NODE.bootstrap(), matching.clone(), &register);
        let b = Worker::start("b", &NODE.bootstrap(), matching, &register);
        wait_until(
            "one has it",
            || async { (register.counts().values().sum::<usize>() == 1).then_some(()) },
            || format!("{:?}", register.log()),
        )
        .await;
        client.create_partitions(&name, 4).await.unwrap();
        register.wait(&[("a", 2), ("b", 2)]).await;
        client.create_topic(&NewTopic::new(format!("{prefix}later"), 2)).await.unwrap();
        register.wait(&[("a", 3), ("b", 3)]).await;
        a.leave().await;
        b.leave().await;
    }
}

#[tokio::test]
async fn slow_work_costs_nobody_the_membership() {
    let client = client().await;
    for protocol in protocols() {
        let name = topic(&client, 2).await;
        let group = group("slow", &protocol);
        let register = Register::default();
        let slow = Manner::Takes(Duration::from_secs(7));
        let bootstrap = NODE.bootstrap();
        let a = Worker::with("a", &bootstrap, options(&group, &[&name], &protocol), &register, slow);
        register.wait(&[("a", 2)]).await;
        let began = Instant::now();
        let b = Worker::start("b", &bootstrap, options(&group, &[&name], &protocol), &register);
        register.wait(&[("a", 1), ("b", 1)]).await;
        // Twice the session of the classic protocol, and more than that of the broker's.
        assert!(began.elapsed() >= Duration::from_secs(7), "{:?}", began.elapsed());
        assert!(!register.log().iter().any(|entry| entry.contains('!')), "{:#?}", register.log());
        a.leave().await;
        b.leave().await;
    }
}

#[tokio::test]
async fn who_never_gives_back_loses_in_the_end() {
    let client = client().await;
    for protocol in protocols() {
        let name = topic(&client, 2).await;
        let group = group("keeps", &protocol);
        let register = Register::default();
        let bootstrap = NODE.bootstrap();
        let mut bounded = options(&group, &[&name], &protocol);
        bounded.rebalance_timeout = Duration::from_secs(4);
        let a = Worker::with("a", &bootstrap, bounded.clone(), &register, Manner::Keeps);
        register.wait(&[("a", 2)]).await;
        let b = Worker::start("b", &bootstrap, bounded, &register);
        register.wait(&[("a", 1), ("b", 1)]).await;
        let lost = register.log().iter().filter(|entry| entry.starts_with("a!")).count();
        assert_eq!(lost, 1, "{:#?}", register.log());
        a.leave().await;
        b.leave().await;
    }
}

#[tokio::test]
async fn a_static_member_comes_back_to_its_partitions() {
    let client = client().await;
    for protocol in protocols() {
        let name = topic(&client, 4).await;
        let group = group("static", &protocol);
        let register = Register::default();
        let bootstrap = NODE.bootstrap();
        let named = |instance: &str| {
            let mut options = options(&group, &[&name], &protocol);
            options.instance_id = Some(instance.to_owned());
            options
        };
        let a = Worker::start("a", &bootstrap, named("one"), &register);
        let b = Worker::start("b", &bootstrap, named("two"), &register);
        register.wait(&[("a", 2), ("b", 2)]).await;
        let had = numbers(&b.member().await.owned());
        let from = register.log().len();
        b.leave().await;
        let b = Worker::start("b", &bootstrap, named("two"), &register);
        register.wait(&[("a", 2), ("b", 2)]).await;
        assert_eq!(numbers(&b.member().await.owned()), had);
        assert_eq!(register.revoked(from), 0, "{:#?}", register.log());
        assert!(!register.log()[from..].iter().any(|entry| entry.starts_with('a')), "{:#?}", register.log());
        a.leave().await;
        b.leave().await;
    }
}

#[tokio::test]
async fn what_a_static_member_was_giving_away_when_it_died_is_not_left_to_nobody() {
    let client = client().await;
    let protocol = &protocols()[0];
    let name = topic(&client, 4).await;
    let group = group("giving", protocol);
    let register = Register::default();
    let bootstrap = NODE.bootstrap();
    let named = |instance: &str| {
        let mut options = options(&group, &[&name], protocol);
        // Nothing that is waited for below can come of its end.
        options.session_timeout = Duration::from_secs(600);
        options.instance_id = Some(instance.to_owned());
        options.stays = false;
        options
    };
    let a = Worker::with("a", &bootstrap, named("one"), &register, Manner::Keeps);
    register.wait(&[("a", 4)]).await;
    let b = Worker::start("b", &bootstrap, named("two"), &register);
    let asked = || async { (register.revoked(0) > 0).then_some(()) };
    wait_until("a is asked to give some back", asked, || format!("{:?}", register.log())).await;
    a.die().await;
    let a = Worker::start("a", &bootstrap, named("one"), &register);
    register.wait(&[("a", 2), ("b", 2)]).await;
    // It does not stay: the others need not wait for the end of its session.
    b.leave().await;
    register.wait(&[("a", 4)]).await;
    a.leave().await;
}

#[tokio::test]
async fn static_members_come_back_at_once_though_another_one_does_not() {
    let client = client().await;
    let protocol = &protocols()[0];
    let name = topic(&client, 6).await;
    let group = group("back", protocol);
    let register = Register::default();
    let bootstrap = NODE.bootstrap();
    let start = |name_of: &str| {
        let mut options = options(&group, &[&name], protocol);
        // Nothing that is waited for below can come of its end.
        options.session_timeout = Duration::from_secs(600);
        options.instance_id = Some(name_of.to_owned());
        Worker::start(name_of, &bootstrap, options, &register)
    };
    let (a, b, c) = (start("a"), start("b"), start("c"));
    register.wait(&[("a", 2), ("b", 2), ("c", 2)]).await;
    a.die().await;
    b.die().await;
    c.die().await;
    let a = start("a");
    register.wait(&[("a", 2)]).await;
    let b = start("b");
    register.wait(&[("a", 2), ("b", 2)]).await;
    a.leave().await;
    b.leave().await;
}

#[tokio::test]
async fn of_two_members_of_one_name_the_later_one_stays() {
    let client = client().await;
    let protocol = &protocols()[0];
    let name = topic(&client, 2).await;
    let group = group("twins", protocol);
    let bootstrap = NODE.bootstrap();
    let mut named = options(&group, &[&name], protocol);
    named.instance_id = Some("one".to_owned());
    // Each with a register of its own: the first one learns that it was fenced after the second has begun.
    let (first, second) = (Register::default(), Register::default());
    let a = Worker::start("a", &bootstrap, named.clone(), &first);
    first.wait(&[("a", 2)]).await;
    let b = Worker::start("b", &bootstrap, named, &second);
    second.wait(&[("b", 2)]).await;
    let error = wait_until("a is told", || async { a.failure() }, || format!("{:?}", first.log())).await;
    assert_eq!(error.code().unwrap().name(), "FENCED_INSTANCE_ID", "{error}");
    assert_eq!(first.counts().len(), 0, "what a fenced member had is lost first");
    a.die().await;
    b.leave().await;
}

#[tokio::test]
async fn an_event_that_is_not_waited_for_to_its_end_is_not_lost() {
    let client = client().await;
    for protocol in protocols() {
        let name = topic(&client, 3).await;
        let member = Member::join(&client, options(&group("cancel", &protocol), &[&name], &protocol));
        let until = Instant::now() + Duration::from_secs(30);
        let assigned = loop {
            assert!(Instant::now() < until);
            // Cancelled again and again, at any point.
            match tokio::time::timeout(Duration::from_micros(300), member.event()).await {
                Ok(Ok(Event::Assigned(partitions))) => break partitions,
                Ok(other) => panic!("{other:?}"),
                Err(_) => {}
            }
        };
        assert_eq!(
            assigned,
            (0..3).map(|number| TopicPartition::new(name.as_str(), number)).collect::<Vec<_>>()
        );
        assert_eq!(member.owned(), assigned);
        member.leave().await;
    }
}

#[tokio::test]
async fn a_group_that_speaks_otherwise_is_an_error_that_says_so() {
    let client = client().await;
    let name = topic(&client, 1).await;
    let register = Register::default();
    let bootstrap = NODE.bootstrap();
    let [classic, _] = protocols();
    let a = Worker::start("a", &bootstrap, options("speaks", &[&name], &classic), &register);
    register.wait(&[("a", 1)]).await;
    let range = Protocol::Classic(vec![Assignor::Range]);
    let member = Member::join(&client, options("speaks", &[&name], &range));
    let error = member.event().await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode(23)), "{error}");
    let again = member.event().await.unwrap_err();
    assert_eq!(again.to_string(), error.to_string(), "it says so whenever it is asked");
    a.leave().await;
}
