//! Every property name of Kafka's consumer, producer and admin client, and what becomes of it here.
//!
//! Source: `ConsumerConfig`, `ProducerConfig`, `AdminClientConfig`, `SaslConfigs`, `SslConfigs` of Kafka 4.3.

/// What a property does.
#[derive(Clone, Copy)]
pub(super) enum Use {
    Acts,
    /// Why it does nothing.
    Ignored(&'static str),
}

const ACTS: &[&str] = &[
    "acks",
    "auto.offset.reset",
    "batch.size",
    "bootstrap.servers",
    "buffer.memory",
    "client.id",
    "client.rack",
    "compression.type",
    "default.api.timeout.ms",
    "delivery.timeout.ms",
    "enable.idempotence",
    "fetch.max.bytes",
    "fetch.max.wait.ms",
    "fetch.min.bytes",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "isolation.level",
    "linger.ms",
    "max.in.flight.requests.per.connection",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "max.request.size",
    "metadata.max.age.ms",
    "partition.assignment.strategy",
    "request.timeout.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "sasl.jaas.config",
    "sasl.mechanism",
    "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.header.urlencode",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "security.protocol",
    "session.timeout.ms",
    "socket.connection.setup.timeout.ms",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
    "transaction.timeout.ms",
    "transactional.id",
];

const CLASSES: &str = "Acme loads no Java classes";
const METRICS: &str = "Acme has metrics of its own";
const NETWORK: &str = "the operating system and Acme's client decide";
const BOUNDED: &str = "memory and batches are bounded by Acme itself";
const COMMITS: &str = "Acme commits what it has delivered";
const TRIES: &str = "tries are bounded by time";
const CHECKED: &str = "checksums are always checked";
const TLS: &str = "TLS 1.2 and 1.3 with the ciphers that are safe today";
const KERBEROS: &str = "there is no Kerberos here";
const TOKENS: &str = "a token is renewed after four fifths of its life, and read from a file for each login";

const IGNORED: &[(&str, &str)] = &[
    ("allow.auto.create.topics", "no topic is ever created by reading it"),
    ("auto.commit.interval.ms", COMMITS),
    ("auto.include.jmx.reporter", METRICS),
    ("check.crcs", CHECKED),
    ("client.dns.lookup", NETWORK),
    ("compression.gzip.level", "the codec's default is used"),
    ("compression.lz4.level", "the codec's default is used"),
    ("compression.zstd.level", "the codec's default is used"),
    ("config.providers", CLASSES),
    ("connections.max.idle.ms", NETWORK),
    ("enable.auto.commit", COMMITS),
    ("enable.metrics.push", METRICS),
    ("exclude.internal.topics", "Kafka's own topics are read only when they are named"),
    ("interceptor.classes", CLASSES),
    ("key.deserializer", CLASSES),
    ("key.serializer", CLASSES),
    ("max.block.ms", TRIES),
    ("max.poll.records", BOUNDED),
    ("metadata.max.idle.ms", BOUNDED),
    ("metadata.recovery.rebootstrap.trigger.ms", "bootstrap servers are always asked again"),
    ("metadata.recovery.strategy", "bootstrap servers are always asked again"),
    ("metric.reporters", METRICS),
    ("metrics.num.samples", METRICS),
    ("metrics.recording.level", METRICS),
    ("metrics.sample.window.ms", METRICS),
    ("partitioner.adaptive.partitioning.enable", "keys decide by Kafka's own hash"),
    ("partitioner.availability.timeout.ms", "keys decide by Kafka's own hash"),
    ("partitioner.class", CLASSES),
    ("partitioner.ignore.keys", "keys decide by Kafka's own hash"),
    ("receive.buffer.bytes", NETWORK),
    ("reconnect.backoff.max.ms", "retry.backoff.max.ms counts"),
    ("reconnect.backoff.ms", "retry.backoff.ms counts"),
    ("retries", TRIES),
    ("sasl.client.callback.handler.class", CLASSES),
    ("sasl.kerberos.kinit.cmd", KERBEROS),
    ("sasl.kerberos.min.time.before.relogin", KERBEROS),
    ("sasl.kerberos.service.name", KERBEROS),
    ("sasl.kerberos.ticket.renew.jitter", KERBEROS),
    ("sasl.kerberos.ticket.renew.window.factor", KERBEROS),
    ("sasl.login.callback.handler.class", CLASSES),
    ("sasl.login.class", CLASSES),
    ("sasl.login.connect.timeout.ms", TOKENS),
    ("sasl.login.read.timeout.ms", TOKENS),
    ("sasl.login.refresh.buffer.seconds", TOKENS),
    ("sasl.login.refresh.min.period.seconds", TOKENS),
    ("sasl.login.refresh.window.factor", TOKENS),
    ("sasl.login.refresh.window.jitter", TOKENS),
    ("sasl.login.retry.backoff.max.ms", TOKENS),
    ("sasl.login.retry.backoff.ms", TOKENS),
    ("security.providers", CLASSES),
    ("send.buffer.bytes", NETWORK),
    ("share.acknowledgement.mode", "there are no share groups here"),
    ("socket.connection.setup.timeout.max.ms", "socket.connection.setup.timeout.ms counts"),
    ("ssl.cipher.suites", TLS),
    ("ssl.enabled.protocols", TLS),
    ("ssl.engine.factory.class", CLASSES),
    ("ssl.keymanager.algorithm", CLASSES),
    ("ssl.protocol", TLS),
    ("ssl.provider", CLASSES),
    ("ssl.secure.random.implementation", CLASSES),
    ("ssl.trustmanager.algorithm", CLASSES),
    ("transaction.two.phase.commit.enable", "transactions end with their epoch"),
    ("value.deserializer", CLASSES),
    ("value.serializer", CLASSES),
];

pub(super) fn known(name: &str) -> Option<Use> {
    if ACTS.contains(&name) {
        return Some(Use::Acts);
    }
    IGNORED.iter().find(|(known, _)| *known == name).map(|(_, why)| Use::Ignored(why))
}

/// The name that was probably meant.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    // The distance costs the product of both lengths.
    const NAME_MAX: usize = 100;
    if name.len() > NAME_MAX {
        return None;
    }
    let all = ACTS.iter().copied().chain(IGNORED.iter().map(|(known, _)| *known));
    all.map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= 1 + name.len() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_and_share_nothing() {
        assert!(ACTS.is_sorted());
        assert!(IGNORED.is_sorted_by_key(|(name, _)| *name));
        assert!(IGNORED.iter().all(|(name, _)| !ACTS.contains(name)));
    }
}
