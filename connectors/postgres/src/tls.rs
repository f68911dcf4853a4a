//! TLS as libpq's `sslmode` means it, on rustls with ring.

use crate::wire::WireError;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SslMode {
    /// Never.
    Disable,
    /// If the server can; nothing is verified.
    Prefer,
    /// Encrypted; verified only if a root certificate is given.
    Require,
    /// The certificate must come from a known authority.
    VerifyCa,
    /// And it must be for this host.
    VerifyFull,
}

/// Makes the handshake on a connection whose server has agreed to TLS.
pub(crate) async fn handshake(
    stream: TcpStream,
    host: &str,
    mode: SslMode,
    root: Option<&str>,
) -> Result<TlsStream<TcpStream>, WireError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = verifier(&provider, mode, root)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(tls)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(tls)
}

fn tls(error: impl std::fmt::Display) -> WireError {
    WireError::Tls(error.to_string())
}

fn verifier(
    provider: &Arc<CryptoProvider>,
    mode: SslMode,
    root: Option<&str>,
) -> Result<Arc<dyn ServerCertVerifier>, WireError> {
    // Source: libpq, "Protection Provided in Different Modes": with a root certificate, `require` is `verify-ca`.
    let checks = matches!(mode, SslMode::VerifyCa | SslMode::VerifyFull)
        || (mode == SslMode::Require && root.is_some());
    let chain = if checks {
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(root)?), provider.clone());
        Some(builder.build().map_err(tls)?)
    } else {
        None
    };
    Ok(match chain {
        Some(chain) if mode == SslMode::VerifyFull => chain,
        chain => Arc::new(Lenient { chain, provider: provider.clone() }),
    })
}

/// The authorities of a PEM file, or those of the system.
fn roots(root: Option<&str>) -> Result<RootCertStore, WireError> {
    let mut store = RootCertStore::empty();
    match root {
        Some(path) if path != "system" => {
            let fault =
                |error: &dyn std::fmt::Display| WireError::Tls(format!("sslrootcert {path}: {error}"));
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| fault(&error))? {
                store.add(certificate.map_err(|error| fault(&error))?).map_err(|error| fault(&error))?;
            }
        }
        _ => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(store)
}

/// Verifies less than rustls does by itself, because `sslmode` says so: the chain but not the name, or nothing.
#[derive(Debug)]
struct Lenient {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
