//! Positions that are lost, or that another program has set: nothing is reset by itself, the user chooses.

use super::KafkaSource;
use super::known::Known;
use super::position::Place;
use crate::fault::fault;
use acme_kafka::group::OffsetAndMetadata;
use acme_kafka::{Error, TopicPartition, Uuid};
use acme_types::Diagnostic;
use acme_types::codes::SOURCE_CHANGED;

impl KafkaSource {
    /// A failure to fetch.
    pub(super) fn unreadable(&self, error: &Error) -> Diagnostic {
        let diagnostic = fault("read from Kafka", error);
        match error {
            Error::OutOfRange { topic, .. }
            | Error::Truncated { topic, .. }
            | Error::TopicRecreated { topic, .. } => diagnostic.help(self.choices(topic)),
            _ => diagnostic,
        }
    }

    /// What the user may do about a position of a topic that does not exist any more.
    pub(super) fn choices(&self, topic: &str) -> String {
        if self.group.is_joined() {
            return format!(
                "stop all workers and choose where to go on: {} (or --to-latest, or --to-offset N); or give the pipeline another \
                 `group_id`, for which `start_offset` counts",
                self.reset(topic, "--to-earliest"),
            );
        }
        "choose where to begin with `start_offset`, and give the pipeline another `name`, for which it counts; what was delivered \
         before may come twice"
            .to_owned()
    }

    /// The command that sets the group's offsets.
    fn reset(&self, topic: &str, to: &str) -> String {
        let config = &self.cluster.config;
        let login = if config.security.tls.is_some() || config.security.sasl.is_some() {
            " --command-config FILE"
        } else {
            ""
        };
        let (servers, group) = (config.bootstrap.join(","), self.group.name());
        format!(
            "`acme groups reset-offsets {group} --topic {topic} {to} --execute --bootstrap-server {servers}{login}`"
        )
    }

    pub(super) fn recreated(&self, topic: &str, was: &str, is: Uuid) -> Diagnostic {
        let message =
            format!("topic \"{topic}\" was deleted and created again: its id was {was} and is {is}");
        Diagnostic::new(&SOURCE_CHANGED, message).help(self.choices(topic))
    }

    /// The id of a topic; nil where it is not known.
    pub(super) fn topic_id(&self, topic: &str) -> Uuid {
        let cached = self.client.as_ref().map(acme_kafka::Client::cached).unwrap_or_default();
        cached.topics.get(topic).map(|topic| topic.id).unwrap_or_default()
    }

    /// The engine's note beside a committed offset.
    ///
    /// **Errors** an offset that was set by another program, or that belongs to a former topic of the name.
    pub(super) fn own_note(
        &self,
        partition: &TopicPartition,
        committed: &OffsetAndMetadata,
    ) -> Result<String, Diagnostic> {
        let TopicPartition { topic, .. } = partition;
        let Some((id, note)) = Place::named(&committed.metadata) else {
            let message = format!(
                "the offset {} of {partition} in group \"{}\" was set by another program, not by this pipeline",
                committed.offset,
                self.group.name()
            );
            let help = format!(
                "stop all workers; to go on at this offset: {} (or choose another place with --to-earliest, --to-latest or \
                 --to-offset N); or give the pipeline a `group_id` of its own",
                self.reset(topic, "--to-current")
            );
            return Err(Diagnostic::new(&SOURCE_CHANGED, message).help(help));
        };
        let now = self.topic_id(topic);
        match id == now || id.is_nil() || now.is_nil() {
            true => Ok(note.to_owned()),
            false => Err(self.recreated(topic, &id.to_string(), now)),
        }
    }

    /// What the pipeline has read of the group's topics before.
    pub(super) fn known(&self) -> Result<Known, Diagnostic> {
        self.memory.read(&self.group.cluster(), self.group.name())
    }

    /// Whether partitions without a committed offset were never read before.
    ///
    /// **Errors** one that was: the group has forgotten it.
    pub(super) fn is_new(&self, known: &Known, partitions: &[TopicPartition]) -> Result<(), Diagnostic> {
        for partition in partitions {
            let topic = known.topics.get(&*partition.topic);
            let Some(topic) = topic.filter(|topic| partition.partition < topic.partitions) else { continue };
            let now = self.topic_id(&partition.topic);
            if topic.id != now.to_string() {
                return Err(self.recreated(&partition.topic, &topic.id, now));
            }
            let message = format!(
                "group \"{}\" has lost the offset of {partition}, which this pipeline has read before",
                self.group.name()
            );
            return Err(Diagnostic::new(&SOURCE_CHANGED, message).help(self.choices(&partition.topic)));
        }
        Ok(())
    }
}
