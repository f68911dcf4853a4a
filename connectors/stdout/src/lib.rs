//! `stdout`: rows as JSON lines on standard output, for looking and for pipes.
//!
//! A row is written when it arrives. After a crash the rows since the last commit come again: at least once.

use acme_connect::{AnySink, Connector, Context, Fates, Format, Maker, Prepared, Rows, Sink, SinkParts};
use acme_types::{Change, Config, Delivery, Diagnostic, Epoch, Role, Spec, codes};
use std::io::{self, Write};

static SPEC: Spec = Spec {
    name: "stdout",
    role: Role::Destination,
    summary: "Writes rows as JSON lines to standard output.",
    fields: &[],
    delivery: Delivery::AtLeastOnce,
    change: Change::Upsert,
};

/// The destination `stdout`.
pub static DESTINATION: Connector = Connector { spec: &SPEC, make: Maker::Sink(make) };

#[expect(clippy::unnecessary_wraps, reason = "the signature of every destination")]
fn make(_: &Config, _: &Context) -> Result<SinkParts, Diagnostic> {
    let sink = AnySink::Plain(Box::new(Stdout));
    let (change, delivery) = (SPEC.change, SPEC.delivery);
    Ok(SinkParts {
        sink,
        format: Some(Format::Json),
        takes_documents: false,
        reads: Vec::new(),
        computed: Vec::new(),
        change,
        delivery,
    })
}

struct Stdout;

impl Sink for Stdout {
    async fn check(&mut self) -> Vec<Diagnostic> {
        Vec::new()
    }

    async fn open(&mut self, _: Option<&Prepared>) -> Result<(), Diagnostic> {
        Ok(())
    }

    async fn write(&mut self, rows: &Rows) -> Result<Fates, Diagnostic> {
        let encoded = rows.encoded.as_ref().expect("this destination takes bytes");
        let mut out = io::stdout().lock();
        out.write_all(&encoded.bytes).and_then(|()| out.flush()).map_err(|error| {
            Diagnostic::new(&codes::DISK, format!("cannot write to standard output: {error}"))
        })?;
        Ok(Fates::new())
    }

    async fn prepare(&mut self, _: Epoch, _: bool) -> Result<Prepared, Diagnostic> {
        Ok(Prepared::new())
    }

    async fn commit(&mut self, _: Epoch) -> Result<(), Diagnostic> {
        Ok(())
    }
}
