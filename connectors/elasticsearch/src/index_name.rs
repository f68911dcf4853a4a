//! The name of an index, with placeholders.

use acme_types::batch::META_PREFIX;

/// The longest name, in bytes.
const NAME_MAX: usize = 255;

/// `users`, `app-{table}`, `events-{country}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexName {
    parts: Vec<Part>,
}

/// A piece of the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// As it stands.
    Literal(String),
    /// The value of a hidden column, by its whole name.
    Hidden(String),
    /// The value of a field that the connector asks the engine for.
    Field(String),
}

impl IndexName {
    /// Reads the text of the key `index`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else {
                return Err("a `{` is never closed".to_owned());
            };
            push_literal(&mut parts, literal);
            parts.push(match name {
                "" => return Err("`{}` names no field".to_owned()),
                "table" | "schema" => Part::Hidden(format!("{META_PREFIX}{name}")),
                hidden if hidden.starts_with(META_PREFIX) => Part::Hidden(hidden.to_owned()),
                field => Part::Field(field.to_owned()),
            });
            rest = after;
        }
        push_literal(&mut parts, rest);
        let name = Self { parts };
        // What a placeholder will stand for is not known yet: any letter takes its place.
        let sample: String = (name.parts.iter())
            .map(|part| match part {
                Part::Literal(text) => text.as_str(),
                _ => "x",
            })
            .collect();
        match fault(&sample) {
            Some(reason) => Err(reason.to_owned()),
            None => Ok(name),
        }
    }

    /// The pieces, in order.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The name, if it is the same for all rows.
    pub(crate) fn fixed(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Literal(name)] => Some(name),
            _ => None,
        }
    }

    /// The fields whose values are part of the name.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

fn push_literal(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Literal(text.to_owned()));
    }
}

/// Why this cannot be the name of an index. Source: Elasticsearch reference, "Create index", path parameters.
pub(crate) fn fault(name: &str) -> Option<&'static str> {
    const REFUSED: &[char] = &['\\', '/', '*', '?', '"', '<', '>', '|', ' ', ',', '#', ':'];
    if name.is_empty() || name == "." || name == ".." {
        return Some("it is empty");
    }
    if name.len() > NAME_MAX {
        return Some("it is longer than 255 bytes");
    }
    if name.starts_with(['-', '_', '+']) {
        return Some("it begins with -, _ or +");
    }
    if name.contains(REFUSED) || name.chars().any(char::is_control) {
        return Some("it contains one of \\ / * ? \" < > | , # : or a space");
    }
    name.chars().any(char::is_uppercase).then_some("it has an upper-case letter")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_fields_or_hidden_columns() {
        let name = IndexName::parse("app-{schema}.{table}-{country}").expect("it is valid");
        let hidden = |name: &str| Part::Hidden(name.to_owned());
        let literal = |text: &str| Part::Literal(text.to_owned());
        let parts = [
            literal("app-"),
            hidden("_meta.schema"),
            literal("."),
            hidden("_meta.table"),
            literal("-"),
            Part::Field("country".to_owned()),
        ];
        assert_eq!(name.parts(), parts);
        assert_eq!(name.fixed(), None);
        assert_eq!(name.fields().collect::<Vec<_>>(), ["country"]);
        assert_eq!(IndexName::parse("users").expect("it is valid").fixed(), Some("users"));
    }

    #[test]
    fn names_that_the_server_would_refuse_are_refused_before_the_start() {
        for bad in
            ["", "Users", "_users", "-users", "a b", "a/b", "a,b", "a*", "{table", "a{}", "é\u{7}", ".."]
        {
            assert!(IndexName::parse(bad).is_err(), "{bad}");
        }
        assert!(IndexName::parse(&"x".repeat(256)).is_err());
        for good in ["users", "{table}", ".hidden", "2026-11", "été", "a_b+c"] {
            assert!(IndexName::parse(good).is_ok(), "{good}");
        }
    }
}
