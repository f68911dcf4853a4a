//! What a connector of Flink and its options are called, and what each means here: data, and nothing else.

use super::Translation;
use crate::sql::table::CreateTable;
use acme_types::Role;

/// A connector of Flink.
pub(super) struct Flink {
    /// The value of `'connector'`.
    pub(super) name: &'static str,
    /// The type of the item that it becomes.
    pub(super) item: &'static str,
    /// The only way in which its tables can be used, where the item could do more.
    pub(super) only: Option<Role>,
    /// Options that must be given, and the keys of ours that they become.
    pub(super) required: &'static [(&'static str, &'static [&'static str])],
    /// Its options, besides those of formats.
    pub(super) rules: &'static [Rule],
    /// Whether it has a format, whose options are then its own too.
    pub(super) has_format: bool,
    /// Gives the options their meaning that have one only together.
    pub(super) together: fn(&mut Translation<'_, '_>),
}

/// One option. A name that ends in `*` stands for all with this beginning.
pub(super) struct Rule {
    pub(super) name: &'static str,
    /// Nothing happens where the table is used otherwise: one table may be declared for both.
    pub(super) role: Option<Role>,
    pub(super) meaning: Meaning,
}

/// What an option means here.
pub(super) enum Meaning {
    /// The same as this key of ours.
    Key(&'static str),
    /// The same as this key of ours, which is a list; this stands between its values.
    List(&'static str, char),
    /// This key of ours, a duration.
    Duration(&'static str),
    /// This key of ours, a size in bytes.
    Size(&'static str),
    /// Nothing, for this reason; it is said.
    Ignored(&'static str),
    /// One of these values, because nothing else can be done: why not.
    Only(&'static [&'static str], &'static str),
    /// What holds in any case.
    Nothing,
    /// It is read by the connector's function.
    Together,
}

pub(super) const fn both(name: &'static str, meaning: Meaning) -> Rule {
    Rule { name, role: None, meaning }
}
pub(super) const fn source(name: &'static str, meaning: Meaning) -> Rule {
    Rule { name, role: Some(Role::Source), meaning }
}
pub(super) const fn sink(name: &'static str, meaning: Meaning) -> Rule {
    Rule { name, role: Some(Role::Destination), meaning }
}

/// Why the number of tasks is nobody's choice.
pub(super) const PARALLELISM: Meaning =
    Meaning::Ignored("SET 'parallelism.default' is the number of lanes of the whole pipeline");
/// Why nothing has to be said about the promise.
pub(super) const DELIVERY: Meaning = Meaning::Nothing;

/// The options of JSON and CSV. `value.` may stand in front of them.
const FORMATS: &[Rule] = &[
    both("json.ignore-parse-errors", Meaning::Together),
    both("csv.ignore-parse-errors", Meaning::Together),
    both("json.fail-on-missing-field", Meaning::Only(&["false"], "a field that is missing is NULL")),
    both(
        "json.timestamp-format.standard",
        Meaning::Ignored("times are read in either form, and written as ISO 8601"),
    ),
    both("json.map-null-key.mode", Meaning::Ignored("objects are read as the JSON that they are")),
    both("json.map-null-key.literal", Meaning::Ignored("objects are read as the JSON that they are")),
    both("json.encode.decimal-as-plain-number", Meaning::Ignored("decimals are always plain numbers")),
    both("json.encode.ignore-null-fields", Meaning::Only(&["false"], "fields that are NULL are written")),
    both("json.decode.json-parser.enabled", Meaning::Ignored("there is one parser")),
    both("csv.field-delimiter", Meaning::Key("csv.delimiter")),
    both("csv.quote-character", Meaning::Key("csv.quote")),
    both("csv.disable-quote-character", Meaning::Together),
    both("csv.null-literal", Meaning::Key("csv.null")),
    both("csv.allow-comments", Meaning::Only(&["false"], "every line is a record")),
    both("csv.escape-character", Meaning::Only(&[], "quotes inside quotes are doubled")),
    both("csv.array-element-delimiter", Meaning::Ignored("the fields of CSV are no arrays")),
    both(
        "csv.write-bigdecimal-in-scientific-notation",
        Meaning::Ignored("decimals are always plain numbers"),
    ),
];

impl Flink {
    /// The rule for an option.
    pub(super) fn rule(&self, option: &str) -> Option<&'static Rule> {
        let fits = |rule: &&Rule| match rule.name.strip_suffix('*') {
            Some(beginning) => option.starts_with(beginning),
            None => rule.name == option,
        };
        let own = self.rules.iter().find(|rule| rule.name == option);
        let format = option.strip_prefix("value.").unwrap_or(option);
        let formats = || FORMATS.iter().find(|rule| self.has_format && rule.name == format);
        own.or_else(formats).or_else(|| self.rules.iter().find(fits))
    }

    /// The names of all options that can be written as they are, for suggestions.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        let formats = FORMATS.iter().filter(|_| self.has_format);
        self.rules.iter().chain(formats).map(|rule| rule.name).filter(|name| !name.ends_with('*'))
    }

    /// Whether an option that must be given is given under another name.
    pub(super) fn is_given(&self, table: &CreateTable, name: &str) -> bool {
        let key = match self.rule(name).map(|rule| &rule.meaning) {
            Some(Meaning::Key(key) | Meaning::List(key, _)) => key,
            _ => name,
        };
        table.options.iter().any(|option| {
            option.key == key
                || self.rule(&option.key).is_some_and(
                    |rule| matches!(rule.meaning, Meaning::Key(other) | Meaning::List(other, _) if other == key),
                )
        })
    }
}

/// The options of formats that have a meaning only together.
pub(super) fn formats(translation: &mut Translation<'_, '_>) {
    let names = ["json.ignore-parse-errors", "csv.ignore-parse-errors"];
    let prefixed = ["value.json.ignore-parse-errors", "value.csv.ignore-parse-errors"];
    for name in names.into_iter().chain(prefixed) {
        if translation.flag(name)
            && let Some(option) = translation.get(name)
        {
            translation.skips_errors = true;
            translation.note_skipping(option);
        }
    }
    for name in ["csv.disable-quote-character", "value.csv.disable-quote-character"] {
        if translation.flag(name)
            && let Some(option) = translation.get(name)
        {
            translation.put_resolved("csv.quote", option, "none");
        }
    }
}
