//! The checked configuration of one item: where the server is, and what to capture.

use crate::tls::SslMode;
use acme_connect::Context;
use acme_types::{Config, Diagnostic, Place, Secret, codes};
use std::time::Duration;

/// The longest name of a slot, publication or table that the server keeps: `NAMEDATALEN` - 1.
const NAME_MAX: usize = 63;

/// Where a server is, and who we are there.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: Option<Secret>,
    pub(crate) database: String,
    pub(crate) application: String,
    pub(crate) ssl: SslMode,
    /// `sslrootcert`: a PEM file, or `system`.
    pub(crate) root: Option<String>,
}

/// A table by its two names, as the catalog spells them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableName {
    pub(crate) schema: String,
    pub(crate) table: String,
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// What one item asks for.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) address: Address,
    /// Where `connection` stands, for messages.
    pub(crate) at: Place,
    /// Where `tables` stands.
    pub(crate) at_tables: Place,
    pub(crate) tables: Vec<TableName>,
    /// Capture changes; else copy once.
    pub(crate) cdc: bool,
    pub(crate) publication: String,
    pub(crate) slot: String,
    /// Its name is the one that Acme gives.
    pub(crate) slot_is_ours: bool,
    /// Copy the tables before the first change.
    pub(crate) copy_first: bool,
    pub(crate) heartbeat: Duration,
    /// Every `numeric` as text, because a decimal has no NaN.
    pub(crate) decimals_as_text: bool,
}

impl Settings {
    /// Of no item: only a server.
    pub(crate) fn bare(address: Address) -> Self {
        let at = Place { file: "--connection".into(), line: 1, column: 1 };
        Self {
            address,
            at: at.clone(),
            at_tables: at,
            tables: Vec::new(),
            cdc: false,
            publication: String::new(),
            slot: String::new(),
            slot_is_ours: false,
            copy_first: false,
            heartbeat: Duration::ZERO,
            decimals_as_text: false,
        }
    }

    pub(crate) fn parse(config: &Config, context: &Context) -> Result<Self, Diagnostic> {
        let url = config.secret("connection").expect("the SPEC requires it");
        let address = Address::parse(url.reveal()).map_err(|cause| {
            let help = "write it as postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=require";
            let diagnostic =
                Diagnostic::new(&codes::BAD_VALUE, format!("`connection` is not usable: {cause}"));
            config.blame("connection", diagnostic.help(help))
        })?;
        let text = |key| config.text(key).cloned();
        let name = |key: &'static str, name: String| {
            let fits = !name.is_empty() && name.len() <= NAME_MAX;
            let fault = || Diagnostic::new(&codes::BAD_VALUE, format!("`{key}` has 1 to {NAME_MAX} bytes"));
            if fits { Ok(name) } else { Err(config.blame(key, fault())) }
        };
        let mut tables: Vec<TableName> = Vec::new();
        for value in config.list("tables").into_iter().flatten() {
            let table = TableName::parse(value.text().unwrap_or_default());
            let fault = |message| Diagnostic::new(&codes::BAD_VALUE, message).at(&value.at);
            if table.schema.is_empty() || table.table.is_empty() {
                return Err(fault("a table is written SCHEMA.TABLE".to_owned()));
            }
            if tables.contains(&table) {
                return Err(fault(format!("the table {table} is listed twice")));
            }
            tables.push(table);
        }
        if tables.is_empty() {
            let fault = Diagnostic::new(&codes::BAD_VALUE, "there is no table to read");
            return Err(config.blame("tables", fault));
        }
        let slot = text("slot").unwrap_or_else(|| slot_name(&context.pipeline, &context.item));
        let slot = name("slot", slot)?;
        if !slot.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')) {
            let message = format!("the slot name \"{slot}\" has other characters than a-z, 0-9 and _");
            return Err(config.blame("slot", Diagnostic::new(&codes::BAD_VALUE, message)));
        }
        let heartbeat_us = config.int("heartbeat_interval").copied().unwrap_or(10_000_000);
        Ok(Self {
            address,
            at: config.place("connection").clone(),
            at_tables: config.place("tables").clone(),
            tables,
            cdc: config.text("mode").is_some_and(|mode| mode == "cdc"),
            publication: name("publication", text("publication").unwrap_or_else(|| "acme_pub".to_owned()))?,
            slot_is_ours: text("slot").is_none(),
            slot,
            copy_first: config.text("snapshot").is_none_or(|snapshot| snapshot == "initial"),
            heartbeat: Duration::from_micros(u64::try_from(heartbeat_us).unwrap_or(0).max(100_000)),
            decimals_as_text: config.text("decimals").is_some_and(|decimals| decimals == "text"),
        })
    }
}

/// `acme_PIPELINE_ITEM` in the characters that a slot name may have.
fn slot_name(pipeline: &str, item: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let name: String = format!("acme_{pipeline}_{item}").chars().map(plain).collect();
    if name.len() <= NAME_MAX {
        return name;
    }
    // Two long names must not become one: the end gives way to a hash of the whole (FNV-1a, 64 bits).
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{}_{hash:016x}", &name[..NAME_MAX - 17])
}

impl TableName {
    /// Reads `table` or `schema.table`; a part that contains a dot is written in double quotes.
    fn parse(text: &str) -> Self {
        let (first, rest) = part(text.trim());
        match rest.strip_prefix('.') {
            Some(rest) => Self { schema: first, table: part(rest).0 },
            None => Self { schema: "public".to_owned(), table: first },
        }
    }
}

fn part(text: &str) -> (String, &str) {
    if let Some((name, rest)) = text.strip_prefix('"').and_then(|quoted| quoted.split_once('"')) {
        return (name.to_owned(), rest);
    }
    let (name, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    (name.to_owned(), rest)
}

impl Address {
    /// Reads a connection URI.
    ///
    /// Source: libpq, "Connection URIs". Only the keys that mean something here are accepted.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let rest = rest.ok_or("it does not begin with postgres://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = user.split_once(':').map_or((user, None), |(user, word)| (user, Some(word)));
        let (host, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port))),
        };
        if host.contains(',') {
            return Err("it names several hosts".to_owned());
        }
        let mut address = Self {
            host: decode(host)?,
            port: port.filter(|port| !port.is_empty()).map_or(Ok(5432), number)?,
            user: decode(user)?,
            password: password.map(decode).transpose()?.map(Secret::new),
            database: decode(database)?,
            application: "acme".to_owned(),
            ssl: SslMode::Prefer,
            root: None,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            address.set(key, decode(value)?)?;
        }
        address.complete()
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        match key {
            "sslmode" => {
                self.ssl = match value.as_str() {
                    "disable" => SslMode::Disable,
                    "allow" | "prefer" => SslMode::Prefer,
                    "require" => SslMode::Require,
                    "verify-ca" => SslMode::VerifyCa,
                    "verify-full" => SslMode::VerifyFull,
                    _ => {
                        return Err(
                            "sslmode is one of disable, prefer, require, verify-ca, verify-full".into()
                        );
                    }
                }
            }
            "sslrootcert" => self.root = Some(value),
            "host" => self.host = value,
            "port" => self.port = number(&value)?,
            "user" => self.user = value,
            "password" => self.password = Some(Secret::new(value)),
            "dbname" => self.database = value,
            "application_name" => self.application = value,
            // What we do anyway, or what cannot differ with one host.
            "connect_timeout" | "target_session_attrs" | "keepalives" | "gssencmode" => {}
            "channel_binding" if value != "require" => {}
            "channel_binding" => {
                return Err("channel_binding=require is not supported; use sslmode=verify-full".into());
            }
            _ => return Err(format!("the parameter \"{}\" is not known", key.escape_default())),
        }
        Ok(())
    }

    fn complete(mut self) -> Result<Self, String> {
        if self.host.is_empty() {
            "localhost".clone_into(&mut self.host);
        }
        if self.host.starts_with('/') {
            return Err("Unix sockets are not supported; name the host".to_owned());
        }
        if self.user.is_empty() {
            return Err("it names no user".to_owned());
        }
        if self.database.is_empty() {
            self.database.clone_from(&self.user);
        }
        if [&self.host, &self.user, &self.database, &self.application].iter().any(|text| text.contains('\0'))
        {
            return Err("it contains a zero byte".to_owned());
        }
        Ok(self)
    }
}

fn number(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "the port is not a number".to_owned())
}

/// Source: RFC 3986 section 2.1.
fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let pair = digit(rest.next()).zip(digit(rest.next()));
        let (high, low) = pair.ok_or("a % is not followed by two hexadecimal digits; write %25 for it")?;
        bytes.push(u8::try_from(high * 16 + low).expect("two digits are one byte"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let address =
            Address::parse("postgres://me:p%40ss:w@db.example:6432/shop?sslmode=verify-full").unwrap();
        assert_eq!((address.host.as_str(), address.port), ("db.example", 6432));
        assert_eq!((address.user.as_str(), address.database.as_str()), ("me", "shop"));
        assert_eq!(address.password.as_ref().map(Secret::reveal), Some("p@ss:w"));
        assert_eq!(address.ssl, SslMode::VerifyFull);
        let address = Address::parse("postgresql://me@[::1]").unwrap();
        assert_eq!((address.host.as_str(), address.port, address.database.as_str()), ("::1", 5432, "me"));
    }

    #[test]
    fn a_url_that_cannot_be_used_says_why_without_showing_it() {
        for url in
            ["mysql://a@b", "postgres://secret%zz@b", "postgres://a@b?sslmode=secret", "postgres://b/secret"]
        {
            let cause = Address::parse(url).unwrap_err();
            assert!(!cause.contains("secret"), "{cause}");
        }
    }

    #[test]
    fn names_of_tables_and_slots() {
        let name = |text| TableName::parse(text).to_string();
        assert_eq!(name("users"), "public.users");
        assert_eq!(name("shop.users"), "shop.users");
        assert_eq!(name("\"a.b\".\"C d\""), "a.b.C d");
        assert_eq!(slot_name("Shop-1", "users cdc"), "acme_shop_1_users_cdc");
        let long = slot_name(&"p".repeat(80), "a");
        assert_eq!(long.len(), NAME_MAX);
        assert_ne!(long, slot_name(&"p".repeat(80), "b"));
    }
}
