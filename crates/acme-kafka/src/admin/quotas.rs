//! Quotas of users, clients and addresses (KIP-546), and the users' SCRAM credentials (KIP-554).

use super::check;
use crate::client::Client;
use crate::config::ScramHash;
use crate::connection::salted;
use crate::error::{Error, ErrorCode, Result};
use crate::wire::text;
use acme_types::Secret;
use bytes::Bytes;
use kafka_protocol::messages::alter_client_quotas_request as alteration;
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterUserScramCredentialsRequest, DescribeClientQuotasRequest,
    DescribeUserScramCredentialsRequest,
};
use std::collections::BTreeMap;

/// For whom a quota holds: kinds (`user`, `client-id`, `ip`) and names; without a name it is the default.
pub type QuotaEntity = BTreeMap<String, Option<String>>;

/// Whose quotas are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuotaMatch {
    /// Those of one.
    Named(String),
    /// The default.
    Default,
    /// All of a kind.
    Any,
}

/// The quotas of one entity.
#[derive(Clone, Debug, PartialEq)]
pub struct Quotas {
    /// For whom.
    pub entity: QuotaEntity,
    /// Names and values, in the cluster's order.
    pub values: Vec<(String, f64)>,
}

/// What a user logs in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScramCredential {
    /// The mechanism; none for one that is newer than this client.
    pub hash: Option<ScramHash>,
    /// How often the password was hashed.
    pub iterations: i32,
}

/// A change of a user's credentials.
#[derive(Clone, Debug)]
pub enum ScramChange {
    /// Sets the password.
    Set {
        /// The mechanism.
        hash: ScramHash,
        /// How often the password is hashed.
        iterations: u32,
        /// The password.
        password: Secret,
    },
    /// Takes the credential away.
    Delete(ScramHash),
}

fn number(hash: ScramHash) -> i8 {
    match hash {
        ScramHash::Sha256 => 1,
        ScramHash::Sha512 => 2,
    }
}

impl Client {
    /// The quotas of all entities of exactly these kinds.
    ///
    /// # Errors
    /// What the cluster says, as CLUSTER_AUTHORIZATION_FAILED.
    pub async fn quotas(&self, of: &[(&str, QuotaMatch)]) -> Result<Vec<Quotas>> {
        let component = |(kind, name): &(&str, QuotaMatch)| {
            let (how, name) = match name {
                QuotaMatch::Named(name) => (0, Some(text(name))),
                QuotaMatch::Default => (1, None),
                QuotaMatch::Any => (2, None),
            };
            ComponentData::default().with_entity_type(text(kind)).with_match_type(how).with_match(name)
        };
        let request = DescribeClientQuotasRequest::default()
            .with_components(of.iter().map(component).collect())
            .with_strict(true);
        let response = self.send_to_any(&request).await?;
        check(response.error_code, response.error_message, || "quotas".to_owned())?;
        let entries = response.entries.unwrap_or_default().into_iter().map(|entry| Quotas {
            entity: entry
                .entity
                .into_iter()
                .map(|part| (part.entity_type.to_string(), part.entity_name.map(|name| name.to_string())))
                .collect(),
            values: entry.values.into_iter().map(|it| (it.key.to_string(), it.value)).collect(),
        });
        Ok(entries.collect())
    }

    /// Sets (`Some`) or takes away (`None`) quotas of one entity.
    ///
    /// # Errors
    /// What the cluster says, as INVALID_REQUEST for a name or value that cannot be.
    pub async fn alter_quotas(&self, of: &QuotaEntity, changes: &[(&str, Option<f64>)]) -> Result<()> {
        let part = |(kind, name): (&String, &Option<String>)| {
            let name = name.as_deref().map(text);
            alteration::EntityData::default().with_entity_type(text(kind)).with_entity_name(name)
        };
        let op = |(name, value): &(&str, Option<f64>)| {
            let op = alteration::OpData::default().with_key(text(name)).with_remove(value.is_none());
            op.with_value(value.unwrap_or(0.0))
        };
        let entry = alteration::EntryData::default()
            .with_entity(of.iter().map(part).collect())
            .with_ops(changes.iter().map(op).collect());
        let request = AlterClientQuotasRequest::default().with_entries(vec![entry]);
        let response = self.send_to_any(&request).await?;
        for entry in response.entries {
            check(entry.error_code, entry.error_message, || "changing quotas".to_owned())?;
        }
        Ok(())
    }

    /// The credentials of these users, of all that have some if none is named. Who has none is not in the result.
    ///
    /// # Errors
    /// What the cluster says, as CLUSTER_AUTHORIZATION_FAILED.
    pub async fn scram_credentials(&self, users: &[&str]) -> Result<BTreeMap<String, Vec<ScramCredential>>> {
        const RESOURCE_NOT_FOUND: i16 = 91;
        let named: Vec<_> = users.iter().map(|name| UserName::default().with_name(text(name))).collect();
        let request = DescribeUserScramCredentialsRequest::default()
            .with_users(Some(named).filter(|named| !named.is_empty()));
        let response = self.send_to_any(&request).await?;
        check(response.error_code, response.error_message, || "SCRAM credentials".to_owned())?;
        let mut found = BTreeMap::new();
        for result in response.results.into_iter().filter(|it| it.error_code != RESOURCE_NOT_FOUND) {
            let user = result.user.to_string();
            check(result.error_code, result.error_message, || format!("SCRAM credentials of {user}"))?;
            let credentials = result.credential_infos.into_iter().map(|told| ScramCredential {
                hash: [ScramHash::Sha256, ScramHash::Sha512]
                    .into_iter()
                    .find(|it| number(*it) == told.mechanism),
                iterations: told.iterations,
            });
            found.insert(user, credentials.collect());
        }
        Ok(found)
    }

    /// Changes the credentials of a user. Passwords leave this process salted and hashed only.
    ///
    /// # Errors
    /// What the cluster says, as UNACCEPTABLE_CREDENTIAL, or RESOURCE_NOT_FOUND for one that is not there to delete.
    pub async fn alter_scram(&self, user: &str, changes: &[ScramChange]) -> Result<()> {
        let mut request = AlterUserScramCredentialsRequest::default();
        for change in changes {
            match change {
                ScramChange::Delete(hash) => request.deletions.push(
                    ScramCredentialDeletion::default().with_name(text(user)).with_mechanism(number(*hash)),
                ),
                ScramChange::Set { hash, iterations, password } => {
                    let salt: Vec<u8> = (0..4).flat_map(|_| self.world().chance().to_be_bytes()).collect();
                    let salted = salted(*hash, password.reveal().as_bytes(), &salt, *iterations);
                    let upsertion = ScramCredentialUpsertion::default()
                        .with_name(text(user))
                        .with_mechanism(number(*hash))
                        .with_iterations(i32::try_from(*iterations).unwrap_or(i32::MAX))
                        .with_salt(Bytes::from(salt))
                        .with_salted_password(Bytes::from(salted));
                    request.upsertions.push(upsertion);
                }
            }
        }
        let response = self
            .send_to_controller(&request, |response| {
                ErrorCode(response.results.first().map_or(0, |result| result.error_code))
            })
            .await?;
        if response.results.is_empty() {
            return Err(Error::protocol("response AlterUserScramCredentials", "it has no result"));
        }
        for result in response.results {
            check(result.error_code, result.error_message, || {
                format!("changing SCRAM credentials of {user}")
            })?;
        }
        Ok(())
    }
}
