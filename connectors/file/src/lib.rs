//! `file`: reads and writes files of JSON lines or CSV.

mod follow;
mod format;
mod header;
mod sink;
mod source;

use acme_connect::{Connector, Maker};
use acme_types::{Change, Delivery, Field, Kind, Role, Spec};

static SOURCE_SPEC: Spec = Spec {
    name: "file",
    role: Role::Source,
    summary: "Reads files record by record: once in batch mode, and on as they grow in streaming mode.",
    fields: &[
        Field::required(
            "path",
            Kind::List(&Kind::Text),
            "Files to read; `*`, `?` and `[…]` match names, `**` folders.",
        ),
        format::FORMAT,
        format::CSV,
        Field::optional(
            "schema",
            Kind::Map(&Kind::Text),
            "Fields with their SQL types, such as `{id: bigint, price: \"decimal(10, 2)\", at: timestamp}`; every record is checked against them.",
        ),
    ],
    delivery: Delivery::ExactlyOnce,
    change: Change::Append,
};

static SINK_SPEC: Spec = Spec {
    name: "file",
    role: Role::Destination,
    summary: "Writes files that appear whole: rows go to a hidden file, which gets its name when they are committed.",
    fields: &[
        Field::required(
            "path",
            Kind::Text,
            "The file. With `rotate`, and after a restart, a number goes before the ending.",
        ),
        format::FORMAT,
        format::CSV,
        Field::optional("rotate", Kind::Object(ROTATE), "When a file is finished and the next one begun."),
    ],
    delivery: Delivery::ExactlyOnce,
    change: Change::Append,
};

const ROTATE: &[Field] = &[
    Field::optional("size", Kind::Size, "Bytes after which the file is finished at the next commit."),
    Field::optional("every", Kind::Duration, "Time after which the file is finished at the next commit."),
];

/// The source `file`.
pub static SOURCE: Connector = Connector { spec: &SOURCE_SPEC, make: Maker::Source(source::make) };
/// The destination `file`.
pub static DESTINATION: Connector = Connector { spec: &SINK_SPEC, make: Maker::Sink(sink::make) };

pub use sink::FileSink;
