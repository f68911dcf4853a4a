//! `elasticsearch-6`, `-7`, `-8` and `opensearch`.

use super::Translation;
use super::rules::{DELIVERY, Flink, Meaning, PARALLELISM, Rule, both};
use acme_types::Role;

pub(super) static ELASTICSEARCH_6: Flink = flink("elasticsearch-6");
pub(super) static ELASTICSEARCH_7: Flink = flink("elasticsearch-7");
pub(super) static ELASTICSEARCH_8: Flink = flink("elasticsearch-8");
pub(super) static OPENSEARCH: Flink = flink("opensearch");

const fn flink(name: &'static str) -> Flink {
    Flink {
        name,
        item: "elasticsearch",
        only: Some(Role::Destination),
        required: &[("hosts", &["url"]), ("index", &["index"])],
        rules: RULES,
        has_format: false,
        together,
    }
}

const RETRIES: Meaning = Meaning::Ignored("what fails is sent again by the rules of the whole pipeline");

const RULES: &[Rule] = &[
    both("hosts", Meaning::Together),
    both("index", Meaning::Together),
    both("username", Meaning::Key("username")),
    both("password", Meaning::Key("password")),
    both("document-type", Meaning::Ignored("documents have no types since Elasticsearch 7")),
    both("document-id.key-delimiter", Meaning::Only(&["_"], "the columns of a key are joined with `_`")),
    both("format", Meaning::Only(&["json"], "documents are JSON")),
    both("sink.bulk-flush.max-actions", Meaning::Key("batch_rows")),
    both("sink.bulk-flush.max-size", Meaning::Size("batch_bytes")),
    both("sink.bulk-flush.interval", Meaning::Ignored("rows leave as soon as they can")),
    both("sink.bulk-flush.backoff.*", RETRIES),
    both("failure-handler", Meaning::Only(&["fail"], "SET 'settings.errors.policy' says what happens")),
    both("sink.flush-on-checkpoint", Meaning::Only(&["true"], "a commit has all rows before it")),
    both("sink.delivery-guarantee", DELIVERY),
    both("sink.parallelism", PARALLELISM),
    both("connection.max-retry-timeout", RETRIES),
    both("connection.request-timeout", Meaning::Duration("timeout")),
    both("connection.timeout", Meaning::Duration("timeout")),
    both("socket.timeout", Meaning::Duration("timeout")),
    both("connection.path-prefix", Meaning::Together),
    both("ssl.certificate-fingerprint", Meaning::Only(&[], "certificates are checked by 'tls.ca'")),
    both("allow-insecure", Meaning::Together),
];

fn together(translation: &mut Translation<'_, '_>) {
    let prefix = match translation.get("connection.path-prefix") {
        Some(option) => translation.resolve(option).unwrap_or_default(),
        None => String::new(),
    };
    let prefix = prefix.trim_matches('/');
    if let Some(option) = translation.get("hosts")
        && let Some(hosts) = translation.resolve(option)
    {
        let url = |host: &str| match prefix {
            "" => host.trim().to_owned(),
            prefix => format!("{}/{prefix}", host.trim().trim_end_matches('/')),
        };
        let urls: Vec<String> = hosts.split(';').map(url).collect();
        translation.put_list("url", option, urls.iter().map(String::as_str));
    }
    if translation.flag("allow-insecure")
        && let Some(option) = translation.get("allow-insecure")
    {
        translation.put_resolved("tls.verify", option, "false");
    }
    if let Some(option) = translation.get("index") {
        let text = option.value.reveal();
        if text.split('{').skip(1).any(|part| part.split('}').next().is_some_and(|name| name.contains('|'))) {
            let message = "the name of the index cannot contain a format of time".to_owned();
            translation.report(option, message, "compute the text in a column, and write {column}");
        } else {
            translation.put("index", option, text.to_owned());
        }
    }
    translation.put_primary_key("id_field");
}
