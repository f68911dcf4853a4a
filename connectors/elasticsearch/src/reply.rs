//! What a `_bulk` request came to. Status 200 says nothing about the rows: each item carries its own.
//!
//! Only the fields that decide are read, as the bytes come by; a reply without errors is counted and nothing more.
//! Source: Elasticsearch reference, "Bulk API", response body.

use crate::request::Item;
use acme_connect::{Fate, Fates};
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// The shortest wait before a row is sent again that the server was too busy for.
const BUSY: Duration = Duration::from_millis(200);
/// The same where its index has vanished and is created anew.
const MISSING: Duration = Duration::from_secs(1);
/// What is shown of a reason, in bytes.
const REASON_MAX: usize = 2000;

/// What concerns more than a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// The server's words for a row that this user may not write.
    pub(crate) forbidden: Option<String>,
    /// An index does not exist any more.
    pub(crate) index_missing: bool,
}

/// Reads a reply to a request with these items. `Err` means that nothing is known about any of them.
pub(crate) fn read(
    reply: &[u8],
    items: &[Item],
    versioned: bool,
    fates: &mut Fates,
) -> Result<Findings, String> {
    let before = fates.len();
    let mut state = State { items, versioned, fates, findings: Findings::default(), failed: None };
    let mut json = serde_json::Deserializer::from_slice(reply);
    let outcome = state.deserialize(&mut json).and_then(|count| json.end().map(|()| count));
    let findings = std::mem::take(&mut state.findings);
    match outcome {
        Ok(Some(count)) if count == items.len() => Ok(findings),
        wrong => {
            fates.truncate(before);
            Err(match wrong {
                Ok(Some(count)) => format!("it answers {count} rows, {} were sent", items.len()),
                Ok(None) => "it lacks `items`".to_owned(),
                Err(error) => error.to_string(),
            })
        }
    }
}

struct State<'a> {
    items: &'a [Item],
    versioned: bool,
    fates: &'a mut Fates,
    findings: Findings,
    /// The reply's `errors`, once it was seen.
    failed: Option<bool>,
}

/// The whole reply; yields the number of items.
impl<'de> DeserializeSeed<'de> for &mut State<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut State<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reply to a bulk request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut count = None;
        while let Some(key) = map.next_key::<&'de str>()? {
            match key {
                "errors" => self.failed = Some(map.next_value()?),
                "items" if count.is_some() => return Err(A::Error::custom("it has `items` twice")),
                "items" => count = Some(map.next_value_seed(Items(self))?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(count)
    }
}

/// The items of a reply.
struct Items<'s, 'a>(&'s mut State<'a>);

impl<'de> DeserializeSeed<'de> for Items<'_, '_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<usize, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_, '_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<usize, A::Error> {
        let mut count = 0;
        if self.0.failed == Some(false) {
            while seq.next_element::<IgnoredAny>()?.is_some() {
                count += 1;
            }
            return Ok(count);
        }
        while let Some(One { delete, outcome }) = seq.next_element()? {
            let item = self.0.items.get(count).ok_or_else(|| A::Error::custom("it has too many items"))?;
            count += 1;
            self.0.judge(item.row, delete, &outcome);
        }
        Ok(count)
    }
}

impl State<'_> {
    fn judge(&mut self, row: usize, delete: bool, outcome: &Outcome<'_>) {
        let missing = || outcome.kind().as_deref() == Some("index_not_found_exception");
        let fate = match outcome.status {
            200..=299 => return,
            // An equal or newer version is there.
            409 if self.versioned => return,
            // What is to be deleted does not exist.
            404 if delete => return,
            404 if missing() => {
                self.findings.index_missing = true;
                Fate::Retry { after: MISSING }
            }
            401 | 403 => {
                self.findings.forbidden.get_or_insert_with(|| outcome.reason());
                return;
            }
            409 | 429 | 500.. => Fate::Retry { after: BUSY },
            _ => Fate::Reject { reason: outcome.reason() },
        };
        self.fates.push((row, fate));
    }
}

/// `{"index":{…}}`
struct One<'de> {
    delete: bool,
    outcome: Outcome<'de>,
}

impl<'de> Deserialize<'de> for One<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct OneVisitor;
        impl<'de> Visitor<'de> for OneVisitor {
            type Value = One<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an item")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<One<'de>, A::Error> {
                let (action, outcome) = map
                    .next_entry::<&'de str, Outcome<'de>>()?
                    .ok_or_else(|| A::Error::custom("an item is empty"))?;
                if map.next_key::<IgnoredAny>()?.is_some() {
                    return Err(A::Error::custom("an item has two actions"));
                }
                Ok(One { delete: action == "delete", outcome })
            }
        }
        json.deserialize_map(OneVisitor)
    }
}

#[derive(Deserialize)]
struct Outcome<'a> {
    status: u16,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl Outcome<'_> {
    fn kind(&self) -> Option<Cow<'_, str>> {
        serde_json::from_str::<Cause<'_>>(self.error?.get()).ok()?.kind
    }

    fn reason(&self) -> String {
        self.error.map_or_else(|| format!("status {}", self.status), |error| reason(error.get()))
    }
}

/// An error as both servers write it.
#[derive(Deserialize)]
struct Cause<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
    caused_by: Option<Box<Cause<'a>>>,
}

/// The server's words: type and reason of an error and of its causes, or the text as it came.
pub(crate) fn reason(error: &str) -> String {
    let mut text = String::new();
    let mut next = serde_json::from_str::<Cause<'_>>(error).ok().map(Box::new);
    while let Some(cause) = next {
        if !text.is_empty() {
            text.push_str("; caused by ");
        }
        text.push_str(cause.kind.as_deref().unwrap_or("error"));
        if let Some(reason) = &cause.reason {
            text.push_str(": ");
            text.push_str(reason);
        }
        next = cause.caused_by;
    }
    if text.is_empty() || text == "error" {
        text = error.trim_matches('"').to_owned();
    }
    if text.len() > REASON_MAX {
        text.truncate(text.floor_char_boundary(REASON_MAX));
        text.push('…');
    }
    text.replace('\n', " ")
}

/// The error of a reply that refuses a whole request.
pub(crate) fn whole_error(reply: &[u8]) -> Option<Refusal> {
    #[derive(Deserialize)]
    struct Reply<'a> {
        #[serde(borrow)]
        error: &'a RawValue,
    }
    let reply: Reply<'_> = serde_json::from_slice(reply).ok()?;
    let kind = serde_json::from_str::<Cause<'_>>(reply.error.get()).ok().and_then(|cause| cause.kind);
    Some(Refusal { kind: kind.unwrap_or_default().into_owned(), reason: reason(reply.error.get()) })
}

/// Why a whole request was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The type of the error; empty where it has none.
    pub(crate) kind: String,
    /// The server's words.
    pub(crate) reason: String,
}

#[cfg(test)]
mod tests;
