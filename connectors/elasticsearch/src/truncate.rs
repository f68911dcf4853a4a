//! A TRUNCATE of the source, applied: every document that is older than it is deleted.
//!
//! Delete-by-query would not do. It cannot compare versions, so a TRUNCATE that is repeated after a crash would take
//! documents with it that are newer than it, and their own repetition would lose against the tombstones. So the index is
//! read through, and what is older is deleted with the version of the TRUNCATE: a repetition changes nothing.

use crate::client::{Client, Reply};
use crate::reply;
use crate::request::{self, Item};
use acme_connect::Fates;
use acme_types::{Blame, Diagnostic, codes};
use bytes::{Bytes, BytesMut};
use reqwest::Method;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How long the server keeps the reading open between two pages.
const KEEP: &str = "5m";
/// Documents of one page; only their ids and versions are read.
const PAGE: usize = 5000;

#[derive(Deserialize)]
struct Page {
    #[serde(rename = "_scroll_id")]
    scroll_id: String,
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Shards,
    hits: Hits,
}

#[derive(Deserialize)]
struct Shards {
    failed: u64,
}

#[derive(Deserialize)]
struct Hits {
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Hit {
    #[serde(rename = "_index")]
    index: String,
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_version")]
    version: i64,
}

/// Deletes every document of the index whose version is below this one. An index that does not exist is empty.
pub(crate) async fn apply(client: &Client, index: &str, version: i64) -> Result<(), Diagnostic> {
    // What was written a moment ago must be seen.
    let refresh = client.json(Method::POST, &[index, "_refresh"], "", None).await?.accepted()?;
    if refresh.status == 404 {
        return Ok(());
    }
    whole(&refresh)?;
    let query = format!(r#"{{"size":{PAGE},"version":true,"_source":false,"sort":["_doc"]}}"#);
    let first = format!("scroll={KEEP}");
    let mut reply = client.json(Method::POST, &[index, "_search"], &first, Some(query)).await?;
    loop {
        let page = page(&reply.accepted()?)?;
        if page.hits.hits.is_empty() {
            // It would end by itself.
            let body = keys(&[("scroll_id", &page.scroll_id)]);
            let _ = client.json(Method::DELETE, &["_search", "scroll"], "", Some(body)).await;
            return Ok(());
        }
        delete(client, &page.hits.hits, version).await?;
        let body = keys(&[("scroll", KEEP), ("scroll_id", &page.scroll_id)]);
        reply = client.json(Method::POST, &["_search", "scroll"], "", Some(body)).await?;
    }
}

fn keys(pairs: &[(&str, &str)]) -> String {
    let keys: BTreeMap<_, _> = pairs.iter().copied().collect();
    serde_json::to_string(&keys).expect("texts are always valid JSON")
}

fn page(reply: &Reply) -> Result<Page, Diagnostic> {
    whole(reply)?;
    let page: Page = serde_json::from_slice(&reply.body).map_err(|error| incomplete(&error.to_string()))?;
    if page.timed_out || page.shards.failed > 0 {
        return Err(incomplete("a shard did not answer"));
    }
    Ok(page)
}

async fn delete(client: &Client, hits: &[Hit], version: i64) -> Result<(), Diagnostic> {
    let mut body = BytesMut::new();
    let mut items = Vec::new();
    for hit in hits.iter().filter(|hit| hit.version < version) {
        request::action(&mut body, true, &hit.index, Some(hit.id.as_bytes()), Some(version));
        items.push(Item { row: items.len(), end: body.len() });
    }
    if items.is_empty() {
        return Ok(());
    }
    let reply = client.bulk("", Bytes::from(body)).await?.accepted()?;
    whole(&reply)?;
    let mut fates = Fates::new();
    let findings = reply::read(&reply.body, &items, true, &mut fates).map_err(|error| incomplete(&error))?;
    if let Some(words) = findings.forbidden {
        return Err(Diagnostic { blame: Blame::User, ..incomplete(&words) });
    }
    match fates.first() {
        Some((_, fate)) => Err(incomplete(&format!("a delete was not done: {fate:?}"))),
        None => Ok(()),
    }
}

fn whole(reply: &Reply) -> Result<(), Diagnostic> {
    match reply.status {
        200..=299 => Ok(()),
        status => Err(incomplete(
            &reply::whole_error(&reply.body).map_or_else(|| format!("status {status}"), |error| error.reason),
        )),
    }
}

/// It is worth trying again: everything that was deleted stays deleted.
fn incomplete(cause: &str) -> Diagnostic {
    let message = format!("a TRUNCATE of the source could not be applied whole: {cause}");
    Diagnostic { blame: Blame::Remote, ..Diagnostic::new(&codes::REMOTE, message) }
}
