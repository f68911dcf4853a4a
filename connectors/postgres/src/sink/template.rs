//! The name of a table, with placeholders.

/// The longest name that the server keeps: `NAMEDATALEN` - 1. It would cut a longer one.
const NAME_MAX: usize = 63;

/// `users`, `replica.{table}`, `"{schema}.{table}"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    schema: Vec<Part>,
    table: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// Where the change comes from.
    Schema,
    Table,
}

impl Template {
    /// Reads `TABLE` or `SCHEMA.TABLE`; a part that contains a dot or a brace is written in double quotes.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (first, rest) = part(text.trim())?;
        let template = match rest.strip_prefix('.') {
            Some(rest) => {
                let (second, rest) = part(rest)?;
                if !rest.is_empty() {
                    return Err("it has more than two parts".to_owned());
                }
                Self { schema: first, table: second }
            }
            None if rest.is_empty() => {
                Self { schema: vec![Part::Literal("public".to_owned())], table: first }
            }
            None => return Err("text follows a closing quote".to_owned()),
        };
        // What a placeholder will stand for is not known yet: any letter takes its place.
        template.fill("x", "x").map(|_| template)
    }

    /// The schema and the table, if they are the same for all rows.
    pub(crate) fn fixed(&self) -> Option<(String, String)> {
        if self.has_placeholders() { None } else { self.fill("", "").ok() }
    }

    /// Whether a row must say where it comes from.
    pub(crate) fn has_placeholders(&self) -> bool {
        self.schema.iter().chain(&self.table).any(|part| !matches!(part, Part::Literal(_)))
    }

    /// The schema and the table of a change that comes from these.
    pub(crate) fn fill(&self, schema: &str, table: &str) -> Result<(String, String), String> {
        let filled = |parts: &[Part]| {
            let text = |part: &Part| match part {
                Part::Literal(text) => text.clone(),
                Part::Schema => schema.to_owned(),
                Part::Table => table.to_owned(),
            };
            let name: String = parts.iter().map(text).collect();
            match name.len() {
                0 => Err("a name is empty".to_owned()),
                length if length > NAME_MAX => Err(format!("\"{name}\" is longer than {NAME_MAX} bytes")),
                _ if name.contains('\0') => Err("a name contains a zero byte".to_owned()),
                _ => Ok(name),
            }
        };
        Ok((filled(&self.schema)?, filled(&self.table)?))
    }
}

/// One of the two parts, and what follows it.
fn part(text: &str) -> Result<(Vec<Part>, &str), String> {
    if let Some(quoted) = text.strip_prefix('"') {
        // A quote within is written twice, as in SQL.
        let (mut name, mut rest) = (String::new(), quoted);
        loop {
            let (part, after) = rest.split_once('"').ok_or("a quote is never closed")?;
            name.push_str(part);
            match after.strip_prefix('"') {
                Some(after) => {
                    name.push('"');
                    rest = after;
                }
                None => return Ok((placeholders(&name)?, after)),
            }
        }
    }
    let end = text.find('.').unwrap_or(text.len());
    Ok((placeholders(&text[..end])?, &text[end..]))
}

fn placeholders(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((literal, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or("a `{` is never closed")?;
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.to_owned()));
        }
        parts.push(match name {
            "schema" => Part::Schema,
            "table" => Part::Table,
            other => {
                return Err(format!("`{{{other}}}` is not known; there are `{{schema}}` and `{{table}}`"));
            }
        });
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest.to_owned()));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(template: &str, expected: (&str, &str)) {
        let filled = Template::parse(template).and_then(|template| template.fill("shop", "users"));
        assert_eq!(filled, Ok((expected.0.to_owned(), expected.1.to_owned())), "{template}");
    }

    #[test]
    fn placeholders_stand_for_where_a_change_comes_from() {
        check("t", ("public", "t"));
        check("a.t", ("a", "t"));
        check("{schema}.{table}", ("shop", "users"));
        check("replica.{table}_v1", ("replica", "users_v1"));
        check("\"a.b\".\"{schema}.{table}\"", ("a.b", "shop.users"));
        check("\"Order Items\"", ("public", "Order Items"));
        check("\"a\"\"b\".\"\"\"\"", ("a\"b", "\""));
        check("\"; DROP TABLE x --\"", ("public", "; DROP TABLE x --"));
        assert_eq!(Template::parse("a.b").unwrap().fixed(), Some(("a".into(), "b".into())));
        assert_eq!(Template::parse("{table}").unwrap().fixed(), None);
    }

    #[test]
    fn names_that_the_server_would_cut_or_refuse_are_faults() {
        for bad in ["", "a.", ".a", "a.b.c", "{name}", "{table", "\"a", "\"a\"b", &"x".repeat(64)] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
        let template = Template::parse("{table}").unwrap();
        assert!(template.fill("", &"x".repeat(64)).is_err() && template.fill("", "").is_err());
    }
}
