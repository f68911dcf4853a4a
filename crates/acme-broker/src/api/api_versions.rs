//! ApiVersions (KIP-35, KIP-511): what is served, from the one table.

use super::{Call, Reply, TABLE};
use crate::error::Code;
use crate::frame::{self, text};
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, ProduceRequest};
use kafka_protocol::protocol::Request;

/// Features with the lowest and highest level that is known, and the level in force (KIP-584). The metadata version is that
/// of Kafka 4.1; transactions are those of KIP-890, groups those of KIP-848.
const FEATURES: &[(&str, i16, i16, i16)] =
    &[("group.version", 0, 1, 1), ("metadata.version", 7, 27, 27), ("transaction.version", 0, 2, 2)];

pub(crate) async fn handle(call: &Call, request: ApiVersionsRequest) -> ApiVersionsResponse {
    let is_valid = call.version < 3
        || (is_name(&request.client_software_name) && is_name(&request.client_software_version));
    if !is_valid {
        return ApiVersionsResponse::default().with_error_code(Code::InvalidRequest.code());
    }
    let apis = TABLE.iter().map(|api| {
        // As Kafka does (KAFKA-18659): librdkafka of some years takes a higher one for a broker without compression.
        let min = if api.key == ProduceRequest::KEY { 0 } else { api.min };
        ApiVersion::default().with_api_key(api.key).with_min_version(min).with_max_version(api.max)
    });
    let mut apis: Vec<ApiVersion> = apis.collect();
    apis.sort_by_key(|api| api.api_key);
    let response = ApiVersionsResponse::default().with_api_keys(apis);
    if call.version < 3 {
        return response;
    }
    let supported = FEATURES
        .iter()
        // Clients of version 3 take a feature whose lowest level is 0 for an error.
        .filter(|(_, min, ..)| *min > 0 || call.version >= 4)
        .map(|(name, min, max, _)| {
            SupportedFeatureKey::default().with_name(text(name)).with_min_version(*min).with_max_version(*max)
        });
    let finalized = FEATURES.iter().map(|(name, _, _, level)| {
        let feature = FinalizedFeatureKey::default().with_name(text(name));
        feature.with_min_version_level(*level).with_max_version_level(*level)
    });
    response
        .with_supported_features(supported.collect())
        .with_finalized_features(finalized.collect())
        .with_finalized_features_epoch(0)
}

/// The answer to a version that is not known: in version 0, with the versions of this one request.
pub(crate) fn unsupported(correlation: i32) -> Result<Reply, frame::Refused> {
    let own = TABLE.iter().filter(|api| api.key == ApiVersionsRequest::KEY);
    let own = own.map(|api| {
        ApiVersion::default().with_api_key(api.key).with_min_version(api.min).with_max_version(api.max)
    });
    let response = ApiVersionsResponse::default()
        .with_error_code(Code::UnsupportedVersion.code())
        .with_api_keys(own.collect());
    frame::encode(&response, ApiVersionsRequest::KEY, 0, correlation).map(Reply::of)
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`
fn is_name(name: &str) -> bool {
    let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    is_edge(bytes.first())
        && is_edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}
