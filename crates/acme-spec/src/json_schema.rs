//! The JSON Schema of pipeline files, for editors, made from the `SPEC`s.

use crate::pipeline::{EVENT_TIME, SETTINGS};
use acme_types::{Field, Kind, Role, Spec};
use serde_json::{Map, Value, json};

/// A JSON Schema (draft 2020-12) that accepts what [`parse`](crate::parse) accepts, connector by connector.
///
/// Every scalar may also be text with a `${VAR}` in it, so numbers and flags allow strings.
#[must_use]
pub fn json_schema(specs: &[&'static Spec]) -> Value {
    let of = |role| -> Vec<Value> {
        specs.iter().filter(|spec| spec.role == role).map(|spec| item(spec)).collect()
    };
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Acme pipeline",
        "type": "object",
        "required": ["name", "sources", "destinations"],
        "additionalProperties": false,
        "properties": {
            "name": {"type": "string", "description": "Name of the pipeline; its state is kept under it."},
            "mode": {"enum": ["streaming", "batch"], "default": "streaming"},
            "sources": {"type": "array", "minItems": 1, "items": {"oneOf": of(Role::Source)}},
            "transforms": {"type": "array", "items": {"oneOf": of(Role::Transform)}},
            "destinations": {"type": "array", "minItems": 1, "items": {"oneOf": of(Role::Destination)}},
            "settings": object(SETTINGS),
        },
    })
}

fn item(spec: &Spec) -> Value {
    let mut schema = object(spec.fields);
    schema["description"] = spec.summary.into();
    schema["properties"]["type"] = json!({"const": spec.name});
    schema["properties"]["name"] = json!({"type": "string"});
    match spec.role {
        Role::Source => schema["properties"]["event_time"] = object(EVENT_TIME),
        _ => schema["properties"]["from"] = value(&Kind::List(&Kind::Step)),
    }
    let required = schema["required"].as_array_mut().expect("object() makes an array");
    required.insert(0, "type".into());
    schema
}

fn object(fields: &[Field]) -> Value {
    let mut properties = Map::new();
    for field in fields {
        let mut schema = value(&field.kind);
        schema["description"] = field.doc.into();
        if let Some(default) = field.default {
            schema["default"] = default.into();
        }
        properties.insert(field.name.to_owned(), schema);
    }
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
}

fn value(kind: &Kind) -> Value {
    match kind {
        Kind::Text | Kind::Secret | Kind::Sql | Kind::Step => {
            json!({"type": ["string", "number", "boolean"]})
        }
        Kind::Bool => json!({"type": ["boolean", "string"]}),
        Kind::Int(low, high) => json!({"type": ["integer", "string"], "minimum": low, "maximum": high}),
        Kind::Duration => json!({"type": "string", "examples": ["500ms", "10s", "5m"]}),
        Kind::Size => json!({"type": ["string", "integer"], "examples": ["512KiB", "64MiB"]}),
        Kind::Choice(words) => {
            json!({"anyOf": [{"enum": words}, {"type": "string", "pattern": "\\$\\{"}]})
        }
        Kind::List(inner) => json!({"anyOf": [{"type": "array", "items": value(inner)}, value(inner)]}),
        Kind::Map(inner) => json!({"type": "object", "additionalProperties": value(inner)}),
        Kind::Object(fields) => object(fields),
    }
}
