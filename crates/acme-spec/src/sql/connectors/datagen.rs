//! `datagen`: the columns of the table say what is made.

use super::Translation;
use super::rules::{Flink, Meaning, PARALLELISM, source};
use crate::sql::table::{ColumnKind, SqlOption};
use crate::sql::types::ColumnType;
use acme_types::codes::{BAD_VALUE, IGNORED, UNKNOWN_FIELD};
use acme_types::{Diagnostic, Place, Role};

pub(super) static DATAGEN: Flink = Flink {
    name: "datagen",
    item: "generator",
    only: Some(Role::Source),
    required: &[],
    rules: &[
        source("rows-per-second", Meaning::Key("rate")),
        source("number-of-rows", Meaning::Key("rows")),
        source("scan.parallelism", PARALLELISM),
        source("fields.*", Meaning::Together),
    ],
    has_format: false,
    together,
};

/// What may stand behind `fields.NAME.`.
const KEYS: &[&str] = &["kind", "min", "max", "length", "start", "end", "null-rate", "var-len", "max-past"];

fn together(translation: &mut Translation<'_, '_>) {
    if translation.get("rows-per-second").is_none() && translation.get("rate").is_none() {
        translation.put_default("rate", "10000");
    }
    unknown_fields(translation);
    let mut rows: Option<u64> = None;
    for column in &translation.table.columns {
        let ColumnKind::Physical { data_type, type_at, .. } = &column.kind else { continue };
        let Some(recipe) = recipe(translation, &column.name, data_type, type_at, &mut rows) else { continue };
        translation.put_default(&format!("fields.{}", column.name), &recipe);
    }
    if let Some(rows) = rows.filter(|_| translation.get("number-of-rows").is_none()) {
        translation.put_default("rows", &rows.to_string());
    }
    translation.bounded =
        rows.is_some() || ["number-of-rows", "rows"].iter().any(|name| translation.get(name).is_some());
}

/// Options of columns that there are not, or of a kind that there is not.
fn unknown_fields(translation: &mut Translation<'_, '_>) {
    for option in &translation.table.options {
        let Some(rest) = option.key.strip_prefix("fields.") else { continue };
        let Some((name, key)) = rest.rsplit_once('.') else { continue };
        let columns: Vec<&str> = translation.table.columns.iter().map(|column| &*column.name).collect();
        let (message, known, word, noun) = if !columns.contains(&name) {
            (format!("'{}' is about no column of the table", option.key), columns, name, "columns")
        } else if !KEYS.contains(&key) {
            (format!("unknown option '{}'", option.key), KEYS.to_vec(), key, "options")
        } else {
            if ["null-rate", "var-len", "max-past"].contains(&key) {
                let message =
                    format!("'{}' changes nothing: every value is there and of full length", option.key);
                translation.checker.push(Diagnostic::warning(&IGNORED, message).at(&option.key_at));
            }
            continue;
        };
        let help = crate::suggest::help(word, &known, noun);
        translation.checker.push(Diagnostic::new(&UNKNOWN_FIELD, message).at(&option.key_at).help(help));
    }
}

/// An option about one column.
fn value<'a>(
    translation: &mut Translation<'a, '_>,
    name: &str,
    key: &str,
) -> Option<(String, &'a SqlOption)> {
    let option = translation.get(&format!("fields.{name}.{key}"))?;
    Some((translation.resolve(option)?, option))
}

/// How the values of one column are made, in the generator's words.
fn recipe(
    translation: &mut Translation<'_, '_>,
    name: &str,
    data_type: &ColumnType,
    type_at: &Place,
    rows: &mut Option<u64>,
) -> Option<String> {
    let kind = value(translation, name, "kind");
    if let Some((kind, option)) = &kind
        && kind == "sequence"
    {
        let mut number =
            |key| value(translation, name, key).and_then(|(text, _)| text.trim().parse::<u64>().ok());
        let (Some(1), Some(end)) = (number("start"), number("end")) else {
            translation.refuse(option, "a 'sequence' with 'start' = '1' and an 'end'");
            return None;
        };
        *rows = Some(rows.map_or(end, |rows| rows.min(end)));
        return Some("sequence".to_owned());
    }
    if let Some((kind, option)) = &kind
        && kind != "random"
    {
        translation.refuse(option, "'random' or 'sequence'");
        return None;
    }
    let mut text =
        |key: &str, usual: &str| value(translation, name, key).map_or(usual.to_owned(), |(text, _)| text);
    Some(match data_type {
        ColumnType::TinyInt => format!("int({}, {})", text("min", "-128"), text("max", "127")),
        ColumnType::SmallInt => format!("int({}, {})", text("min", "-32768"), text("max", "32767")),
        ColumnType::Int => format!("int({}, {})", text("min", "-2147483648"), text("max", "2147483647")),
        ColumnType::BigInt => {
            // Half of the range: the generator counts the values that a column may have.
            format!("int({}, {})", text("min", "0"), text("max", "9223372036854775806"))
        }
        ColumnType::Float | ColumnType::Double => {
            format!("double({}, {})", text("min", "0"), text("max", "1"))
        }
        ColumnType::Decimal(_, scale) => {
            format!("decimal({}, {}, {scale})", text("min", "0"), text("max", "1000"))
        }
        ColumnType::Boolean => "bool(0.5)".to_owned(),
        ColumnType::String => format!("text({})", text("length", "100")),
        other => {
            let message = format!("datagen makes no {other} for the column \"{name}\"");
            let help = "compute it: a column AS an expression over others; or take 'connector' = 'generator'";
            translation.checker.push(Diagnostic::new(&BAD_VALUE, message).at(type_at).help(help));
            return None;
        }
    })
}
