//! `SET 'key' = 'value'`: Flink's keys, and ours as `settings.…`.

use super::connectors::nest;
use super::interval::flink_duration_us;
use super::table::SqlOption;
use crate::check::Checker;
use crate::interpolate::interpolate;
use crate::pipeline::{Mode, Reference, SETTINGS, Settings, settings};
use crate::suggest;
use crate::yaml::{Key, Node, NodeKind};
use acme_types::codes::{BAD_VALUE, IGNORED, UNKNOWN_KEY};
use acme_types::{Diagnostic, Field, Kind, Place};

/// What the SETs of a file say.
#[derive(Clone, Debug)]
pub struct SqlSettings {
    /// `pipeline.name`; without it the pipeline is called like its file.
    pub name: Option<Reference>,
    /// `execution.runtime-mode`; without it the pipeline ends where all its tables do.
    pub mode: Option<Mode>,
    /// Those that a pipeline file has too. The index of a destination for dead letters is that of a table.
    pub settings: Settings,
    /// `table.exec.state.ttl`: how long state is kept that nothing has touched; in microseconds.
    pub state_ttl_us: Option<i64>,
    /// `table.exec.source.idle-timeout`: after which a source without rows holds up no watermark; in microseconds.
    pub idle_timeout_us: Option<i64>,
    /// `table.exec.emit.allow-lateness`: how long a window takes rows after its end; in microseconds.
    pub allowed_lateness_us: Option<i64>,
}

const NAME: &str = "pipeline.name";
const MODE: &str = "execution.runtime-mode";
const LANES: &str = "parallelism.default";
const INTERVAL: &str = "execution.checkpointing.interval";
const STORE: [&str; 2] = ["execution.checkpointing.dir", "state.checkpoints.dir"];
const TTL: &str = "table.exec.state.ttl";
const IDLE: &str = "table.exec.source.idle-timeout";
const LATENESS: &str = "table.exec.emit.allow-lateness";
const ZONE: &str = "table.local-time-zone";
const GUARANTEE: &str = "execution.checkpointing.mode";
const KNOWN: &[&str] =
    &[NAME, MODE, LANES, INTERVAL, STORE[0], STORE[1], TTL, IDLE, LATENESS, ZONE, GUARANTEE];

/// Beginnings of Flink's keys for what is not here, or needs no setting.
const MEANINGLESS: &[&str] = &[
    "execution.",
    "state.",
    "restart-strategy",
    "taskmanager.",
    "jobmanager.",
    "cluster.",
    "rest.",
    "metrics.",
    "env.",
    "security.",
    "high-availability",
    "kubernetes.",
    "yarn.",
    "pipeline.",
    "parallelism.max",
    "sql-client.",
    "table.optimizer.",
    "table.plan.",
    "table.exec.mini-batch.",
    "table.exec.resource.",
    "table.exec.async-",
    "table.exec.sink.",
    "table.exec.sort.",
    "table.exec.spill-",
    "table.exec.rank.",
    "table.exec.operator-",
    "table.exec.uid.",
    "table.exec.simplify-",
    "table.exec.disabled-",
    "table.exec.window-agg.",
    "table.generated-code.",
    "table.dml-sync",
    "table.sql-dialect",
    "table.dynamic-table-options.",
    "table.display.",
];

/// Reads all SETs; where a key stands twice the later one counts. Also gives the table for dead letters.
pub(crate) fn read(
    options: &[SqlOption],
    at: &Place,
    checker: &mut Checker<'_>,
) -> (SqlSettings, Option<Reference>) {
    let mut entries: Vec<(Key, Node)> = Vec::new();
    let mut result = SqlSettings {
        name: None,
        mode: None,
        settings: settings(checker, &[], at).0,
        state_ttl_us: None,
        idle_timeout_us: None,
        allowed_lateness_us: None,
    };
    for option in options {
        match &*option.key {
            NAME => result.name = name(option, checker),
            MODE => result.mode = mode(option, checker),
            TTL => result.state_ttl_us = duration(option, checker),
            IDLE => result.idle_timeout_us = duration(option, checker),
            LATENESS => result.allowed_lateness_us = duration(option, checker),
            LANES => set(&mut entries, "parallelism", option, option.value.reveal().to_owned()),
            INTERVAL => {
                if let Some(us) = duration(option, checker) {
                    set(&mut entries, "checkpoint.interval", option, format!("{us}us"));
                }
            }
            key if STORE.contains(&key) => {
                set(&mut entries, "checkpoint.store", option, option.value.reveal().to_owned());
            }
            ZONE => zone(option, checker),
            GUARANTEE => {}
            key => match key.strip_prefix("settings.") {
                Some(own) => set(&mut entries, own, option, option.value.reveal().to_owned()),
                None => other(option, checker),
            },
        }
    }
    let (settings, dead_letters) = settings(checker, &entries, at);
    result.settings = settings;
    (result, dead_letters)
}

fn set(entries: &mut Vec<(Key, Node)>, key: &str, option: &SqlOption, text: String) {
    let node = Node { kind: NodeKind::Scalar(text), at: option.value_at.clone() };
    nest(entries, SETTINGS, key, &option.key_at, node);
}

/// A value with its variables put in; it must not be shown.
fn resolve(option: &SqlOption, checker: &mut Checker<'_>) -> Option<String> {
    let before = checker.found.len();
    let text = interpolate(option.value.reveal(), &option.value_at, checker.environment, &mut checker.found);
    (checker.found.len() == before).then_some(text)
}

fn refuse(option: &SqlOption, expected: &str, checker: &mut Checker<'_>) {
    let message = format!("'{}' must be {expected}", option.key);
    checker.push(Diagnostic::new(&BAD_VALUE, message).at(&option.value_at));
}

fn name(option: &SqlOption, checker: &mut Checker<'_>) -> Option<Reference> {
    let name = resolve(option, checker)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let usable = name.chars().all(fits) && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !usable || name.len() > 200 {
        let help = "use letters, digits, `-`, `_` and `.`, at most 200, beginning with a letter or digit";
        let message = "the state of a pipeline cannot be kept under this name";
        checker.push(Diagnostic::new(&BAD_VALUE, message).at(&option.value_at).help(help));
        return None;
    }
    Some(Reference { name, at: option.value_at.clone() })
}

fn mode(option: &SqlOption, checker: &mut Checker<'_>) -> Option<Mode> {
    match &*resolve(option, checker)?.trim().to_lowercase() {
        "streaming" => Some(Mode::Streaming),
        "batch" => Some(Mode::Batch),
        "automatic" => None,
        _ => {
            refuse(option, "'streaming', 'batch' or 'automatic'", checker);
            None
        }
    }
}

fn duration(option: &SqlOption, checker: &mut Checker<'_>) -> Option<i64> {
    let us = flink_duration_us(&resolve(option, checker)?);
    if us.is_none() {
        refuse(option, "a duration such as '10 s', '5 min', '1 h'", checker);
    }
    us
}

fn zone(option: &SqlOption, checker: &mut Checker<'_>) {
    let Some(zone) = resolve(option, checker) else { return };
    if !["UTC", "Z", "Etc/UTC", "GMT", "+00:00", "UTC+00:00", "GMT+00:00"].contains(&zone.trim()) {
        refuse(option, "'UTC': the days and hours of windows and functions are those of UTC", checker);
    }
}

/// A key that is not read: a note for Flink's, a mistake else.
fn other(option: &SqlOption, checker: &mut Checker<'_>) {
    let own = own_keys();
    let known: Vec<&str> = KNOWN.iter().copied().chain(own.iter().map(String::as_str)).collect();
    let near = suggest::nearest(&option.key, known.iter().copied());
    let is_flink = MEANINGLESS.iter().any(|beginning| option.key.starts_with(beginning));
    let diagnostic = match (is_flink, near) {
        (true, None) => {
            let message = format!("'{}' changes nothing: there is no such part here", option.key);
            Diagnostic::warning(&IGNORED, message)
        }
        (_, Some(near)) => Diagnostic::new(&UNKNOWN_KEY, format!("unknown key '{}' in SET", option.key))
            .help(format!("did you mean '{near}'?")),
        (false, None) => Diagnostic::new(&UNKNOWN_KEY, format!("unknown key '{}' in SET", option.key))
            .help(format!("known keys: {}", known.join(", "))),
    };
    checker.push(diagnostic.at(&option.key_at));
}

/// `settings.parallelism`, `settings.checkpoint.interval` and the like.
fn own_keys() -> Vec<String> {
    let mut keys = Vec::new();
    for Field { name, kind, .. } in SETTINGS {
        match kind {
            Kind::Object(fields) => {
                keys.extend(fields.iter().map(|field| format!("settings.{name}.{}", field.name)));
            }
            _ => keys.push(format!("settings.{name}")),
        }
    }
    keys
}
