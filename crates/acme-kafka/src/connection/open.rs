//! From an address to a connection that is encrypted, logged in, and knows what the broker can do.

use super::{ApiVersions, Connection, sasl};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::wire::text;
use crate::world::World;
use kafka_protocol::messages::ApiVersionsRequest;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The version whose header every broker since 2.4 reads.
const API_VERSIONS: i16 = 3;

impl Connection {
    /// Connects, encrypts, asks for versions, logs in.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Timeout`], [`Error::Tls`], [`Error::Auth`], [`Error::Unsupported`].
    pub(crate) async fn open(
        host: &str,
        port: u16,
        config: &Config,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Result<Self> {
        let address = format!("{host}:{port}");
        let timeout = config.connect_timeout;
        let expired = |what: &str| Error::Timeout { what: format!("{what} {address}"), after: timeout };
        let io = |error: std::io::Error| Error::Io { broker: address.clone(), reason: error.to_string() };
        let world = &config.world;
        if let World::Simulated(simulation) = world {
            let connecting = world.timeout(timeout, simulation.dial(host, port));
            let stream = connecting.await.map_err(|_| expired("connecting to"))?.map_err(io)?;
            let (reading, writing) = tokio::io::split(stream);
            return Self::start(reading, writing, address.clone(), config).introduced(config).await;
        }
        let connecting = world.timeout(timeout, TcpStream::connect((host, port)));
        let stream = connecting.await.map_err(|_| expired("connecting to"))?.map_err(io)?;
        stream.set_nodelay(true).map_err(io)?;
        let connection = match tls {
            None => {
                let (reading, writing) = stream.into_split();
                Self::start(reading, writing, address.clone(), config)
            }
            Some(tls) => {
                let fault = |reason: &dyn std::fmt::Display| Error::Tls {
                    broker: address.clone(),
                    reason: reason.to_string(),
                };
                let name = ServerName::try_from(host.to_owned()).map_err(|error| fault(&error))?;
                let connecting = TlsConnector::from(tls.clone()).connect(name, stream);
                let stream = world
                    .timeout(timeout, connecting)
                    .await
                    .map_err(|_| expired("TLS handshake with"))?
                    .map_err(|error| fault(&error))?;
                let (reading, writing) = tokio::io::split(stream);
                Self::start(reading, writing, address.clone(), config)
            }
        };
        connection.introduced(config).await
    }

    /// Asks for versions, logs in.
    async fn introduced(mut self, config: &Config) -> Result<Self> {
        let after = config.connect_timeout;
        let what = format!("introduction to {}", self.address());
        let introduction = async {
            self.introduce(config).await?;
            sasl::log_in(&mut self, config).await
        };
        let introduced = config.world.timeout(after, introduction).await;
        introduced.map_err(|_| Error::Timeout { what, after })??;
        Ok(self)
    }

    async fn introduce(&mut self, config: &Config) -> Result<()> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(text("acme"))
            .with_client_software_version(text(env!("CARGO_PKG_VERSION")));
        let response = self.send_at(&request, API_VERSIONS, config.request_timeout).await;
        self.versions = ApiVersions::read(response.map_err(|error| hint(error, config))?, self.address())?;
        Ok(())
    }
}

/// The most common mistake there is: a listener for TLS closes a connection that does not begin with a handshake, or
/// answers with an alert, which is no length of a response.
fn hint(error: Error, config: &Config) -> Error {
    const QUESTION: &str = "is this a listener for TLS (security.protocol SSL or SASL_SSL)?";
    if config.security.tls.is_some() {
        return error;
    }
    match error {
        Error::Io { broker, reason } => Error::Io { broker, reason: format!("{reason}; {QUESTION}") },
        Error::Protocol { what, reason } => Error::Protocol { what, reason: format!("{reason}; {QUESTION}") },
        other => other,
    }
}
