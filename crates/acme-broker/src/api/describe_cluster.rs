//! DescribeCluster (KIP-700): this node.

use super::Call;
use super::metadata::{CLUSTER_OPERATIONS, NOT_ASKED};
use crate::context::NODE;
use crate::error::Code;
use crate::frame::text;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};

/// Endpoints of brokers, as opposed to those of controllers (KIP-919).
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(crate) async fn handle(call: &Call, request: DescribeClusterRequest) -> DescribeClusterResponse {
    let response = DescribeClusterResponse::default();
    if call.version >= 1 && request.endpoint_type != BROKERS {
        let (code, message) = match request.endpoint_type {
            CONTROLLERS => (
                Code::MismatchedEndpointType,
                "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
            ),
            _ => (Code::UnsupportedEndpointType, "Unsupported endpoint type"),
        };
        return response.with_error_code(code.code()).with_error_message(Some(text(message)));
    }
    let (host, port) = call.session.advertised.clone();
    let broker =
        DescribeClusterBroker::default().with_broker_id(BrokerId(NODE)).with_host(host).with_port(port);
    let operations =
        if request.include_cluster_authorized_operations { CLUSTER_OPERATIONS } else { NOT_ASKED };
    response
        .with_cluster_id(text(call.context.log.cluster_id()))
        .with_controller_id(BrokerId(NODE))
        .with_brokers(vec![broker])
        .with_cluster_authorized_operations(operations)
}
