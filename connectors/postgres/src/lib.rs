//! `postgres`: captures changes of PostgreSQL tables, or copies them once; and keeps tables equal to a stream.
//!
//! [`source`] decides what to do, [`slot`] prepares the server, [`copy`] reads a snapshot, [`stream`] follows the log and
//! [`assembler`] makes batches of it. It knows no destination. [`sink`] is a destination of its own.

mod assembler;
mod catalog;
mod changes;
mod column;
mod copy;
mod fault;
mod kind;
mod outlet;
mod pgoutput;
mod position;
mod reader;
mod recover;
mod remains;
mod rows;
mod settings;
mod sink;
mod slot;
mod source;
mod stream;
mod text;
mod tls;
mod wire;

use acme_connect::{Connector, Maker};
use acme_types::{Change, Delivery, Field, Kind, Role, Spec};

pub use remains::{Remains, Remnant, SlotInfo};

/// The key that the source and the destination share.
const CONNECTION: Field = Field::required(
    "connection",
    Kind::Secret,
    "`postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…`, with `sslmode` one of disable, prefer, require, \
     verify-ca, verify-full, and `sslrootcert`.",
);

static SPEC: Spec = Spec {
    name: "postgres",
    role: Role::Source,
    summary: "Captures changes of PostgreSQL tables from a replication slot, or copies the tables once.",
    fields: &[
        CONNECTION,
        Field::optional(
            "mode",
            Kind::Choice(&["cdc"]),
            "`cdc` captures changes. Without it the tables are copied from one snapshot, and the source ends.",
        ),
        Field::required(
            "tables",
            Kind::List(&Kind::Text),
            "The tables as `SCHEMA.TABLE`; the schema defaults to `public`.",
        ),
        Field::defaulted(
            "publication",
            Kind::Text,
            "acme_pub",
            "The publication that names the tables on the server; created if absent and permitted.",
        ),
        Field::optional(
            "slot",
            Kind::Text,
            "The replication slot, one for each pipeline; `acme_PIPELINE_ITEM` by default, created if absent.",
        ),
        Field::defaulted(
            "snapshot",
            Kind::Choice(&["initial", "never"]),
            "initial",
            "`initial` copies the tables before their first change; `never` begins with the changes.",
        ),
        Field::defaulted(
            "heartbeat_interval",
            Kind::Duration,
            "10s",
            "How often the slot moves on while the tables stand still, so that the server can remove its log.",
        ),
        Field::defaulted(
            "decimals",
            Kind::Choice(&["decimal", "text"]),
            "decimal",
            "`decimal` makes a declared `numeric(p, s)` an exact decimal, which has no NaN; `text` keeps every numeric as \
             a JSON number as it is printed, NaN as \"NaN\".",
        ),
    ],
    delivery: Delivery::ExactlyOnce,
    change: Change::Upsert,
};

/// The source `postgres`.
pub static SOURCE: Connector = Connector { spec: &SPEC, make: Maker::Source(source::make) };

pub use sink::DESTINATION;
