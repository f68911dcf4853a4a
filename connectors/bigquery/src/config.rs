//! The checked configuration as this connector uses it.

use crate::table::Name;
use acme_connect::Context;
use acme_types::{Change, Config, Delivery, Diagnostic, Place, codes};
use std::time::Duration;

/// What a flush does with the rows of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Append,
    Upsert,
    Truncate,
}

/// What becomes of members that the table has no column for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnknownFields {
    Ignore,
    Error,
    Add,
}

/// What a TRUNCATE of the source does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnTruncate {
    Reject,
    Ignore,
    Apply,
}

/// All keys.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `None` takes the project of the credentials.
    pub(crate) project: Option<String>,
    pub(crate) dataset_project: Option<String>,
    pub(crate) dataset: String,
    pub(crate) table: String,
    pub(crate) mode: Mode,
    /// Empty takes the key of the stream, or the table's primary key.
    pub(crate) key: Vec<String>,
    pub(crate) insert_all: bool,
    pub(crate) flush_interval_us: u64,
    pub(crate) unknown: UnknownFields,
    pub(crate) on_truncate: OnTruncate,
    pub(crate) create: bool,
    pub(crate) batch_bytes: usize,
    pub(crate) timeout: Duration,
    /// A file with credentials; else they are looked for.
    pub(crate) credentials: Option<String>,
    /// Where the REST API and the Storage Write API are; those of an emulator take no credentials.
    pub(crate) rest: Option<String>,
    pub(crate) storage: Option<String>,
    pub(crate) at: Place,
    pub(crate) at_table: Place,
    pub(crate) at_dataset: Place,
    pub(crate) at_key: Place,
    pub(crate) item: String,
}

impl Settings {
    pub(crate) fn new(config: &Config, context: &Context) -> Result<Self, Diagnostic> {
        let fault = |key, message: String, help: &'static str| {
            config.blame(key, Diagnostic::new(&codes::BAD_VALUE, message).help(help))
        };
        let given = |key: &str| config.text(key).filter(|text| !text.is_empty()).cloned();
        let (dataset_project, dataset, table) = named(config)?;
        let (mode, insert_all, key) = manner(config, context.batch_mode)?;
        let size = *config.int("batch_bytes").expect("it has a default");
        let duration = |key| u64::try_from(*config.int(key).expect("it has a default")).unwrap_or(0);
        if duration("timeout") == 0 {
            return Err(fault(
                "timeout",
                "\"timeout\" must be more than zero".to_owned(),
                "write it like `60s`",
            ));
        }
        let rest = given("endpoint");
        let storage = given("storage_endpoint");
        if !insert_all && rest.is_some() && storage.is_none() {
            let help =
                "set BIGQUERY_STORAGE_EMULATOR_HOST to the emulator's gRPC address, or `api: insert_all`";
            let message = "there is an address of an emulator, but none for its Storage Write API";
            return Err(fault("storage_endpoint", message.to_owned(), help));
        }
        Ok(Self {
            project: given("project"),
            dataset_project,
            dataset,
            table,
            mode,
            key,
            insert_all,
            flush_interval_us: duration("flush_interval"),
            unknown: match config.text("unknown_fields").expect("it has a default").as_str() {
                "error" => UnknownFields::Error,
                "add" => UnknownFields::Add,
                _ => UnknownFields::Ignore,
            },
            on_truncate: match config.text("truncate").expect("it has a default").as_str() {
                "apply" => OnTruncate::Apply,
                "ignore" => OnTruncate::Ignore,
                _ => OnTruncate::Reject,
            },
            create: *config.bool("create").expect("it has a default"),
            batch_bytes: usize::try_from(size).unwrap_or(0).clamp(64 << 10, 9 << 20),
            timeout: Duration::from_micros(duration("timeout")),
            credentials: given("credentials"),
            rest: rest.map(address),
            storage: storage.map(address),
            at: config.at.clone(),
            at_table: config.place("table").clone(),
            at_dataset: config
                .place(if config.get("dataset").is_some() { "dataset" } else { "table" })
                .clone(),
            at_key: config.place("key").clone(),
            item: context.item.to_string(),
        })
    }

    /// The table, in the project of its own or of the credentials.
    pub(crate) fn name(&self, project: &str) -> Name {
        Name {
            project: self.dataset_project.clone().unwrap_or_else(|| project.to_owned()),
            dataset: self.dataset.clone(),
            table: self.table.clone(),
        }
    }

    pub(crate) fn change(&self) -> Change {
        if self.mode == Mode::Upsert { Change::Upsert } else { Change::Append }
    }

    pub(crate) fn delivery(&self) -> Delivery {
        if self.insert_all { Delivery::AtLeastOnce } else { Delivery::ExactlyOnce }
    }

    /// A mistake of the user, at this item.
    pub(crate) fn user(
        &self,
        message: String,
        help: impl Into<std::borrow::Cow<'static, str>>,
    ) -> Diagnostic {
        let diagnostic = Diagnostic::new(&codes::REMOTE, message).help(help);
        Diagnostic { blame: acme_types::Blame::User, ..diagnostic }.at(&self.at)
    }
}

/// How rows are written: the mode, whether by the older interface, and the key.
fn manner(config: &Config, batch_mode: bool) -> Result<(Mode, bool, Vec<String>), Diagnostic> {
    let fault = |key, message: &str, help: &'static str| {
        Err(config.blame(key, Diagnostic::new(&codes::BAD_VALUE, message).help(help)))
    };
    let mode = match config.text("write_mode").expect("it has a default").as_str() {
        "upsert" => Mode::Upsert,
        "truncate" => Mode::Truncate,
        _ => Mode::Append,
    };
    let insert_all = config.text("api").is_some_and(|api| api == "insert_all");
    let key: Vec<String> = config.texts("key").map(str::to_owned).collect();
    if mode != Mode::Upsert && !key.is_empty() {
        let help = "set `write_mode: upsert`, or remove `key`";
        return fault("key", "there is a `key`, but rows are not applied by key", help);
    }
    if insert_all && mode != Mode::Append {
        let help = "remove `api: insert_all`, or set `write_mode: append`";
        return fault("api", "insertAll can only append rows", help);
    }
    if mode == Mode::Truncate && !batch_mode {
        let message =
            "`write_mode: truncate` replaces the table at the end of a batch, and this pipeline never ends";
        return fault("write_mode", message, "set `mode: batch` for the pipeline, or another `write_mode`");
    }
    Ok((mode, insert_all, key))
}

/// Project, dataset and table, whose dataset may be a key of its own.
fn named(config: &Config) -> Result<(Option<String>, String, String), Diagnostic> {
    let fault = |key, message: String, help: &'static str| {
        config.blame(key, Diagnostic::new(&codes::BAD_VALUE, message).help(help))
    };
    let table = config.text("table").expect("required");
    let Some(dataset) = config.text("dataset") else {
        return parts(table).ok_or_else(|| {
            let help = "write it as DATASET.TABLE or PROJECT.DATASET.TABLE, or say the dataset as `dataset`";
            fault("table", format!("\"{table}\" names no table of a dataset"), help)
        });
    };
    if parts(&format!("{dataset}.t")).is_none() {
        let help = "write it as DATASET or PROJECT.DATASET";
        return Err(fault("dataset", format!("\"{dataset}\" names no dataset"), help));
    }
    if table.contains('.') && parts(table).is_some() {
        let message = format!("`table` names a dataset too: \"{table}\"");
        return Err(fault("dataset", message, "leave `dataset` out, or write the table's name alone"));
    }
    let named = parts(&format!("{dataset}.{table}")).filter(|_| !table.contains('.'));
    named.ok_or_else(|| {
        fault("table", format!("\"{table}\" names no table"), "write the table's name, as in `orders`")
    })
}

/// Project, dataset and table.
fn parts(text: &str) -> Option<(Option<String>, String, String)> {
    let mut parts = text.rsplitn(3, '.');
    let (table, dataset, project) = (parts.next()?, parts.next()?, parts.next());
    let is_dataset = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let is_table = !table.is_empty() && !table.contains(['`', '/', '\\', '\n', '$', '@', '*']);
    // An old project may be `domain.com:name`.
    let is_project = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-:._".contains(&byte))
    };
    (is_table && is_dataset(dataset) && project.is_none_or(is_project))
        .then(|| (project.map(str::to_owned), dataset.to_owned(), table.to_owned()))
}

/// An address with its scheme; emulators are named by host and port.
fn address(text: String) -> String {
    let text = if text.contains("://") { text } else { format!("http://{text}") };
    text.trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use acme_types::{Value, ValueKind};

    #[test]
    fn a_dataset_is_part_of_the_table_or_a_key_of_its_own() {
        let at = || Place { file: "p.yaml".into(), line: 1, column: 1 };
        let said = |keys: &[(&'static str, &str)]| {
            let value = |text: &str| Value { kind: ValueKind::Text(text.to_owned()), at: at() };
            let config =
                Config { values: keys.iter().map(|(key, text)| (*key, value(text))).collect(), at: at() };
            match named(&config) {
                Ok((project, dataset, table)) => format!("{} {dataset} {table}", project.unwrap_or_default()),
                Err(fault) => fault.message,
            }
        };
        for (keys, says) in [
            (&[("table", "d.t")][..], " d t"),
            (&[("table", "p-1.d.t")], "p-1 d t"),
            (&[("table", "t"), ("dataset", "d")], " d t"),
            (&[("table", "t"), ("dataset", "p-1.d")], "p-1 d t"),
            (&[("table", "t")], "\"t\" names no table of a dataset"),
            (&[("table", "e.t"), ("dataset", "d")], "`table` names a dataset too: \"e.t\""),
            (&[("table", "t"), ("dataset", "d-1")], "\"d-1\" names no dataset"),
            (&[("table", "t"), ("dataset", "")], "\"\" names no dataset"),
            (&[("table", ""), ("dataset", "d")], "\"\" names no table"),
            (&[("table", "a.b.c.d.t*"), ("dataset", "d")], "\"a.b.c.d.t*\" names no table"),
        ] {
            assert_eq!(said(keys), says, "{keys:?}");
        }
    }
}
