//! What matters most, on every version of the server; all other tests run on 15.

use crate::harness::{Harness, refused, says};
use crate::{capture, errors, restart, values};
use acme_lab::postgres::{Postgres, Version};
use acme_types::Positions;

macro_rules! on_each {
    ($($name:ident $version:ident)*) => {$(
        mod $name {
            use super::*;

            fn start() -> Postgres {
                Postgres::of(Version::$version, &[]).unwrap()
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn changes_come_in_order_with_growing_versions() {
                capture::operations(&start()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_large_value_that_an_update_does_not_touch_is_never_null() {
                capture::untouched(&start()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn extreme_values_are_the_same_in_the_copy_and_in_the_stream() {
                values::extremes(&start()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_copy_under_writes_loses_and_doubles_nothing() {
                restart::copied_under_writes(&start()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_copy_that_died_is_repeated() {
                restart::died(&start()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_restart_inside_a_transaction_goes_on_exactly_there() {
                restart::inside_a_transaction(&start()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn each_mistake_has_its_message_and_remedy() {
                errors::mistakes(&start()).await;
            }
        }
    )*};
}

on_each! { version_14 V14 version_16 V16 version_17 V17 version_18 V18 }

#[tokio::test(flavor = "multi_thread")]
async fn version_18_publishes_generated_columns_when_it_is_told_to() {
    let postgres = Postgres::of(Version::V18, &[]).unwrap();
    postgres
        .psql(
            "CREATE TABLE g (id int PRIMARY KEY, stored int GENERATED ALWAYS AS (id * 2) STORED,
               virtual int GENERATED ALWAYS AS (id * 3) VIRTUAL, a int);
             CREATE TABLE l (id int PRIMARY KEY, stored int GENERATED ALWAYS AS (id * 2) STORED, a int);
             CREATE PUBLICATION acme_pub FOR TABLE g, l (id, stored) WITH (publish_generated_columns = stored);
             CREATE PUBLICATION plain FOR TABLE g;
             INSERT INTO g (id, a) VALUES (1, 1); INSERT INTO l (id, a) VALUES (1, 1)",
        )
        .unwrap();
    let names = |row: &crate::harness::Row| {
        let pairs =
            row.values.iter().map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("-")));
        pairs.collect::<Vec<_>>().join(" ")
    };
    let mut harness = Harness::capture(&postgres, "g l").await;
    let mut copied = harness.take(2).await;
    copied.sort_by(|a, b| a.table.cmp(&b.table));
    assert_eq!(copied.iter().map(names).collect::<Vec<_>>(), ["id=1 stored=2 a=1", "id=1 stored=2"]);
    postgres.psql("INSERT INTO g (id, a) VALUES (2, 2); INSERT INTO l (id, a) VALUES (2, 2)").unwrap();
    let mut streamed = harness.take(2).await;
    streamed.sort_by(|a, b| a.table.cmp(&b.table));
    assert_eq!(streamed.iter().map(names).collect::<Vec<_>>(), ["id=2 stored=4 a=2", "id=2 stored=4"]);
    let keys = [("mode", "cdc"), ("tables", "g"), ("publication", "plain"), ("slot", "plain")];
    let mut harness = Harness::open(&postgres.url(), &keys, &Positions::new()).await.unwrap();
    postgres.psql("INSERT INTO g (id, a) VALUES (3, 3)").unwrap();
    let rows = harness.take(3).await;
    assert!(rows.iter().all(|row| row.values.len() == 2), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_plugin_that_is_not_allowed_has_a_remedy() {
    let settings = [("output_plugin_libraries", "test_decoding")];
    let postgres = Postgres::of(Version::V18, &settings).unwrap();
    postgres.psql("CREATE TABLE t (id int PRIMARY KEY)").unwrap();
    let fault = refused(&postgres.url(), &[("mode", "cdc"), ("tables", "t")], &Positions::new()).await;
    says(&fault, "does not allow the output plugin pgoutput", "output_plugin_libraries");
}

#[tokio::test(flavor = "multi_thread")]
async fn version_14_captures_a_publication_of_all_tables() {
    let postgres = Postgres::of(Version::V14, &[]).unwrap();
    postgres
        .psql(
            "CREATE TABLE t (id int PRIMARY KEY, a int); CREATE PUBLICATION acme_pub FOR ALL TABLES;
             INSERT INTO t VALUES (1, 1)",
        )
        .unwrap();
    let mut harness = Harness::capture(&postgres, "t").await;
    harness.take(1).await;
    postgres.psql("UPDATE t SET a = 2").unwrap();
    assert_eq!(harness.take(1).await[0].get("a"), Some("2"));
}
