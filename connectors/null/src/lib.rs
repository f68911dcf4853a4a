//! `null`: counts rows and drops them, to measure what comes before it.

use acme_connect::{AnySink, Connector, Context, Fates, Maker, Prepared, Rows, Sink, SinkParts};
use acme_types::{Change, Config, Delivery, Diagnostic, Epoch, Role, Spec};

static SPEC: Spec = Spec {
    name: "null",
    role: Role::Destination,
    summary: "Counts rows and drops them.",
    fields: &[],
    delivery: Delivery::Idempotent,
    change: Change::Upsert,
};

/// The destination `null`.
pub static DESTINATION: Connector = Connector { spec: &SPEC, make: Maker::Sink(make) };

#[expect(clippy::unnecessary_wraps, reason = "the signature of every destination")]
fn make(_: &Config, _: &Context) -> Result<SinkParts, Diagnostic> {
    let sink = AnySink::Plain(Box::new(Null));
    let (change, delivery) = (SPEC.change, SPEC.delivery);
    Ok(SinkParts {
        sink,
        format: None,
        takes_documents: false,
        reads: Vec::new(),
        computed: Vec::new(),
        change,
        delivery,
    })
}

struct Null;

impl Sink for Null {
    async fn check(&mut self) -> Vec<Diagnostic> {
        Vec::new()
    }

    async fn open(&mut self, _: Option<&Prepared>) -> Result<(), Diagnostic> {
        Ok(())
    }

    async fn write(&mut self, _: &Rows) -> Result<Fates, Diagnostic> {
        Ok(Fates::new())
    }

    async fn prepare(&mut self, _: Epoch, _: bool) -> Result<Prepared, Diagnostic> {
        Ok(Prepared::new())
    }

    async fn commit(&mut self, _: Epoch) -> Result<(), Diagnostic> {
        Ok(())
    }
}
