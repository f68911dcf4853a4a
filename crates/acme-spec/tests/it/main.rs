//! Pipeline files, good and bad, against a made-up list of connectors.

mod garbage;
mod interpolation;

use acme_spec::{Environment, PipelineSpec, parse};
use acme_types::{Change, Delivery, Diagnostic, Field, Kind, Role, Spec};

const fn spec(name: &'static str, role: Role, fields: &'static [Field]) -> Spec {
    Spec { name, role, summary: "Made up.", fields, delivery: Delivery::ExactlyOnce, change: Change::Append }
}

static DATABASE: Spec = spec(
    "database",
    Role::Source,
    &[
        Field::required("url", Kind::Secret, "Where it is."),
        Field::optional("port", Kind::Int(1, 65_535), "Its port."),
        Field::defaulted("mode", Kind::Choice(&["cdc", "copy"]), "copy", "How it is read."),
        Field::optional("tables", Kind::List(&Kind::Text), "What is read."),
        Field::optional("pause", Kind::Duration, "A pause."),
    ],
);
static KEEP: Spec =
    spec("keep", Role::Transform, &[Field::required("condition", Kind::Sql, "Which rows stay.")]);
static SPLIT: Spec = spec(
    "split",
    Role::Transform,
    &[
        Field::required("routes", Kind::Map(&Kind::Sql), "The outputs."),
        Field::optional("default", Kind::Text, "The rest."),
    ],
);
static DRAIN: Spec = spec("drain", Role::Destination, &[Field::optional("note", Kind::Text, "Anything.")]);

/// Variables and files that tests put in.
pub(crate) struct Fake;

impl Environment for Fake {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "URL" => Some("db://user:s3cret@host".to_owned()),
            "PORT" => Some("5432".to_owned()),
            "BAD_PORT" => Some("s3cret".to_owned()),
            "EMPTY" => Some(String::new()),
            "YAML" => Some("a: [b, *c] # ${URL}".to_owned()),
            _ => None,
        }
    }

    fn file(&self, path: &str) -> std::io::Result<String> {
        match path {
            "/secret" => Ok("from a file\n".to_owned()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }
    }
}

pub(crate) fn read(text: &str) -> (Option<PipelineSpec>, Vec<Diagnostic>) {
    parse("p.yaml", text, &[&DATABASE, &KEEP, &SPLIT, &DRAIN], &Fake)
}
