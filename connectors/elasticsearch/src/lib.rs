//! `elasticsearch`: keeps indices of Elasticsearch or OpenSearch equal to a stream.
//!
//! A row becomes the document whose `_id` is the row's key. Rows of a stream of changes carry a version that grows with
//! their source, and are written with `version_type: external`: whatever is repeated, delayed or reordered, the newest
//! change of a key wins, deletes included. Rows without a version are written by key, the last writer wins. Rows without
//! a key get an id from the server, so that a repeated request doubles them: at least once.

mod bulk;
mod client;
mod config;
mod index;
mod index_name;
mod reply;
mod request;
mod sink;
mod truncate;

use acme_connect::{Connector, Maker};
use acme_types::{Change, Delivery, Field, Kind, Role, Spec};

static SPEC: Spec = Spec {
    name: "elasticsearch",
    role: Role::Destination,
    summary: "Writes rows as documents of Elasticsearch or OpenSearch, applies updates and deletes by key.",
    fields: &[
        Field::defaulted(
            "url",
            Kind::List(&Kind::Text),
            "${ELASTICSEARCH_URL:-http://localhost:9200}",
            "Addresses of the cluster's nodes; requests take turns.",
        ),
        Field::required(
            "index",
            Kind::Text,
            "The index or alias. `{table}` and `{schema}` stand for where a change comes from, `{name}` for a field of the \
             row; their values are written in lower case.",
        ),
        Field::optional(
            "id_field",
            Kind::List(&Kind::Text),
            "The field that becomes the document's `_id`; several are joined with `_`. Without it every row becomes a new \
             document, a repeated one too.",
        ),
        Field::optional("username", Kind::Text, "User for basic authentication."),
        Field::optional("password", Kind::Secret, "Password for basic authentication."),
        Field::optional(
            "api_key",
            Kind::Secret,
            "API key in its encoded form, in the place of user and password.",
        ),
        Field::optional("tls", Kind::Object(TLS), "How the server's certificate is checked."),
        Field::defaulted("batch_bytes", Kind::Size, "5MiB", "The most bytes of one request."),
        Field::defaulted("batch_rows", Kind::Int(1, 100_000), "5000", "The most rows of one request."),
        Field::defaulted("timeout", Kind::Duration, "30s", "How long a request may take."),
        Field::defaulted(
            "create_index",
            Kind::Bool,
            "true",
            "Create an index that does not exist, with `index.gc_deletes: 24h`; mappings and all else come from the \
             cluster's templates and defaults.",
        ),
        Field::defaulted(
            "truncate",
            Kind::Choice(&["reject", "ignore", "apply"]),
            "reject",
            "What a TRUNCATE of the source does: `reject` hands it to the error policy, `ignore` keeps all documents, \
             `apply` deletes every document of the index that is older.",
        ),
    ],
    delivery: Delivery::Idempotent,
    change: Change::Upsert,
};

const TLS: &[Field] = &[
    Field::optional("ca", Kind::Text, "A file with the certificates to trust, in PEM form."),
    Field::defaulted("verify", Kind::Bool, "true", "Set to false, any certificate is accepted."),
];

/// The destination `elasticsearch`.
pub static DESTINATION: Connector = Connector { spec: &SPEC, make: Maker::Sink(sink::make) };
