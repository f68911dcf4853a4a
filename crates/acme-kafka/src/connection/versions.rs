//! Which requests a broker knows in which versions, and which features its cluster has switched on.

use crate::error::{Error, ErrorCode, Result};
use crate::wire::common_version;
use kafka_protocol::messages::{ApiKey, ApiVersionsResponse};
use kafka_protocol::protocol::{Request, VersionRange};
use std::collections::BTreeMap;

/// The newest version of a request that this client uses where the codec knows newer ones.
const CAPS: &[(ApiKey, i16)] = &[
    // 17 and 18 carry fields that only replicas fill.
    (ApiKey::Fetch, 16),
    // From 13 on topics go by id; the error of a recreated topic would not say which name it had.
    (ApiKey::Produce, 12),
    // From 4 on only brokers may send it: many transactions in one request.
    (ApiKey::AddPartitionsToTxn, 3),
];

/// The answer to ApiVersions (KIP-35, KIP-511, KIP-584).
#[derive(Clone, Debug, Default)]
pub struct ApiVersions {
    ranges: BTreeMap<i16, VersionRange>,
    features: BTreeMap<String, i16>,
}

impl ApiVersions {
    pub(super) fn read(response: ApiVersionsResponse, broker: &str) -> Result<Self> {
        let code = ErrorCode(response.error_code);
        if code == ErrorCode::UNSUPPORTED_VERSION {
            let what = "ApiVersions 3; brokers from 2.8 on do".to_owned();
            return Err(Error::Unsupported { broker: broker.to_owned(), what });
        }
        code.check(|| format!("ApiVersions of {broker}"))?;
        let range = |min, max| VersionRange { min, max };
        let ranges = response
            .api_keys
            .iter()
            .map(|api| (api.api_key, range(api.min_version, api.max_version)))
            .collect();
        let features = response
            .finalized_features
            .iter()
            .map(|feature| (feature.name.to_string(), feature.max_version_level))
            .collect();
        Ok(Self { ranges, features })
    }

    /// The highest version of a request that both sides know.
    #[must_use]
    pub fn of<R: Request>(&self) -> Option<i16> {
        let cap = CAPS.iter().find(|(key, _)| *key as i16 == R::KEY).map_or(i16::MAX, |(_, max)| *max);
        common_version::<R>(*self.ranges.get(&R::KEY)?, cap)
    }

    /// True if the broker knows the request at all.
    #[must_use]
    pub fn knows(&self, key: i16) -> bool {
        self.ranges.contains_key(&key)
    }

    /// The level of a feature of the cluster, as `transaction.version` or `group.version`; 0 if it has none.
    #[must_use]
    pub fn feature(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::api_versions_response::ApiVersion;
    use kafka_protocol::messages::{AddPartitionsToTxnRequest, FetchRequest, MetadataRequest};

    fn broker(ranges: &[(ApiKey, i16, i16)]) -> ApiVersions {
        let api = |&(key, min, max): &(ApiKey, i16, i16)| {
            ApiVersion::default().with_api_key(key as i16).with_min_version(min).with_max_version(max)
        };
        let response = ApiVersionsResponse::default().with_api_keys(ranges.iter().map(api).collect());
        ApiVersions::read(response, "b:1").unwrap()
    }

    #[test]
    fn the_highest_common_version_is_taken() {
        let old = broker(&[(ApiKey::Fetch, 0, 12), (ApiKey::Metadata, 0, 11)]);
        assert_eq!(old.of::<FetchRequest>(), Some(12));
        assert_eq!(old.of::<MetadataRequest>(), Some(11));
        let new = broker(&[(ApiKey::Fetch, 4, 18), (ApiKey::AddPartitionsToTxn, 0, 5)]);
        assert_eq!(new.of::<FetchRequest>(), Some(16));
        assert_eq!(new.of::<AddPartitionsToTxnRequest>(), Some(3));
        assert_eq!(new.of::<MetadataRequest>(), None);
    }

    #[test]
    fn a_broker_that_is_too_old_is_named() {
        let response = ApiVersionsResponse::default().with_error_code(35);
        let error = ApiVersions::read(response, "b:1").unwrap_err();
        assert_eq!(error.to_string(), "b:1 does not support ApiVersions 3; brokers from 2.8 on do");
    }
}
