//! The reference pages, made from what connectors, transforms and codes say of themselves.

use crate::specs;
use acme_spec::EVENT_TIME;
use acme_types::codes;
use acme_types::{Delivery, Field, Kind, Role, Spec};
use std::fmt::Write;

/// The page of all connectors or transforms of one role, as Markdown.
#[must_use]
pub fn items(role: Role) -> String {
    let (title, note) = match role {
        Role::Source => ("Sources", "Every source also takes `type`, `name` and `event_time`."),
        Role::Transform => ("Transforms", "Every transform also takes `type`, `name` and `from`."),
        Role::Destination => ("Destinations", "Every destination also takes `type`, `name` and `from`."),
    };
    let mut text = format!("# {title}\n\n{note}\n");
    if role == Role::Source {
        text += "\n| key | value | default | |\n|---|---|---|---|\n";
        fields(EVENT_TIME, "event_time.", &mut text);
    }
    let mut all: Vec<&Spec> = specs().into_iter().filter(|spec| spec.role == role).collect();
    all.sort_by_key(|spec| spec.name);
    for spec in all {
        let _ = write!(text, "\n## `{}`\n\n{}\n", spec.name, spec.summary);
        if role == Role::Destination {
            let promise = match spec.delivery {
                Delivery::ExactlyOnce => "exactly once",
                Delivery::Idempotent => "exactly once in effect: a row that comes again changes nothing",
                Delivery::AtLeastOnce => "at least once",
            };
            let _ = write!(text, "\nDelivery: {promise}.\n");
        }
        if !spec.fields.is_empty() {
            text += "\n| key | value | default | |\n|---|---|---|---|\n";
            fields(spec.fields, "", &mut text);
        }
    }
    text
}

fn fields(all: &[Field], prefix: &str, text: &mut String) {
    for field in all {
        let default = match (field.default, field.required) {
            (Some(default), _) => format!("`{default}`"),
            (None, true) => "required".to_owned(),
            (None, false) => String::new(),
        };
        let _ = writeln!(
            text,
            "| `{prefix}{}` | {} | {default} | {} |",
            field.name,
            kind(&field.kind),
            field.doc
        );
        if let Kind::Object(inner) = field.kind {
            fields(inner, &format!("{prefix}{}.", field.name), text);
        }
    }
}

fn kind(kind: &Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Secret => "secret text".to_owned(),
        Kind::Sql => "SQL expression".to_owned(),
        Kind::Bool => "`true` or `false`".to_owned(),
        Kind::Int(low, i64::MAX) => format!("whole number from {low}"),
        Kind::Int(low, high) => format!("whole number from {low} to {high}"),
        Kind::Duration => "duration".to_owned(),
        Kind::Size => "size".to_owned(),
        Kind::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::Step => "name of a step".to_owned(),
        Kind::List(inner) => format!("one or a list of: {}", self::kind(inner)),
        Kind::Map(inner) => format!("mapping from names to: {}", self::kind(inner)),
        Kind::Object(_) => "mapping".to_owned(),
    }
}

/// The page of all error codes, as Markdown.
#[must_use]
pub fn errors() -> String {
    let mut text = "# Errors by code\n\n`acme error CODE` prints the same.\n".to_owned();
    for code in codes::ALL {
        let _ = write!(text, "\n## {}: {}\n\n{}\n", code.id, code.title, code.page);
    }
    text
}
