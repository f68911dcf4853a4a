//! What the WITH clause of a table means: the item of a pipeline file that has the same configuration.
//!
//! A connector of Flink has a table of its options, each with what it means here ([`Meaning`]), and a function for those
//! that mean something only together. Every connector of ours can be named too, with its own keys, dots between nested
//! ones. What comes out is checked against the connector's `SPEC` like an item of a pipeline file.

mod database;
mod datagen;
mod files;
mod kafka;
mod rules;
mod search;

use super::interval::{flink_duration_us, flink_size_bytes};
use super::table::{ColumnKind, CreateTable, SqlOption};
use crate::check::Checker;
use crate::interpolate::interpolate;
use crate::pipeline::Item;
use crate::suggest;
use crate::yaml::{Key, Node, NodeKind};
use acme_types::codes::{BAD_VALUE, IGNORED, MISSING_KEY, TABLE_USE, UNKNOWN_KEY, UNKNOWN_TYPE};
use acme_types::{Diagnostic, Field, Kind, Place, Role, Spec};
use rules::{Flink, Meaning};

/// What a table's options mean.
pub(crate) struct Meant {
    pub(crate) item: Item,
    /// Its rows end by themselves.
    pub(crate) bounded: bool,
    /// Records that cannot be parsed are to be left out.
    pub(crate) skips_errors: bool,
}

/// How a table is used, and where first; nothing for one that is not.
pub(crate) type Use<'a> = Option<(Role, &'a Place)>;

/// Every connector of Flink that has a meaning here.
const FLINK: &[&Flink] = &[
    &files::FILESYSTEM,
    &kafka::KAFKA,
    &kafka::UPSERT_KAFKA,
    &datagen::DATAGEN,
    &files::PRINT,
    &files::BLACKHOLE,
    &database::JDBC,
    &search::ELASTICSEARCH_6,
    &search::ELASTICSEARCH_7,
    &search::ELASTICSEARCH_8,
    &search::OPENSEARCH,
];

/// Finds out what a table's options mean; what is wrong with them is reported.
pub(crate) fn meaning(
    table: &CreateTable,
    used: Use<'_>,
    specs: &[&'static Spec],
    checker: &mut Checker<'_>,
) -> Option<Meant> {
    let (name, at) = connector(table, specs, checker)?;
    let flink = FLINK.iter().find(|flink| flink.name == name).copied();
    let item_type = flink.map_or(&*name, |flink| flink.item);
    let of = |role: Role| specs.iter().find(|spec| spec.role == role && spec.name == item_type).copied();
    let spec = match used {
        Some((role, _)) => of(role),
        None => of(Role::Source).or_else(|| of(Role::Destination)),
    };
    let refused = |role| flink.is_some_and(|flink| flink.only.is_some_and(|only| only != role));
    let Some(spec) = spec.filter(|_| !used.is_some_and(|(role, _)| refused(role))) else {
        if let Some((role, used_at)) = used.filter(|(role, _)| refused(*role) || of(other(*role)).is_some()) {
            let (verb, does) = if role == Role::Source { ("read", "written") } else { ("written", "read") };
            let message = format!(
                "the table \"{}\" cannot be {verb}: it is of the connector \"{name}\"",
                table.name.name
            );
            let help = format!("tables of this connector can only be {does}");
            checker.push(Diagnostic::new(&TABLE_USE, message).at(used_at).help(help));
        } else {
            unknown(table, &at, specs, checker);
        }
        return None;
    };
    let mut translation = Translation::new(table, &name, spec, checker);
    if let Some(flink) = flink {
        translation.apply(flink);
    }
    translation.own(flink, specs);
    translation.declare();
    let Translation { entries, bounded, skips_errors, excused, .. } = translation;
    let owner = format!("the connector \"{name}\"");
    let before = checker.found.len();
    let config = checker.object(&entries, spec.fields, &[], &owner, &at);
    // What has no value because its option is wrong is not missing too.
    let rest = checker.found.split_off(before);
    let names = |diagnostic: &Diagnostic| {
        excused.iter().any(|key| diagnostic.message.ends_with(&format!("the key \"{key}\"")))
    };
    checker.found.extend(rest.into_iter().filter(|it| it.code != &MISSING_KEY || !names(it)));
    let item = Item {
        spec,
        name: table.name.name.clone(),
        config,
        from: Vec::new(),
        outputs: Vec::new(),
        event_time: None,
        at: table.name.at.clone(),
    };
    Some(Meant { item, bounded, skips_errors })
}

fn other(role: Role) -> Role {
    if role == Role::Source { Role::Destination } else { Role::Source }
}

/// The value of `'connector'`, and where it stands.
fn connector(
    table: &CreateTable,
    specs: &[&'static Spec],
    checker: &mut Checker<'_>,
) -> Option<(String, Place)> {
    let Some(option) = table.options.iter().find(|option| option.key == "connector") else {
        let message = format!("the table \"{}\" has no connector", table.name.name);
        let help = format!("add 'connector' = '…'; known connectors: {}", known(specs).join(", "));
        checker.push(Diagnostic::new(&MISSING_KEY, message).at(&table.name.at).help(help));
        return None;
    };
    let node = Node { kind: NodeKind::Scalar(option.value.reveal().to_owned()), at: option.value_at.clone() };
    let value = checker.value(&node, &Kind::Text, "connector")?;
    Some((value.text()?.to_owned(), option.value_at.clone()))
}

/// The names of all connectors.
fn known(specs: &[&'static Spec]) -> Vec<&'static str> {
    let own = specs.iter().filter(|spec| spec.role != Role::Transform).map(|spec| spec.name);
    let mut names: Vec<&str> = FLINK.iter().map(|flink| flink.name).chain(own).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn unknown(table: &CreateTable, at: &Place, specs: &[&'static Spec], checker: &mut Checker<'_>) {
    // As the file has it, not what a variable held.
    let written = table.options.iter().find(|option| option.key == "connector");
    let name = written.map_or("", |option| option.value.reveal());
    let message = format!("there is no connector \"{name}\"");
    let help = suggest::help(name, &known(specs), "connectors");
    checker.push(Diagnostic::new(&UNKNOWN_TYPE, message).at(at).help(help));
}

/// The options of one table on their way to the keys of its item.
struct Translation<'a, 'c> {
    table: &'a CreateTable,
    /// The connector's name as it was written.
    connector: &'a str,
    spec: &'static Spec,
    checker: &'a mut Checker<'c>,
    /// Options that have got their meaning.
    taken: Vec<&'a str>,
    entries: Vec<(Key, Node)>,
    bounded: bool,
    skips_errors: bool,
    /// Keys of ours whose options are wrong.
    excused: Vec<&'static str>,
}

impl<'a, 'c> Translation<'a, 'c> {
    fn new(
        table: &'a CreateTable,
        connector: &'a str,
        spec: &'static Spec,
        checker: &'a mut Checker<'c>,
    ) -> Self {
        let taken = vec!["connector"];
        Self {
            table,
            connector,
            spec,
            checker,
            taken,
            entries: Vec::new(),
            bounded: false,
            skips_errors: false,
            excused: Vec::new(),
        }
    }

    fn is_source(&self) -> bool {
        self.spec.role == Role::Source
    }

    /// Gives all options that Flink's connector has their meaning.
    fn apply(&mut self, flink: &'static Flink) {
        for (name, keys) in flink.required {
            // What is wrong with it is said about the option.
            self.excused.extend(*keys);
            if self.get(name).is_none() && !flink.is_given(self.table, name) {
                let message = format!("the connector \"{}\" needs the option '{name}'", self.connector);
                let help = format!("add '{name}' = '…' to the WITH clause");
                self.checker.push(Diagnostic::new(&MISSING_KEY, message).at(&self.table.name.at).help(help));
            }
        }
        for option in &self.table.options {
            let Some(rule) = flink.rule(&option.key) else { continue };
            self.taken.push(&option.key);
            if rule.role.is_none_or(|role| role == self.spec.role) {
                self.give(option, &rule.meaning);
            }
        }
        (flink.together)(self);
    }

    fn give(&mut self, option: &'a SqlOption, meaning: &Meaning) {
        match meaning {
            Meaning::Key(key) => self.put(key, option, option.value.reveal().to_owned()),
            Meaning::List(key, separator) => {
                let Some(value) = self.resolve(option) else { return };
                self.put_list(key, option, value.split(*separator));
            }
            Meaning::Duration(key) => self.convert(key, option, |text| {
                flink_duration_us(text).map(|us| format!("{us}us")).ok_or("a duration such as '10 s'")
            }),
            Meaning::Size(key) => self.convert(key, option, |text| {
                flink_size_bytes(text).map(|bytes| bytes.to_string()).ok_or("a size such as '2mb'")
            }),
            Meaning::Ignored(why) => {
                let message = format!("'{}' changes nothing: {why}", option.key);
                self.checker.push(Diagnostic::warning(&IGNORED, message).at(&option.key_at));
            }
            Meaning::Only(values, why) => {
                let Some(value) = self.resolve(option) else { return };
                if !values.iter().any(|known| known.eq_ignore_ascii_case(value.trim())) {
                    let message = format!("'{}' cannot have this value: {why}", option.key);
                    let help = match values {
                        [] => "leave the option out".to_owned(),
                        values => format!("leave it out, or write '{}'", values.join("' or '")),
                    };
                    self.checker.push(Diagnostic::new(&BAD_VALUE, message).at(&option.value_at).help(help));
                }
            }
            Meaning::Nothing | Meaning::Together => {}
        }
    }

    fn convert(
        &mut self,
        key: &str,
        option: &'a SqlOption,
        convert: impl Fn(&str) -> Result<String, &'static str>,
    ) {
        let Some(value) = self.resolve(option) else { return };
        match convert(&value) {
            Ok(text) => self.put(key, option, text),
            Err(expected) => self.refuse(option, expected),
        }
    }

    /// That an option has another value than it may.
    fn refuse(&mut self, option: &SqlOption, expected: &str) {
        let message = format!("'{}' must be {expected}", option.key);
        self.checker.push(Diagnostic::new(&BAD_VALUE, message).at(&option.value_at));
    }

    /// That an option cannot be what it is.
    fn report(&mut self, option: &SqlOption, message: String, help: &'static str) {
        self.checker.push(Diagnostic::new(&BAD_VALUE, message).at(&option.value_at).help(help));
    }

    /// That leaving out records is not a matter of one table.
    fn note_skipping(&mut self, option: &SqlOption) {
        let message = format!("'{}' is a setting of the whole pipeline here", option.key);
        let help =
            "write SET 'settings.errors.policy' = 'skip'; without it the pipeline stops at such a record";
        self.checker.push(Diagnostic::warning(&IGNORED, message).at(&option.key_at).help(help));
    }

    /// The options that are left are keys of our own, or mistakes.
    fn own(&mut self, flink: Option<&'static Flink>, specs: &[&'static Spec]) {
        for option in &self.table.options {
            if self.taken.contains(&&*option.key) {
                continue;
            }
            let head = option.key.split('.').next().unwrap_or_default();
            if let Some(field) = self.spec.fields.iter().find(|field| field.name == head) {
                self.put_own(option, field);
                continue;
            }
            let elsewhere = specs.iter().any(|spec| {
                (spec.role == other(self.spec.role) && spec.name == self.spec.name)
                    && spec.fields.iter().any(|field| field.name == head)
            });
            let diagnostic = if elsewhere {
                let done = if self.is_source() { "read" } else { "written" };
                let message =
                    format!("the option '{}' has no meaning for a table that is {done}", option.key);
                Diagnostic::new(&UNKNOWN_KEY, message).help("remove it")
            } else {
                let rules = flink.into_iter().flat_map(Flink::names);
                let names: Vec<&str> = rules.chain(self.spec.fields.iter().map(|field| field.name)).collect();
                let message =
                    format!("unknown option '{}' of the connector \"{}\"", option.key, self.connector);
                let help = match suggest::nearest(&option.key, names.iter().copied()) {
                    Some(near) => {
                        let field = self.spec.fields.iter().find(|field| field.name == near);
                        self.excused.extend(field.map(|field| field.name));
                        format!("did you mean '{near}'?")
                    }
                    None => format!("known options: {}", names.join(", ")),
                };
                Diagnostic::new(&UNKNOWN_KEY, message).help(help)
            };
            self.checker.push(diagnostic.at(&option.key_at));
        }
    }

    /// An option by our own name; a list has `;` between its values.
    fn put_own(&mut self, option: &'a SqlOption, field: &Field) {
        let is_list = |mut kind: &Kind, rest: &str| {
            for name in rest.split('.').skip(1) {
                let Kind::Object(fields) = kind else { return false };
                let Some(field) = fields.iter().find(|field| field.name == name) else { return false };
                kind = &field.kind;
            }
            matches!(kind, Kind::List(_))
        };
        if is_list(&field.kind, &option.key) {
            let Some(value) = self.resolve(option) else { return };
            self.put_list(&option.key, option, value.split(';'));
        } else {
            self.put(&option.key, option, option.value.reveal().to_owned());
        }
    }

    /// The physical columns of a table that is read are its schema.
    fn declare(&mut self) {
        let takes = self.spec.fields.iter().any(|field| field.name == "schema");
        let given = self.entries.iter().any(|(key, _)| key.name == "schema");
        if !self.is_source() || !takes || given {
            return;
        }
        let column = |column: &super::table::Column| match &column.kind {
            ColumnKind::Physical { data_type, type_at, .. } => Some((
                Key { name: column.name.clone(), at: column.at.clone() },
                Node { kind: NodeKind::Scalar(data_type.declared()), at: type_at.clone() },
            )),
            _ => None,
        };
        let columns: Vec<(Key, Node)> = self.table.columns.iter().filter_map(column).collect();
        if !columns.is_empty() {
            let at = columns[0].0.at.clone();
            let key = Key { name: "schema".to_owned(), at: at.clone() };
            self.entries.push((key, Node { kind: NodeKind::Map(columns), at }));
        }
    }

    fn get(&self, name: &str) -> Option<&'a SqlOption> {
        self.table.options.iter().find(|option| option.key == name)
    }

    /// An option's value with its variables put in; it must not be shown.
    fn resolve(&mut self, option: &SqlOption) -> Option<String> {
        let before = self.checker.found.len();
        let environment = self.checker.environment;
        let text = interpolate(option.value.reveal(), &option.value_at, environment, &mut self.checker.found);
        (self.checker.found.len() == before).then_some(text)
    }

    /// The value of an option in small letters, where there is one that can be resolved.
    fn word(&mut self, name: &str) -> Option<(String, &'a SqlOption)> {
        let option = self.get(name)?;
        Some((self.resolve(option)?.trim().to_lowercase(), option))
    }

    /// Whether an option is `true`; reported where it is neither.
    fn flag(&mut self, name: &str) -> bool {
        match self.word(name) {
            Some((word, _)) if word == "true" => true,
            Some((word, option)) if word != "false" => {
                self.refuse(option, "'true' or 'false'");
                false
            }
            _ => false,
        }
    }

    /// Sets a key of ours, with dots between nested ones; `text` is interpolated later.
    fn put(&mut self, key: &str, option: &SqlOption, text: String) {
        let node = Node { kind: NodeKind::Scalar(text), at: option.value_at.clone() };
        nest(&mut self.entries, self.spec.fields, key, &option.key_at, node);
    }

    /// Sets a key of ours to a text whose variables are put in already.
    fn put_resolved(&mut self, key: &str, option: &SqlOption, text: &str) {
        self.put(key, option, literal(text));
    }

    /// Sets a key of ours to a list of texts whose variables are put in already.
    fn put_list<'t>(&mut self, key: &str, option: &SqlOption, values: impl Iterator<Item = &'t str>) {
        let scalar =
            |text: &str| Node { kind: NodeKind::Scalar(literal(text.trim())), at: option.value_at.clone() };
        let list = values.filter(|text| !text.trim().is_empty()).map(scalar).collect();
        let node = Node { kind: NodeKind::List(list), at: option.value_at.clone() };
        nest(&mut self.entries, self.spec.fields, key, &option.key_at, node);
    }

    /// Sets a key of ours that no option stands for.
    fn put_default(&mut self, key: &str, text: &str) {
        let at = self.table.name.at.clone();
        let node = Node { kind: NodeKind::Scalar(literal(text)), at: at.clone() };
        nest(&mut self.entries, self.spec.fields, key, &at, node);
    }

    /// Sets a key of ours to the columns of the PRIMARY KEY, if there is one.
    fn put_primary_key(&mut self, key: &str) {
        let Some(first) = self.table.primary_key.first() else { return };
        let scalar = |column: &crate::pipeline::Reference| Node {
            kind: NodeKind::Scalar(literal(&column.name)),
            at: column.at.clone(),
        };
        let list = self.table.primary_key.iter().map(scalar).collect();
        let node = Node { kind: NodeKind::List(list), at: first.at.clone() };
        nest(&mut self.entries, self.spec.fields, key, &first.at, node);
    }
}

/// Text that is not interpolated again.
fn literal(text: &str) -> String {
    text.replace("${", "$${")
}

/// Puts a node under a key with dots, as the fields are nested. What a mapping with free names holds keeps its dots.
pub(crate) fn nest(
    entries: &mut Vec<(Key, Node)>,
    fields: &'static [Field],
    key: &str,
    at: &Place,
    node: Node,
) {
    let (head, rest) = key.split_once('.').unwrap_or((key, ""));
    let kind = fields.iter().find(|field| field.name == head).map(|field| &field.kind);
    let inner: &'static [Field] = match kind {
        Some(Kind::Object(fields)) if !rest.is_empty() => fields,
        Some(Kind::Map(_)) if !rest.is_empty() => &[],
        _ => {
            entries.retain(|(known, _)| known.name != key);
            entries.push((Key { name: key.to_owned(), at: at.clone() }, node));
            return;
        }
    };
    let index = entries.iter().position(|(known, _)| known.name == head).unwrap_or_else(|| {
        let map = Node { kind: NodeKind::Map(Vec::new()), at: at.clone() };
        entries.push((Key { name: head.to_owned(), at: at.clone() }, map));
        entries.len() - 1
    });
    if let NodeKind::Map(nested) = &mut entries[index].1.kind {
        match kind {
            Some(Kind::Object(_)) => nest(nested, inner, rest, at, node),
            _ => nested.push((Key { name: rest.to_owned(), at: at.clone() }, node)),
        }
    }
}
