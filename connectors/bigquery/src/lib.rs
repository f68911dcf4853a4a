//! `bigquery`: writes rows to a table of BigQuery, each exactly once.
//!
//! Rows go through the Storage Write API: one PENDING write stream for each epoch of a worker, named in the checkpoint,
//! committed after it. [`sink`] has the reasons why nothing is lost or doubled; [`stream`] is one such stream, [`delivery`] what
//! makes streams take effect, [`encoder`], [`row`] and [`scalar`] turn documents into messages for the columns of [`layout`].
//! insertAll is there for projects that may not use it, and is at least once.

mod auth;
mod check;
mod config;
mod delivery;
mod encoder;
mod fault;
mod grpc;
mod guess;
mod input;
mod insert_all;
mod layout;
mod rest;
mod row;
mod scalar;
mod sink;
mod stream;
mod table;
mod wire;

use acme_connect::{Connector, Maker};
use acme_types::{Change, Delivery, Field, Kind, Role, Spec};

static SPEC: Spec = Spec {
    name: "bigquery",
    role: Role::Destination,
    summary: "Writes rows to a table of BigQuery, each exactly once, and applies updates and deletes by key.",
    fields: &[
        Field::required(
            "table",
            Kind::Text,
            "The table as `DATASET.TABLE` or `PROJECT.DATASET.TABLE`; its name alone where there is a `dataset`.",
        ),
        Field::optional("dataset", Kind::Text, "The table's dataset, as `DATASET` or `PROJECT.DATASET`."),
        Field::defaulted(
            "project",
            Kind::Text,
            "${GOOGLE_CLOUD_PROJECT:-}",
            "The project of the dataset and of the queries that merge rows. By default that of the credentials, or of the machine.",
        ),
        Field::defaulted(
            "credentials",
            Kind::Text,
            "${GOOGLE_APPLICATION_CREDENTIALS:-}",
            "A file with the key of a service account, or with a user's credentials. By default those of `gcloud auth \
             application-default login`, or of the machine; `metadata` takes the machine's in any case.",
        ),
        Field::defaulted(
            "write_mode",
            Kind::Choice(&["append", "upsert", "truncate"]),
            "append",
            "`append` adds every row; `upsert` applies inserts, updates and deletes by key; `truncate` replaces all rows of the \
             table at the end of a batch, at once.",
        ),
        Field::optional(
            "key",
            Kind::List(&Kind::Text),
            "With `upsert`: the columns that identify a row. By default the key of the stream, or the table's primary key.",
        ),
        Field::defaulted(
            "flush_interval",
            Kind::Duration,
            "10s",
            "How often rows become visible. They are written, and safe, with every commit of the pipeline.",
        ),
        Field::defaulted(
            "unknown_fields",
            Kind::Choice(&["ignore", "error", "add"]),
            "ignore",
            "Fields that the table has no column for: `ignore` leaves them out and counts them, `error` hands their rows to the \
             error policy, `add` adds columns to the table and prints the statement.",
        ),
        Field::defaulted(
            "create",
            Kind::Bool,
            "true",
            "Create a table that does not exist from the rows of the first flush, and print the statement.",
        ),
        Field::defaulted(
            "truncate",
            Kind::Choice(&["reject", "ignore", "apply"]),
            "reject",
            "What a TRUNCATE of the source does: `reject` hands it to the error policy, `ignore` keeps all rows, `apply` deletes \
             those that were written before it.",
        ),
        Field::defaulted(
            "api",
            Kind::Choice(&["storage_write", "insert_all"]),
            "storage_write",
            "`storage_write` is exactly once; `insert_all` is the older interface, at least once.",
        ),
        Field::defaulted("batch_bytes", Kind::Size, "8MiB", "The most bytes of one request; at most 9MiB."),
        Field::defaulted("timeout", Kind::Duration, "60s", "How long a request may take."),
        Field::defaulted(
            "endpoint",
            Kind::Text,
            "${BIGQUERY_EMULATOR_HOST:-}",
            "The REST address of an emulator, which takes no credentials.",
        ),
        Field::defaulted(
            "storage_endpoint",
            Kind::Text,
            "${BIGQUERY_STORAGE_EMULATOR_HOST:-}",
            "The address of an emulator's Storage Write API (gRPC).",
        ),
    ],
    delivery: Delivery::ExactlyOnce,
    change: Change::Upsert,
};

/// The destination `bigquery`.
pub static DESTINATION: Connector = Connector { spec: &SPEC, make: Maker::Sink(sink::make) };
