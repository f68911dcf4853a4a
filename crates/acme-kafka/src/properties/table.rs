//! The properties of Kafka's consumer, producer and admin client, and what each means here.

/// What a property is to this client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// It acts.
    Acts,
    /// It is accepted and does nothing, for this reason.
    Note(&'static str),
    /// It is said in another way.
    Elsewhere(&'static str),
}

const JAVA: &str = "it names a Java class";
const BYTES: &str = "values are decoded as `format` says";
const POLL: &str = "records are taken in whole batches";
const COMMITS: &str = "offsets are committed with each checkpoint";
const METRICS: &str = "Acme shows its own metrics";
const SYSTEM: &str = "the system sizes its buffers by itself";
const TLS: &str = "TLS 1.2 and 1.3 with the library's own choice of ciphers are used";

const TABLE: &[(&str, Use)] = &[
    ("acks", Use::Acts),
    ("allow.auto.create.topics", Use::Note("reading never creates a topic")),
    ("auto.commit.interval.ms", Use::Note(COMMITS)),
    ("auto.include.jmx.reporter", Use::Note(METRICS)),
    ("auto.offset.reset", Use::Note("`start_offset` says where reading begins, and nothing is reset later")),
    ("batch.size", Use::Acts),
    ("bootstrap.servers", Use::Elsewhere("name them under `brokers`")),
    ("buffer.memory", Use::Acts),
    ("check.crcs", Use::Acts),
    ("client.dns.lookup", Use::Note("all addresses of a host are tried")),
    ("client.id", Use::Acts),
    ("client.rack", Use::Note("leaders are read")),
    ("compression.gzip.level", Use::Note("the library's default level is used")),
    ("compression.lz4.level", Use::Note("the library's default level is used")),
    ("compression.type", Use::Acts),
    ("compression.zstd.level", Use::Note("the library's default level is used")),
    ("connections.max.idle.ms", Use::Note("connections are opened anew when they are needed")),
    ("default.api.timeout.ms", Use::Acts),
    ("delivery.timeout.ms", Use::Acts),
    ("enable.auto.commit", Use::Note(COMMITS)),
    ("enable.idempotence", Use::Acts),
    ("enable.metrics.push", Use::Note(METRICS)),
    ("exclude.internal.topics", Use::Note("Kafka's own topics match no pattern")),
    ("fetch.max.bytes", Use::Acts),
    ("fetch.max.wait.ms", Use::Acts),
    ("fetch.min.bytes", Use::Acts),
    ("group.id", Use::Elsewhere("say it as `group_id`")),
    ("group.instance.id", Use::Acts),
    ("group.protocol", Use::Acts),
    ("group.remote.assignor", Use::Acts),
    ("heartbeat.interval.ms", Use::Acts),
    ("interceptor.classes", Use::Note(JAVA)),
    ("isolation.level", Use::Acts),
    ("key.deserializer", Use::Note(BYTES)),
    ("key.serializer", Use::Note(BYTES)),
    ("linger.ms", Use::Acts),
    ("max.block.ms", Use::Note("a full buffer holds the pipeline up")),
    ("max.in.flight.requests.per.connection", Use::Acts),
    ("max.partition.fetch.bytes", Use::Acts),
    ("max.poll.interval.ms", Use::Acts),
    ("max.poll.records", Use::Note(POLL)),
    ("max.request.size", Use::Acts),
    ("metadata.max.age.ms", Use::Acts),
    ("metadata.max.idle.ms", Use::Note("only topics in use are asked for")),
    ("metadata.recovery.rebootstrap.trigger.ms", Use::Note("bootstrap servers are always tried too")),
    ("metadata.recovery.strategy", Use::Note("bootstrap servers are always tried too")),
    ("metric.reporters", Use::Note(METRICS)),
    ("metrics.num.samples", Use::Note(METRICS)),
    ("metrics.recording.level", Use::Note(METRICS)),
    ("metrics.sample.window.ms", Use::Note(METRICS)),
    ("partition.assignment.strategy", Use::Acts),
    ("partitioner.adaptive.partitioning.enable", Use::Note("records without a key go round batch by batch")),
    ("partitioner.availability.timeout.ms", Use::Note("records without a key go round batch by batch")),
    ("partitioner.class", Use::Note(JAVA)),
    ("partitioner.ignore.keys", Use::Note("leave `key` out instead")),
    ("receive.buffer.bytes", Use::Note(SYSTEM)),
    ("reconnect.backoff.max.ms", Use::Note("retry.backoff.max.ms counts")),
    ("reconnect.backoff.ms", Use::Note("retry.backoff.ms counts")),
    ("request.timeout.ms", Use::Acts),
    ("retries", Use::Note("delivery.timeout.ms bounds the retries")),
    ("retry.backoff.max.ms", Use::Acts),
    ("retry.backoff.ms", Use::Acts),
    ("sasl.client.callback.handler.class", Use::Note(JAVA)),
    ("sasl.jaas.config", Use::Acts),
    ("sasl.login.callback.handler.class", Use::Note(JAVA)),
    ("sasl.login.class", Use::Note(JAVA)),
    ("sasl.mechanism", Use::Acts),
    ("sasl.oauthbearer.token.endpoint.url", Use::Acts),
    ("security.protocol", Use::Acts),
    ("security.providers", Use::Note(JAVA)),
    ("send.buffer.bytes", Use::Note(SYSTEM)),
    ("session.timeout.ms", Use::Acts),
    ("socket.connection.setup.timeout.max.ms", Use::Note("socket.connection.setup.timeout.ms counts")),
    ("socket.connection.setup.timeout.ms", Use::Acts),
    ("ssl.cipher.suites", Use::Note(TLS)),
    ("ssl.enabled.protocols", Use::Note(TLS)),
    ("ssl.endpoint.identification.algorithm", Use::Acts),
    ("ssl.engine.factory.class", Use::Note(JAVA)),
    ("ssl.key.password", Use::Acts),
    ("ssl.keymanager.algorithm", Use::Note(TLS)),
    ("ssl.keystore.certificate.chain", Use::Acts),
    ("ssl.keystore.key", Use::Acts),
    ("ssl.keystore.location", Use::Acts),
    ("ssl.keystore.password", Use::Note("PEM files have none")),
    ("ssl.keystore.type", Use::Acts),
    ("ssl.protocol", Use::Note(TLS)),
    ("ssl.provider", Use::Note(TLS)),
    ("ssl.secure.random.implementation", Use::Note(TLS)),
    ("ssl.trustmanager.algorithm", Use::Note(TLS)),
    ("ssl.truststore.certificates", Use::Acts),
    ("ssl.truststore.location", Use::Acts),
    ("ssl.truststore.password", Use::Note("PEM files have none")),
    ("ssl.truststore.type", Use::Acts),
    ("transaction.timeout.ms", Use::Acts),
    ("transactional.id", Use::Elsewhere("Acme names the transactions of each worker by itself")),
    ("value.deserializer", Use::Note(BYTES)),
    ("value.serializer", Use::Note(BYTES)),
];

pub(super) fn find(name: &str) -> Option<Use> {
    TABLE.iter().find(|(known, _)| *known == name).map(|(_, uses)| *uses)
}

/// The known name that looks most like this one, if one does.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let close = |known: &str| distance(name, known) <= 1 + name.len() / 5;
    let near = TABLE.iter().map(|(known, _)| *known).filter(|known| close(known));
    near.min_by_key(|known| distance(name, known))
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let cost = (diagonal + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_names_are_there_once() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn a_slip_is_recognised() {
        assert_eq!(nearest("security.protocl"), Some("security.protocol"));
        assert_eq!(nearest("sesion.timeout.ms"), Some("session.timeout.ms"));
        assert_eq!(nearest("something.else"), None);
    }
}
