//! One `_bulk` request to its end: sent, split where it is too large, read, each row with its fate.

use crate::client::{Client, Reply};
use crate::reply::{self, Findings};
use crate::request::Request;
use acme_connect::{Fate, Fates};
use acme_types::{Blame, Diagnostic, codes};
use std::ops::Range;

/// What became of a request.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) fates: Fates,
    pub(crate) findings: Findings,
}

/// Sends a request and empties it. `Err` means that nothing is known about its rows.
pub(crate) async fn send(
    client: &Client,
    index: &str,
    request: &mut Request,
    versioned: bool,
) -> Result<Outcome, Diagnostic> {
    let mut outcome = Outcome::default();
    if request.items.is_empty() {
        return Ok(outcome);
    }
    let body = std::mem::take(&mut request.body).freeze();
    // Parts that are still to be sent; the first one on top.
    let mut parts: Vec<Range<usize>> = std::iter::once(0..request.items.len()).collect();
    while let Some(part) = parts.pop() {
        let items = &request.items[part.clone()];
        let start = if part.start == 0 { 0 } else { request.items[part.start - 1].end };
        let end = items.last().map_or(start, |item| item.end);
        let reply = client.bulk(index, body.slice(start..end)).await?.accepted()?;
        let Some(reason) = refusal(&reply)? else {
            let found = reply::read(&reply.body, items, versioned, &mut outcome.fates)
                .map_err(|cause| unreadable(&reply, &cause))?;
            outcome.findings.index_missing |= found.index_missing;
            outcome.findings.forbidden = outcome.findings.forbidden.take().or(found.forbidden);
            continue;
        };
        match items {
            [item] => outcome.fates.push((item.row, Fate::Reject { reason })),
            _ => {
                let middle = part.start + items.len() / 2;
                parts.push(middle..part.end);
                parts.push(part.start..middle);
            }
        }
    }
    request.items.clear();
    if let Ok(mut memory) = body.try_into_mut() {
        memory.clear();
        request.body = memory;
    }
    Ok(outcome)
}

/// Why the server refuses a request as a whole for something that may lie in a single row; `None` when it took it.
fn refusal(reply: &Reply) -> Result<Option<String>, Diagnostic> {
    let help = "set `url:` to the address of Elasticsearch or OpenSearch";
    match reply.status {
        200..=299 => Ok(None),
        413 => {
            Ok(Some("the document is larger than the server takes (`http.max_content_length`)".to_owned()))
        }
        // Only the server itself names a type; a proxy in front of it refuses for other reasons than a row.
        400 => match reply::whole_error(&reply.body) {
            Some(error) if !error.kind.is_empty() => Ok(Some(error.reason)),
            _ => Err(reply.unexpected(help)),
        },
        _ => Err(reply.unexpected(help)),
    }
}

fn unreadable(reply: &Reply, cause: &str) -> Diagnostic {
    let message = format!("the reply of {} to a bulk request cannot be read: {cause}", reply.from);
    Diagnostic { blame: Blame::Remote, ..Diagnostic::new(&codes::REMOTE, message) }
}

/// The user may write to some index, but not to this one: no fault of a row.
pub(crate) fn forbidden(words: &str) -> Diagnostic {
    let message = format!("writing is not allowed: {words}");
    let help = "give the user the privileges `create_index`, `index` and `delete` on the index, and lift blocks on it";
    Diagnostic { blame: Blame::User, ..Diagnostic::new(&codes::REMOTE, message).help(help) }
}
