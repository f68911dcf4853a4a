//! `jdbc`, for PostgreSQL.

use super::Translation;
use super::rules::{Flink, Meaning, PARALLELISM, both, sink, source};
use acme_types::Diagnostic;
use acme_types::codes::IGNORED;

pub(super) static JDBC: Flink = Flink {
    name: "jdbc",
    item: "postgres",
    only: None,
    required: &[("url", &["connection"]), ("table-name", &["table", "tables"])],
    rules: &[
        both("url", Meaning::Together),
        both("table-name", Meaning::Together),
        both("username", Meaning::Together),
        both("password", Meaning::Together),
        both("driver", Meaning::Only(&["org.postgresql.Driver"], "the database is PostgreSQL")),
        both("compatible-mode", Meaning::Only(&[], "the database is PostgreSQL")),
        both("connection.max-retry-timeout", Meaning::Ignored("the pipeline's own retries hold")),
        source("scan.parallelism", PARALLELISM),
        source("scan.fetch-size", Meaning::Ignored("rows are read in one binary stream")),
        source("scan.auto-commit", Meaning::Ignored("all tables are read in one snapshot")),
        source("scan.partition.*", Meaning::Ignored("the tables are divided by themselves")),
        source("lookup.*", Meaning::Only(&[], "the table is read as a whole, not row by row")),
        sink("sink.buffer-flush.max-rows", COMMITTED),
        sink("sink.buffer-flush.interval", COMMITTED),
        sink("sink.max-retries", Meaning::Ignored("the pipeline's own retries hold")),
        sink("sink.parallelism", PARALLELISM),
    ],
    has_format: false,
    together,
};

const COMMITTED: Meaning =
    Meaning::Ignored("SET 'execution.checkpointing.interval' says when rows are committed");

/// What a JDBC address says, as far as it means something here.
#[derive(Default)]
struct Address {
    /// `//host:port/database`
    place: String,
    user: Option<String>,
    password: Option<String>,
    schema: Option<String>,
    /// `sslmode=…` and its like.
    kept: Vec<String>,
    /// Something else was there.
    dropped: bool,
}

fn address(url: &str) -> Option<Address> {
    let rest = url.trim().strip_prefix("jdbc:postgresql:")?;
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, database) = place.strip_prefix("//")?.split_once('/')?;
    if host.is_empty() || database.is_empty() || host.contains('@') {
        return None;
    }
    let mut address = Address { place: place.to_owned(), ..Address::default() };
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            // They are percent-encoded already.
            Some(("user", value)) => address.user = Some(value.to_owned()),
            Some(("password", value)) => address.password = Some(value.to_owned()),
            Some(("currentSchema", value)) => address.schema = Some(value.to_owned()),
            Some(("sslmode" | "sslrootcert", _)) => address.kept.push(parameter.to_owned()),
            _ => address.dropped = true,
        }
    }
    Some(address)
}

fn together(translation: &mut Translation<'_, '_>) {
    let resolved = |name: &str, translation: &mut Translation<'_, '_>| {
        let option = translation.get(name)?;
        translation.resolve(option)
    };
    let user = resolved("username", translation);
    let password = resolved("password", translation);
    let mut schema = None;
    if let Some(option) = translation.get("url")
        && let Some(url) = translation.resolve(option)
    {
        match address(&url) {
            Some(address) => {
                if address.dropped {
                    let message = "of the url's parameters only user, password, currentSchema, sslmode and sslrootcert have a meaning";
                    translation.checker.push(Diagnostic::warning(&IGNORED, message).at(&option.value_at));
                }
                let user = user.map(|user| encoded(&user)).or(address.user);
                let password = password.map(|password| encoded(&password)).or(address.password);
                let login = match (user, password) {
                    (Some(user), Some(password)) => format!("{user}:{password}@"),
                    (Some(user), None) => format!("{user}@"),
                    _ => String::new(),
                };
                let parameters = match address.kept.is_empty() {
                    true => String::new(),
                    false => format!("?{}", address.kept.join("&")),
                };
                let place = address.place.trim_start_matches("//");
                translation.put_resolved(
                    "connection",
                    option,
                    &format!("postgres://{login}{place}{parameters}"),
                );
                schema = address.schema;
            }
            None => {
                let message = "'url' is no address of a PostgreSQL database".to_owned();
                let help = "write it as jdbc:postgresql://HOST:5432/DATABASE, with 'username' and 'password' beside it";
                translation.report(option, message, help);
            }
        }
    }
    if let Some(option) = translation.get("table-name")
        && let Some(table) = translation.resolve(option)
    {
        let table = match schema {
            Some(schema) if !table.contains('.') => format!("{schema}.{table}"),
            _ => table,
        };
        match translation.is_source() {
            true => translation.put_list("tables", option, std::iter::once(&*table)),
            false => translation.put_resolved("table", option, &table),
        }
    }
    if translation.is_source() {
        translation.bounded = true;
    } else {
        // Flink creates no tables; its rows are applied by the declared key, or added.
        translation.put_default("create", "false");
        match translation.table.primary_key.is_empty() {
            true => translation.put_default("mode", "append"),
            false => {
                translation.put_default("mode", "upsert");
                translation.put_primary_key("key");
            }
        }
    }
}

/// Text as it stands in the user part of a URL.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
