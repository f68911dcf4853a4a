//! What is to be said about the table before the start; nothing is changed.

use crate::config::{Mode, Settings};
use crate::grpc::Method;
use crate::sink::BigQuerySink;
use crate::table::{Name, Table};
use crate::{fault, wire};
use acme_types::Diagnostic;
use tonic::Code;

/// Everything that is wrong.
pub(crate) async fn all(sink: &mut BigQuerySink) -> Vec<Diagnostic> {
    // Somebody waits for the answer.
    sink.rest.patient = false;
    let found = inspect(sink).await;
    found.unwrap_or_else(|diagnostic| vec![diagnostic.at(&sink.settings.at)])
}

async fn inspect(sink: &mut BigQuerySink) -> Result<Vec<Diagnostic>, Diagnostic> {
    let settings = sink.settings.clone();
    let name = settings.name(&sink.rest.project().await?);
    if sink.rest.dataset(&name).await?.is_none() {
        return Ok(vec![no_dataset(&settings, &name)]);
    }
    let mut found = Vec::new();
    match sink.rest.table(&name).await? {
        None if !settings.create => found.push(no_table(&settings, &name)),
        None => {}
        Some(described) => {
            found.extend(table(&settings, &name, &described));
            let mut needed = vec!["bigquery.tables.get", "bigquery.tables.updateData"];
            if settings.mode != Mode::Append {
                needed.push("bigquery.tables.getData");
            }
            let lacks = sink.rest.lacks(&name, &needed).await;
            if !lacks.is_empty() {
                let message =
                    format!("the account lacks permissions on {}: {}", name.shown(), lacks.join(", "));
                found.push(settings.user(message, "give it the role `BigQuery Data Editor` on the dataset"));
            }
        }
    }
    if !settings.insert_all {
        found.extend(storage(sink, &name).await?);
    }
    Ok(found)
}

/// Whether the Storage Write API answers and lets us in: it is asked for the stream that every table has.
async fn storage(sink: &mut BigQuerySink, name: &Name) -> Result<Option<Diagnostic>, Diagnostic> {
    const WHAT: &str = "look at the write stream of the table";
    let stream = format!("{}/streams/_default", name.path());
    let mut message = Vec::new();
    wire::bytes(&mut message, 1, stream.as_bytes());
    let mut storage = sink.storage()?;
    storage.patient = false;
    let reply = storage.call(Method::Get, ("name", &stream), message, WHAT).await?;
    Ok(match reply {
        Err(status) if matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated) => {
            Some(fault::of_call(WHAT, &status).at(&sink.settings.at))
        }
        _ => None,
    })
}

/// What the table itself makes impossible.
pub(crate) fn table(settings: &Settings, name: &Name, table: &Table) -> Option<Diagnostic> {
    if !matches!(table.kind.as_str(), "" | "TABLE") {
        let message =
            format!("{} is a {}, to which rows cannot be written", name.shown(), table.kind.to_lowercase());
        return Some(settings.user(message, "name a table in `table`").at(&settings.at_table));
    }
    let missing = settings
        .key
        .iter()
        .find(|key| !table.schema.fields.iter().any(|field| field.name.eq_ignore_ascii_case(key)))?;
    let message = format!("the table {} has no column \"{missing}\", which is part of the key", name.shown());
    Some(settings.user(message, "add it to the table, or name others in `key`").at(&settings.at_key))
}

pub(crate) fn no_dataset(settings: &Settings, name: &Name) -> Diagnostic {
    let message = format!(
        "the dataset {}.{} does not exist, or the account may not see it",
        name.project, name.dataset
    );
    let help = format!("run: bq mk --dataset {}:{}; or correct the name", name.project, name.dataset);
    settings.user(message, help).at(&settings.at_dataset)
}

pub(crate) fn no_table(settings: &Settings, name: &Name) -> Diagnostic {
    let message = format!("the table {} does not exist", name.shown());
    settings.user(message, "create it, or set `create: true`").at(&settings.at_table)
}
