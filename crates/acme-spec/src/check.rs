//! One item's keys against the `SPEC` of its type.

use crate::interpolate::{Environment, interpolate};
use crate::suggest;
use crate::yaml::{Key, Node, NodeKind};
use acme_types::codes::{BAD_VALUE, MISSING_KEY, UNKNOWN_KEY};
use acme_types::{Config, Diagnostic, Field, Kind, Place, Secret, Value, ValueKind};

/// How keys are written in the file that is checked, for what messages advise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// `key:`
    Yaml,
    /// `'key' = '…'`
    Sql,
}

/// What checking needs besides the tree.
pub(crate) struct Checker<'a> {
    pub(crate) environment: &'a dyn Environment,
    pub(crate) spelling: Spelling,
    pub(crate) found: Vec<Diagnostic>,
}

impl Checker<'_> {
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// A key as one would add it to the file.
    pub(crate) fn written(&self, key: &str) -> String {
        match self.spelling {
            Spelling::Yaml => format!("`{key}:`"),
            Spelling::Sql => format!("'{key}' = '…'"),
        }
    }

    /// The entries of a mapping; anything else is reported.
    pub(crate) fn entries<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Key, Node)]> {
        match &node.kind {
            NodeKind::Map(entries) => Some(entries),
            _ => {
                let message = format!("{what} must be a mapping, not {}", node.noun());
                self.push(Diagnostic::new(&BAD_VALUE, message).at(&node.at));
                None
            }
        }
    }

    /// Checks the keys of one mapping. `common` are keys that the caller handles itself.
    pub(crate) fn object(
        &mut self,
        entries: &[(Key, Node)],
        fields: &'static [Field],
        common: &[&str],
        owner: &str,
        at: &Place,
    ) -> Config {
        let mut misspelt = Vec::new();
        for (key, _) in entries {
            let known = common.contains(&&*key.name) || fields.iter().any(|field| field.name == key.name);
            if !known {
                let names: Vec<&str> =
                    fields.iter().map(|field| field.name).chain(common.iter().copied()).collect();
                let message = format!("unknown key \"{}\" in {owner}", key.name);
                let help = suggest::help(&key.name, &names, "keys");
                misspelt.extend(suggest::nearest(&key.name, names));
                self.push(Diagnostic::new(&UNKNOWN_KEY, message).at(&key.at).help(help));
            }
        }
        let mut values = Vec::new();
        for field in fields {
            let given = entries.iter().find(|(key, _)| key.name == field.name);
            let value = match (given, field.default) {
                (Some((_, node)), _) => self.value(node, &field.kind, field.name),
                (None, Some(default)) => {
                    let node = Node { kind: NodeKind::Scalar(default.to_owned()), at: at.clone() };
                    self.value(&node, &field.kind, field.name)
                }
                (None, None) => {
                    if field.required && !misspelt.contains(&field.name) {
                        let message = format!("{owner} needs the key \"{}\"", field.name);
                        let help =
                            format!("add {} ({})", self.written(field.name), first_sentence(field.doc));
                        self.push(Diagnostic::new(&MISSING_KEY, message).at(at).help(help));
                    }
                    None
                }
            };
            values.extend(value.map(|value| (field.name, value)));
        }
        Config { values, at: at.clone() }
    }

    /// Checks one value; what is wrong with it is reported and the value left out.
    pub(crate) fn value(&mut self, node: &Node, kind: &Kind, key: &str) -> Option<Value> {
        let value = match (kind, &node.kind) {
            (Kind::List(inner), NodeKind::List(items)) => {
                ValueKind::List(items.iter().filter_map(|item| self.value(item, inner, key)).collect())
            }
            (Kind::List(inner), NodeKind::Scalar(_)) => ValueKind::List(vec![self.value(node, inner, key)?]),
            (Kind::Map(inner), NodeKind::Map(entries)) => ValueKind::Map(
                entries
                    .iter()
                    .filter_map(|(name, item)| {
                        Some((name.name.clone(), self.value(item, inner, &name.name)?))
                    })
                    .collect(),
            ),
            (Kind::Object(fields), NodeKind::Map(entries)) => {
                ValueKind::Object(self.object(entries, fields, &[], &format!("\"{key}\""), &node.at))
            }
            (Kind::List(_) | Kind::Map(_) | Kind::Object(_), _) => return self.mismatch(node, kind, key),
            (_, NodeKind::Scalar(text)) => {
                let before = self.found.len();
                let value = interpolate(text, &node.at, self.environment, &mut self.found);
                if self.found.len() > before {
                    return None;
                }
                return self.scalar(&value, text, &node.at, kind, key);
            }
            _ => return self.mismatch(node, kind, key),
        };
        Some(Value { kind: value, at: node.at.clone() })
    }

    /// `shown` is the value as the file has it: messages never print what a variable held.
    fn scalar(&mut self, text: &str, shown: &str, at: &Place, kind: &Kind, key: &str) -> Option<Value> {
        let value = match kind {
            Kind::Text | Kind::Sql | Kind::Step => Ok(ValueKind::Text(text.to_owned())),
            Kind::Secret => Ok(ValueKind::Secret(Secret::new(text.to_owned()))),
            Kind::Bool => match text {
                "true" => Ok(ValueKind::Bool(true)),
                "false" => Ok(ValueKind::Bool(false)),
                _ => Err("must be true or false".to_owned()),
            },
            Kind::Int(low, high) => match text.replace('_', "").parse() {
                Ok(number) if (*low..=*high).contains(&number) => Ok(ValueKind::Int(number)),
                _ => Err(match *high {
                    i64::MAX => format!("must be a whole number of at least {low}"),
                    high => format!("must be a whole number from {low} to {high}"),
                }),
            },
            Kind::Duration => duration_us(text).map(ValueKind::Int),
            Kind::Size => size_bytes(text).map(ValueKind::Int),
            Kind::Choice(words) => match words.iter().find(|word| **word == text) {
                Some(word) => Ok(ValueKind::Text((*word).to_owned())),
                None => {
                    let message = format!("\"{key}\" cannot be \"{shown}\"");
                    let help = suggest::help(shown, words, "choices");
                    self.push(Diagnostic::new(&BAD_VALUE, message).at(at).help(help));
                    return None;
                }
            },
            Kind::List(_) | Kind::Map(_) | Kind::Object(_) => unreachable!("collections were handled before"),
        };
        match value {
            Ok(kind) => Some(Value { kind, at: at.clone() }),
            Err(reason) => {
                let message = format!("\"{key}\" {reason}, not \"{shown}\"");
                self.push(Diagnostic::new(&BAD_VALUE, message).at(at));
                None
            }
        }
    }

    fn mismatch(&mut self, node: &Node, kind: &Kind, key: &str) -> Option<Value> {
        let expected = match kind {
            Kind::List(_) => "a list",
            Kind::Map(_) | Kind::Object(_) => "a mapping",
            _ => "a single value",
        };
        let message = format!("\"{key}\" must be {expected}, not {}", node.noun());
        self.push(Diagnostic::new(&BAD_VALUE, message).at(&node.at));
        None
    }
}

/// What a key is for, in short: its whole text stands in the reference.
fn first_sentence(doc: &str) -> &str {
    doc.split_once(". ").map_or(doc, |(first, _)| first).trim_end_matches('.')
}

/// `500ms`, `10s`, `1.5m`, `1h`, `7d` in microseconds.
fn duration_us(text: &str) -> Result<i64, String> {
    const UNITS: [(&str, f64); 6] =
        [("us", 1.0), ("ms", 1e3), ("s", 1e6), ("m", 60e6), ("h", 3600e6), ("d", 86_400e6)];
    measure(text, &UNITS).ok_or_else(|| "must be a duration such as 500ms, 10s, 5m, 1h".to_owned())
}

/// `100`, `512KiB`, `64MB` in bytes.
fn size_bytes(text: &str) -> Result<i64, String> {
    const UNITS: [(&str, f64); 11] = [
        ("", 1.0),
        ("b", 1.0),
        ("k", 1024.0),
        ("kb", 1e3),
        ("kib", 1024.0),
        ("m", 1_048_576.0),
        ("mb", 1e6),
        ("mib", 1_048_576.0),
        ("g", 1_073_741_824.0),
        ("gb", 1e9),
        ("gib", 1_073_741_824.0),
    ];
    measure(text, &UNITS).ok_or_else(|| "must be a size such as 512KiB, 64MiB, 1GB".to_owned())
}

fn measure(text: &str, units: &[(&str, f64)]) -> Option<i64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let unit = unit.trim().to_lowercase();
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    let value = digits.parse::<f64>().ok()? * factor;
    // Far below the place where f64 stops being exact about whole numbers.
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and within limits")]
    (value.fract() == 0.0 && value < 9e15).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_have_units() {
        assert_eq!(duration_us("1.5s"), Ok(1_500_000));
        assert_eq!(duration_us("1h"), Ok(3_600_000_000));
        assert!(duration_us("10").is_err(), "a bare number says nothing about its unit");
        assert_eq!(size_bytes("64MiB"), Ok(64 << 20));
        assert_eq!(size_bytes("10"), Ok(10));
        assert!(size_bytes("x").is_err() && size_bytes("").is_err() && size_bytes("1.5b").is_err());
    }
}
