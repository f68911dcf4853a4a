//! Quotas of users, clients and addresses, and users' passwords.

use super::Said;
use super::configs::{Change, Kind};
use super::failure::Failure;
use super::java::{double, sized_hash_order};
use acme_kafka::Client;
use acme_kafka::admin::{QuotaEntity, QuotaMatch, Quotas, ScramChange};
use acme_kafka::config::ScramHash;
use acme_types::Secret;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Quotas of users and clients.
const OF_CLIENTS: [&str; 4] =
    ["producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"];
/// Quotas of addresses.
const OF_ADDRESSES: [&str; 1] = ["connection_creation_rate"];
const MECHANISMS: [(&str, ScramHash); 2] =
    [("SCRAM-SHA-256", ScramHash::Sha256), ("SCRAM-SHA-512", ScramHash::Sha512)];
const ITERATIONS: u32 = 4_096;

/// Whose: kinds in the order given, and names, of which the empty one is the default. There may be fewer names than kinds.
pub(crate) type Whose = Vec<(Kind, Option<String>)>;

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Users => "user",
        Kind::Clients => "client-id",
        _ => "ip",
    }
}

fn mechanism(name: &str) -> Option<ScramHash> {
    MECHANISMS.iter().find(|(known, _)| *known == name).map(|(_, hash)| *hash)
}

async fn quotas(client: &Client, whose: &Whose) -> Result<Vec<Quotas>, Failure> {
    let of = whose.iter().map(|(kind, name)| {
        let name = match name.as_deref() {
            None => QuotaMatch::Any,
            Some("") => QuotaMatch::Default,
            Some(name) => QuotaMatch::Named(name.to_owned()),
        };
        (word(*kind), name)
    });
    Ok(client.quotas(&of.collect::<Vec<_>>()).await?)
}

/// `describe`.
pub(crate) async fn describe(client: &Client, whose: &Whose, as_json: bool) -> Result<Said, Failure> {
    let mut found = quotas(client, whose).await?;
    found.sort_by(|one, other| one.entity.cmp(&other.entity));
    // A client has no password, and neither has the default.
    let has_passwords = whose.iter().all(|(kind, name)| *kind == Kind::Users && name.as_deref() != Some(""));
    let mut credentials = BTreeMap::new();
    if has_passwords {
        let named: Vec<&str> = whose.iter().filter_map(|(_, name)| name.as_deref()).collect();
        credentials = client.scram_credentials(&named).await?;
    }
    if as_json {
        let quotas = found.iter().map(|quotas| {
            let values = quotas.values.iter().map(|(name, value)| (name.clone(), json!(value)));
            json!({ "entity": quotas.entity, "quotas": values.collect::<serde_json::Map<_, _>>() })
        });
        let mut all: Vec<Value> = quotas.collect();
        all.extend(credentials.iter().map(|(user, credentials)| {
            let of = |it: &acme_kafka::admin::ScramCredential| {
                json!({ "mechanism": mechanism_name(it.hash), "iterations": it.iterations })
            };
            json!({ "entity": { "user": user }, "scram": credentials.iter().map(of).collect::<Value>() })
        }));
        return Ok(Said::json(&all.into()));
    }
    let mut out = String::new();
    for Quotas { entity, values } in found {
        let part = |(kind, shown): (&str, &str)| {
            entity.get(kind).map(|name| match name {
                Some(name) => format!("{shown} '{name}'"),
                None => format!("the default {shown}"),
            })
        };
        let whose: Vec<String> = [("user", "user-principal"), ("client-id", "client-id"), ("ip", "ip")]
            .into_iter()
            .filter_map(part)
            .collect();
        let values = sized_hash_order(values.iter().collect(), |(name, _)| name.as_str());
        let values: Vec<String> =
            values.iter().map(|(name, value)| format!("{name}={}", double(*value))).collect();
        let _ = writeln!(out, "Quota configs for {} are {}", whose.join(", "), values.join(", "));
    }
    for (user, credentials) in credentials {
        let shown =
            credentials.iter().map(|it| format!("{}=iterations={}", mechanism_name(it.hash), it.iterations));
        let shown: Vec<String> = shown.collect();
        let _ =
            writeln!(out, "SCRAM credential configs for user-principal '{user}' are {}", shown.join(", "));
    }
    Ok(Said::out(out))
}

fn mechanism_name(hash: Option<ScramHash>) -> &'static str {
    MECHANISMS.iter().find(|(_, known)| Some(*known) == hash).map_or("UNKNOWN", |(name, _)| name)
}

/// A collection as Scala prints it.
fn shown(names: &[&str]) -> String {
    format!("Set({})", names.join(", "))
}

/// `alter`.
pub(crate) async fn alter(client: &Client, whose: &Whose, change: &Change) -> Result<(), Failure> {
    let names = change.add.iter().map(|(name, _)| (name.as_str(), true));
    let names: Vec<(&str, bool)> =
        names.chain(change.delete.iter().map(|name| (name.as_str(), false))).collect();
    if whose.iter().any(|(kind, _)| *kind == Kind::Ips) {
        let strangers: Vec<&str> =
            names.iter().map(|(name, _)| *name).filter(|name| !OF_ADDRESSES.contains(name)).collect();
        if !strangers.is_empty() {
            let said = "Only connection quota configs can be added for 'ips' using --bootstrap-server.";
            let said = format!("{said} Unexpected config names: {}", strangers.join(","));
            return Err(Failure::user(said, format!("use {}", OF_ADDRESSES.join(", "))));
        }
        return alter_quotas(client, whose, change).await;
    }
    let one_user = whose.len() == 1 && whose[0].0 == Kind::Users;
    let is_quota = |name: &str| OF_CLIENTS.contains(&name);
    for (added, verb) in [(true, "added"), (false, "deleted")] {
        let is_known = |name: &str| is_quota(name) || (one_user && mechanism(name).is_some());
        let strangers = names.iter().filter(|(name, add)| *add == added && !is_known(name));
        let strangers: Vec<&str> = strangers.map(|(name, _)| *name).collect();
        if !strangers.is_empty() {
            let (kinds, of) =
                if one_user { ("quota and SCRAM credential", "users") } else { ("quota", "clients") };
            let said = format!(
                "Only {kinds} configs can be {verb} for '{of}' using --bootstrap-server. Unexpected config names: {}",
                shown(&strangers)
            );
            return Err(Failure::user(said, format!("use {}", OF_CLIENTS.join(", "))));
        }
    }
    let has_quotas = names.iter().any(|(name, _)| is_quota(name));
    let has_passwords = names.iter().any(|(name, _)| mechanism(name).is_some());
    if has_passwords && whose[0].1.as_deref() == Some("") {
        let said = "The use of --entity-default or --user-defaults is not allowed with User SCRAM Credentials using \
                    --bootstrap-server.";
        return Err(Failure::user(said, "name the user"));
    }
    if has_passwords && has_quotas {
        let said = "Cannot alter both quota and SCRAM credential configs simultaneously for 'users' using --bootstrap-server.";
        return Err(Failure::user(said, "change the one, then the other"));
    }
    if has_passwords {
        return alter_passwords(client, whose[0].1.as_deref().unwrap_or_default(), change).await;
    }
    alter_quotas(client, whose, change).await
}

async fn alter_quotas(client: &Client, whose: &Whose, change: &Change) -> Result<(), Failure> {
    let there = quotas(client, whose).await?;
    let is_there = |name: &String| {
        there.first().is_some_and(|quotas| quotas.values.iter().any(|(known, _)| known == name))
    };
    let missing: Vec<&str> =
        change.delete.iter().filter(|name| !is_there(name)).map(String::as_str).collect();
    if !missing.is_empty() {
        let said = format!("Invalid config(s): {}", missing.join(","));
        return Err(Failure::user(said, "what is not set cannot be deleted: see --describe"));
    }
    let mut changes: Vec<(&str, Option<f64>)> = Vec::new();
    for (name, value) in &change.add {
        let number = value.parse().map_err(|_| {
            let said = format!("Cannot parse quota configuration value for {name}: {value}");
            Failure::user(said, "give a number")
        })?;
        changes.push((name, Some(number)));
    }
    changes.extend(change.delete.iter().map(|name| (name.as_str(), None)));
    let name = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    let entity: QuotaEntity =
        whose.iter().map(|(kind, named)| (word(*kind).to_owned(), name(named))).collect();
    Ok(client.alter_quotas(&entity, &changes).await?)
}

async fn alter_passwords(client: &Client, user: &str, change: &Change) -> Result<(), Failure> {
    let mut changes = Vec::new();
    for name in &change.delete {
        changes.extend(mechanism(name).map(ScramChange::Delete));
    }
    for (name, value) in &change.add {
        let Some(hash) = mechanism(name) else { continue };
        // The value is not shown: it holds the password.
        let fault = || {
            let help = "write it as SCRAM-SHA-512=[iterations=8192,password=…] or SCRAM-SHA-512=[password=…]";
            Failure::user(format!("Invalid credential property {name}"), help)
        };
        let (iterations, password) = match value.strip_prefix("iterations=") {
            None => (None, value.strip_prefix("password=").ok_or_else(fault)?),
            Some(rest) => {
                let (number, rest) = rest.split_once(',').ok_or_else(fault)?;
                let number: i64 = number.parse().map_err(|_| fault())?;
                (Some(number), rest.strip_prefix("password=").ok_or_else(fault)?)
            }
        };
        let iterations = match iterations.filter(|number| *number != -1) {
            None => ITERATIONS,
            Some(number) => match u32::try_from(number).ok().filter(|number| *number >= ITERATIONS) {
                Some(number) => number,
                None => {
                    let said = format!(
                        "Iterations {number} is less than the minimum {ITERATIONS} required for {name}"
                    );
                    return Err(Failure::user(said, format!("use {ITERATIONS} or more")));
                }
            },
        };
        changes.push(ScramChange::Set { hash, iterations, password: Secret::new(password.to_owned()) });
    }
    // Clusters take one change of a user at a time.
    for change in changes {
        client.alter_scram(user, &[change]).await?;
    }
    Ok(())
}
