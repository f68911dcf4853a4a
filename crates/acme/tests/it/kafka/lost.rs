//! Positions that are lost, or that are not the pipeline's own: it stops, again and again, until somebody has chosen.

use super::World;
use super::faults::refused;
use crate::harness::{stop, text, until};
use std::collections::BTreeMap;
use std::ops::Range;

const PIPELINE: &str = r#"
name: NAME
mode: batch
sources: [{type: kafka, name: in, BROKERS, topic: NAME, start_offset: earliest}]
destinations: [{type: kafka, name: out, BROKERS, topic: NAME-out}]
"#;

struct Lost<'w> {
    world: &'w World,
    name: &'static str,
}

impl<'w> Lost<'w> {
    /// A pipeline that has delivered the records 0 to 2.
    fn start(world: &'w World, name: &'static str) -> Self {
        world.topic(name, 1);
        world.topic(&format!("{name}-out"), 1);
        world.pipeline("p.yaml", &PIPELINE.replace("NAME", name));
        let lost = Self { world, name };
        lost.produce(0..3);
        world.place.acme_ok(&["run", "p.yaml"]);
        assert_eq!(lost.delivered(), counts(0..3));
        lost
    }

    fn produce(&self, ids: Range<i64>) {
        let lines: String = ids.map(|id| format!("{{\"id\":{id}}}\n")).collect();
        self.world.produce(&["-t", self.name], &lines);
    }

    fn delivered(&self) -> BTreeMap<i64, usize> {
        self.world.ids(&format!("{}-out", self.name))
    }

    fn tool(&self, class: &str, arguments: &[&str]) {
        let mut tool = self.world.kafka.tool(class, arguments).expect("it is there");
        acme_lab::run(&mut tool).expect("it does it");
    }

    fn groups(&self, arguments: &[&str]) {
        let group = format!("acme-{}", self.name);
        let arguments = [&["--group", &group], arguments].concat();
        self.tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", &arguments);
    }

    /// It must stop with these words, and once more; then what it tells to do is done, and it goes on.
    fn stops_and_goes_on_as_told(&self, words: &[&str]) {
        let before = self.delivered();
        let said = refused(&self.world.place, &["run", "p.yaml"]);
        for word in words {
            assert!(said.contains(word), "{word}: {said}");
        }
        assert!(said.starts_with("error[A0303]: ") && said.contains("`group_id`"), "{said}");
        assert_eq!(refused(&self.world.place, &["run", "p.yaml"]), said, "the second time is no other");
        assert_eq!(self.delivered(), before, "nothing is delivered before it is chosen");
        let command = said.split('`').find(|part| part.starts_with("acme ")).expect("it names a command");
        self.world.place.acme_ok(&command.split(' ').skip(1).collect::<Vec<_>>());
        self.world.place.acme_ok(&["run", "p.yaml"]);
    }
}

fn counts(ids: impl IntoIterator<Item = i64>) -> BTreeMap<i64, usize> {
    let mut counts = BTreeMap::new();
    for id in ids {
        *counts.entry(id).or_insert(0) += 1;
    }
    counts
}

#[test]
fn records_that_were_deleted_before_they_were_read_are_not_jumped_over() {
    let world = World::start();
    let lost = Lost::start(&world, "short");
    lost.produce(3..9);
    let text = r#"{"partitions":[{"topic":"short","partition":0,"offset":6}],"version":1}"#;
    world.place.write("delete.json", text);
    let file = world.place.path("delete.json").display().to_string();
    lost.tool("org.apache.kafka.tools.DeleteRecordsCommand", &["--offset-json-file", &file]);
    lost.stops_and_goes_on_as_told(&["offset 3 of short/0 is not in the log, which holds 6 to 9"]);
    assert_eq!(lost.delivered(), counts((0..3).chain(6..9)));
    lost.produce(9..10);
    world.place.acme_ok(&["run", "p.yaml"]);
    assert_eq!(lost.delivered(), counts((0..3).chain(6..10)));
}

#[test]
fn another_topic_of_the_same_name_is_not_taken_for_the_first() {
    let world = World::start();
    let lost = Lost::start(&world, "again");
    lost.tool("org.apache.kafka.tools.TopicCommand", &["--delete", "--topic", "again"]);
    until("the topic is gone", || !world.topics().lines().any(|topic| topic == "again"));
    world.topic("again", 1);
    lost.produce(10..15);
    lost.stops_and_goes_on_as_told(&["topic \"again\" was deleted and created again: its id was "]);
    assert_eq!(lost.delivered(), counts((0..3).chain(10..15)));
}

#[test]
fn offsets_that_the_group_has_lost_do_not_begin_anew() {
    let world = World::start();
    let lost = Lost::start(&world, "gone");
    lost.produce(3..4);
    lost.groups(&["--delete"]);
    lost.stops_and_goes_on_as_told(&[
        "group \"acme-gone\" has lost the offset of gone/0, which this pipeline has read",
    ]);
    assert_eq!(lost.delivered(), counts((0..4).chain(0..3)), "from the beginning, as it was chosen");
    // The other remedy: a group of its own, for which `start_offset` counts.
    lost.groups(&["--delete"]);
    refused(&world.place, &["run", "p.yaml"]);
    let text = PIPELINE.replace("NAME", "gone").replace("earliest", "latest, group_id: other");
    world.pipeline("p.yaml", &text);
    world.place.acme_ok(&["run", "p.yaml"]);
    lost.produce(4..5);
    world.place.acme_ok(&["run", "p.yaml"]);
    assert_eq!(lost.delivered(), counts((0..5).chain(0..3)));
}

#[test]
fn offsets_that_another_program_has_set_are_confirmed_first() {
    let world = World::start();
    let lost = Lost::start(&world, "moved");
    lost.groups(&["--reset-offsets", "--to-offset", "1", "--topic", "moved", "--execute"]);
    lost.stops_and_goes_on_as_told(&[
        "the offset 1 of moved/0 in group \"acme-moved\" was set by another program",
    ]);
    assert_eq!(lost.delivered(), counts((0..3).chain(1..3)));
    // Those that our own command sets are meant.
    let server = world.kafka.bootstrap();
    let arguments =
        ["groups", "reset-offsets", "acme-moved", "--topic", "moved", "--to-offset", "2", "--execute"];
    world.place.acme_ok(&[&arguments[..], &["--bootstrap-server", &server]].concat());
    world.place.acme_ok(&["run", "p.yaml"]);
    assert_eq!(lost.delivered(), counts((0..3).chain(1..3).chain(2..3)));
}

#[test]
fn positions_that_the_engine_keeps_are_not_reset_either() {
    let world = World::start();
    world.topic("in", 1);
    let pipeline = |name: &str| {
        let text = PIPELINE
            .replace("mode: batch", "mode: streaming\nsettings: {checkpoint: {interval: 50ms}}")
            .replace("topic: NAME,", "topic: in,")
            .replace("{type: kafka, name: out, BROKERS, topic: NAME-out}", "{type: file, path: NAME.jsonl}")
            .replace("NAME", name);
        world.pipeline("p.yaml", &text);
    };
    let reads = |name: &str, last: &str| {
        let run = world.run("p.yaml").spawn().expect("the binary runs");
        until("it is read", || {
            let file = format!("{name}.jsonl");
            let hidden = world.place.path("").read_dir().expect("it is there").flatten();
            let files = hidden.filter(|entry| entry.file_name().to_string_lossy().contains(&file));
            files
                .into_iter()
                .any(|entry| std::fs::read_to_string(entry.path()).is_ok_and(|text| text.contains(last)))
        });
        let output = stop(run);
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    let line = |id: i64| format!("{{\"id\":{id}}}\n");
    world.produce(&["-t", "in"], &line(0));
    pipeline("one");
    reads("one", "{\"id\":0}");
    for topic in ["delete", "create"] {
        let arguments = [format!("--{topic}"), "--topic".to_owned(), "in".to_owned()];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let tool = world.kafka.tool("org.apache.kafka.tools.TopicCommand", &arguments);
        acme_lab::run(&mut tool.expect("it is there")).expect("it does it");
        until("the topic is gone or there", || {
            world.topics().lines().any(|found| found == "in") == (topic == "create")
        });
    }
    world.produce(&["-t", "in"], &line(7));
    for _ in 0..2 {
        let said = refused(&world.place, &["run", "p.yaml"]);
        assert!(said.contains("was deleted and created again") && said.contains("another `name`"), "{said}");
    }
    // As it was told.
    pipeline("two");
    reads("two", "{\"id\":7}");
}
