//! Files of SQL, good and bad, against the keys of our connectors.

mod garbage;
mod good;
mod mistakes;
mod mistakes_of_tables;
mod nexmark;
mod options;
mod specs;

use super::{ColumnKind, SqlJob, SqlTable, parse_sql, window_call};
use crate::interpolate::Environment;
use acme_types::{Config, Diagnostic, Role, Value, ValueKind};
use sqlparser::ast::{Query, TableFactor, Visit, Visitor};
use std::fmt::Write;
use std::ops::ControlFlow;

/// Variables that tests put in.
struct Fake;

impl Environment for Fake {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "DATA" => Some("/data".to_owned()),
            "PASSWORD" => Some("hunter/2".to_owned()),
            "DOLLAR" => Some("${DATA}".to_owned()),
            "CHANNEL" => Some("it's".to_owned()),
            _ => None,
        }
    }
    fn file(&self, _: &str) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

fn read(text: &str) -> (Option<SqlJob>, Vec<Diagnostic>) {
    parse_sql("job.sql", text, specs::ALL, &Fake)
}

/// The job in few words, with the warnings in front; the mistakes where there are some.
fn shown(text: &str) -> String {
    let (job, found) = read(text);
    let mut out = String::new();
    for diagnostic in &found {
        let _ = writeln!(out, "{diagnostic}");
    }
    assert_eq!(job.is_none(), found.iter().any(|it| !it.warning), "{out}");
    job.iter().for_each(|job| describe(job, &mut out));
    out
}

fn describe(job: &SqlJob, out: &mut String) {
    job.tables.iter().for_each(|table| describe_table(table, out));
    for view in &job.views {
        let columns: Vec<&str> = view.columns.iter().map(|column| &*column.name).collect();
        let _ = writeln!(out, "view {}({}) {}", view.name.name, columns.join(", "), view.query.query);
        describe_query(&view.query, out);
    }
    for insert in &job.inserts {
        let columns: Vec<&str> = insert.columns.iter().map(|column| &*column.name).collect();
        let table = &job.tables[insert.table].name.name;
        let _ = writeln!(out, "insert {table}({}) {}", columns.join(", "), insert.query.query);
        describe_query(&insert.query, out);
    }
    let settings = &job.settings;
    if let Some(name) = &settings.name {
        let _ = writeln!(out, "name {}", name.name);
    }
    if let Some(mode) = settings.mode {
        let _ = writeln!(out, "mode {mode:?}");
    }
    for (what, us) in [
        ("ttl", settings.state_ttl_us),
        ("idle", settings.idle_timeout_us),
        ("lateness", settings.allowed_lateness_us),
    ] {
        if let Some(us) = us {
            let _ = writeln!(out, "{what} {us}us");
        }
    }
    let common = &settings.settings;
    let usual = common.parallelism.is_none()
        && common.checkpoint_interval_us == 1_000_000
        && common.checkpoint_store.is_none()
        && common.errors == crate::ErrorPolicy::Stop;
    if !usual {
        let _ = writeln!(out, "{common:?}");
    }
}

fn describe_table(table: &SqlTable, out: &mut String) {
    let spec = table.item.spec;
    let role = if spec.role == Role::Source { "source" } else { "destination" };
    let bounded = if table.is_bounded { ", bounded" } else { "" };
    let unused = if table.is_used { "" } else { ", unused" };
    let skips = if table.skips_parse_errors { ", skips" } else { "" };
    let _ = writeln!(out, "table {}: {role} {}{bounded}{unused}{skips}", table.item.name, spec.name);
    for column in &table.columns {
        let _ = match &column.kind {
            ColumnKind::Physical { data_type, not_null, .. } => {
                writeln!(out, "  {} {data_type}{}", column.name, if *not_null { " NOT NULL" } else { "" })
            }
            ColumnKind::Computed { expr } => writeln!(out, "  {} = {expr}", column.name),
            ColumnKind::Metadata { data_type, key, is_virtual, .. } => {
                let written = if *is_virtual { "" } else { ", written" };
                writeln!(out, "  {} {data_type} from {key}{written}", column.name)
            }
        };
    }
    if let Some(watermark) = &table.watermark {
        let delay = watermark.delay_us.map_or("?".to_owned(), |us| format!("{us}us"));
        let _ = writeln!(out, "  watermark {} - {delay}: {}", watermark.column.name, watermark.expr);
    }
    if !table.primary_key.is_empty() {
        let names: Vec<&str> = table.primary_key.iter().map(|column| &*column.name).collect();
        let _ = writeln!(out, "  key {}", names.join(", "));
    }
    let _ = writeln!(out, "  {}", config(&table.item.config));
}

fn config(config: &Config) -> String {
    let keys = config.values.iter().map(|(key, it)| format!("{key}: {}", value(it)));
    format!("{{{}}}", keys.collect::<Vec<_>>().join(", "))
}

fn value(it: &Value) -> String {
    match &it.kind {
        ValueKind::Text(text) => text.clone(),
        // The test knows what it has put in.
        ValueKind::Secret(secret) => format!("secret {}", secret.reveal()),
        ValueKind::Bool(flag) => flag.to_string(),
        ValueKind::Int(number) => number.to_string(),
        ValueKind::List(list) => format!("[{}]", list.iter().map(value).collect::<Vec<_>>().join(", ")),
        ValueKind::Map(map) => {
            let entries = map.iter().map(|(key, it)| format!("{key}: {}", value(it)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        ValueKind::Object(object) => config(object),
    }
}

/// The windows of a query, and where late rows go.
fn describe_query(query: &super::ParsedQuery, out: &mut String) {
    struct Windows<'a>(&'a mut String);
    impl Visitor for Windows<'_> {
        type Break = ();
        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            if let Some(call) = window_call(factor) {
                let keys = match &call.partition_by[..] {
                    [] => String::new(),
                    keys => format!(" by {}", keys.join(", ")),
                };
                let _ = writeln!(self.0, "  window {:?} of {}.{}{keys}", call.kind, call.table, call.time);
            }
            ControlFlow::Continue(())
        }
    }
    let _ = Query::visit(&query.query, &mut Windows(out));
    let reads: Vec<String> =
        query.reads.iter().map(|read| format!("{} {}:{}", read.name, read.at.line, read.at.column)).collect();
    let _ = writeln!(out, "  reads {}", reads.join(", "));
    for late in &query.late {
        let at = &late.select;
        let _ = writeln!(out, "  late of {}:{} into {}", at.line, at.column, late.table.name);
    }
}
