//! The one list of connectors.

use acme_connect::Connector;
use acme_types::Spec;

/// Every source and destination of this binary.
pub static CONNECTORS: &[&Connector] = &[
    &connector_elasticsearch::DESTINATION,
    &connector_file::SOURCE,
    &connector_file::DESTINATION,
    &connector_generator::SOURCE,
    &connector_kafka::SOURCE,
    &connector_kafka::DESTINATION,
    &connector_null::DESTINATION,
    &connector_postgres::SOURCE,
    &connector_postgres::DESTINATION,
    &connector_stdout::DESTINATION,
];

/// The descriptions of all connectors and transforms.
#[must_use]
pub fn specs() -> Vec<&'static Spec> {
    CONNECTORS.iter().map(|connector| connector.spec).chain(acme_plan::SPECS.iter().copied()).collect()
}
