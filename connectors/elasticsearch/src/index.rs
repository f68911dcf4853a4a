//! Indices: looked at before the start, created when first needed.

use crate::client::Client;
use crate::config::{Settings, Truncate};
use crate::reply;
use acme_types::{Blame, Diagnostic, codes};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The settings of an index that we create. Deletes are remembered for longer than a late request can lie in a queue:
/// with the server's default of 60 s, an older change that comes late would bring a deleted document back.
const CREATE: &str = r#"{"settings":{"index":{"gc_deletes":"24h"}}}"#;
/// The same time in seconds.
const GC_DELETES_S: u64 = 24 * 3600;
/// What the server uses where an index says nothing.
const GC_DELETES_DEFAULT: &str = "60s";

const ADDRESS: &str = "set `url:` to the address of Elasticsearch or OpenSearch";

/// Makes sure that an index exists; yields the server's words where it cannot be created.
///
/// A user who may write to an index need not be allowed to see or to create it: then it is taken to exist, and the first
/// rows will tell.
pub(crate) async fn ensure(client: &Client, name: &str, create: bool) -> Result<Option<String>, Diagnostic> {
    let head = client.json(Method::HEAD, &[name], "", None).await?;
    match head.status {
        200..=299 => return Ok(None),
        403 if !create => return Ok(None),
        404 if !create => return Err(absent(name)),
        403 | 404 => {}
        _ => return Err(head.accepted()?.unexpected(ADDRESS)),
    }
    let put = client.json(Method::PUT, &[name], "", Some(CREATE.to_owned())).await?;
    if (head.status, put.status) == (403, 403) {
        return Ok(None);
    }
    let put = put.accepted()?;
    match (put.status, reply::whole_error(&put.body)) {
        (200..=299, _) => Ok(None),
        // Somebody else was faster.
        (400, Some(error)) if error.kind == "resource_already_exists_exception" => Ok(None),
        (400, Some(error)) => Ok(Some(error.reason)),
        _ => Err(put.unexpected("create the index, and set `create_index: false`")),
    }
}

/// What is to be said about an index before the start; it changes nothing.
pub(crate) async fn check(client: &Client, name: &str, settings: &Settings) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut privileges = vec!["index"];
    if !settings.id_fields.is_empty() {
        privileges.push("delete");
    }
    if settings.truncate == Truncate::Apply {
        privileges.extend(["read", "maintenance"]);
    }
    match gc_deletes(client, name).await {
        Err(diagnostic) => return vec![diagnostic],
        Ok(None) if !settings.create_index => found.push(absent(name)),
        Ok(None) => privileges.push("create_index"),
        // Without keys there are no deletes.
        Ok(Some(_)) if settings.id_fields.is_empty() => {}
        Ok(Some(indices)) => found.extend(
            (indices.iter())
                .filter(|(_, time)| seconds(time).is_some_and(|time| time < GC_DELETES_S))
                .map(|(index, time)| short_memory(index, time)),
        ),
    }
    found.extend(missing_privileges(client, name, &privileges).await);
    found
}

/// Which of these privileges on the index the user lacks. Nothing where the server has no security, or another's.
async fn missing_privileges(client: &Client, name: &str, privileges: &[&str]) -> Option<Diagnostic> {
    #[derive(Serialize)]
    struct Question<'a> {
        index: [On<'a>; 1],
    }
    #[derive(Serialize)]
    struct On<'a> {
        names: [&'a str; 1],
        privileges: &'a [&'a str],
    }
    #[derive(Deserialize)]
    struct Answer {
        username: String,
        index: BTreeMap<String, BTreeMap<String, bool>>,
    }
    let question = Question { index: [On { names: [name], privileges }] };
    let question = serde_json::to_string(&question).expect("texts are always valid JSON");
    let path = ["_security", "user", "_has_privileges"];
    let reply = client.json(Method::POST, &path, "", Some(question)).await.ok()?;
    let answer: Answer = serde_json::from_slice(&reply.body).ok()?;
    let of_index = answer.index.get(name)?;
    let missing: Vec<&str> =
        of_index.iter().filter(|(_, has)| !**has).map(|(privilege, _)| privilege.as_str()).collect();
    let missing = (!missing.is_empty()).then(|| missing.join(", "))?;
    let message =
        format!("the user \"{}\" lacks privileges on the index \"{name}\": {missing}", answer.username);
    let diagnostic = Diagnostic::new(&codes::REMOTE, message).help("add them to a role of the user");
    Some(Diagnostic { blame: Blame::User, ..diagnostic })
}

/// `index.gc_deletes` of the index, or of all indices behind an alias; `None` where there is no such index.
async fn gc_deletes(client: &Client, name: &str) -> Result<Option<Vec<(String, String)>>, Diagnostic> {
    #[derive(Default, Deserialize)]
    struct Index {
        settings: BTreeMap<String, String>,
    }
    const KEY: &str = "index.gc_deletes";
    let path = [name, "_settings", KEY];
    let reply = client.json(Method::GET, &path, "flat_settings=true", None).await?;
    // A user who may write to the index need not be allowed to see its settings.
    if reply.status == 403 {
        return Ok(Some(Vec::new()));
    }
    let reply = reply.accepted()?;
    if reply.status == 404 {
        return Ok(None);
    }
    let found: BTreeMap<String, Index> =
        serde_json::from_slice(&reply.body).map_err(|_| reply.unexpected(ADDRESS))?;
    let of = |(name, mut index): (String, Index)| {
        let time = index.settings.remove(KEY).unwrap_or_else(|| GC_DELETES_DEFAULT.to_owned());
        (name, time)
    };
    // An index without the setting is left out of the reply.
    if found.is_empty() {
        return Ok(Some(vec![(name.to_owned(), GC_DELETES_DEFAULT.to_owned())]));
    }
    Ok(Some(found.into_iter().map(of).collect()))
}

/// A time as the server writes it; `None` for what it does not know either.
fn seconds(time: &str) -> Option<u64> {
    const UNITS: [(&str, u64, u64); 7] = [
        ("nanos", 1, 1_000_000_000),
        ("micros", 1, 1_000_000),
        ("ms", 1, 1000),
        ("s", 1, 1),
        ("m", 60, 1),
        ("h", 3600, 1),
        ("d", 86_400, 1),
    ];
    let split = time.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = time.split_at(split);
    let (_, times, parts) = UNITS.iter().find(|(name, ..)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*times).map(|time| time / parts)
}

fn short_memory(index: &str, time: &str) -> Diagnostic {
    let message = format!(
        "the index \"{index}\" forgets deletes after {time}: an older change that comes later than that brings the \
         document back"
    );
    let help = "set `index.gc_deletes` of the index to 24h";
    Diagnostic::warning(&codes::REMOTE, message).help(help)
}

fn absent(index: &str) -> Diagnostic {
    let message = format!("the index \"{index}\" does not exist");
    let help = "create it, or set `create_index: true`";
    Diagnostic { blame: Blame::User, ..Diagnostic::new(&codes::REMOTE, message).help(help) }
}

/// The one index of the destination cannot be created.
pub(crate) fn not_created(index: &str, reason: &str) -> Diagnostic {
    let message = format!("the index \"{index}\" cannot be created: {reason}");
    let help = "create it, and set `create_index: false`";
    Diagnostic { blame: Blame::User, ..Diagnostic::new(&codes::REMOTE, message).help(help) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_the_server_writes_them() {
        assert_eq!(seconds("24h"), Some(GC_DELETES_S));
        assert_eq!(seconds("1d"), Some(GC_DELETES_S));
        assert_eq!(seconds("60s"), Some(60));
        assert_eq!(seconds("1500ms"), Some(1));
        for unknown in ["-1", "", "h", "24", "24x"] {
            assert_eq!(seconds(unknown), None, "{unknown}");
        }
    }
}
