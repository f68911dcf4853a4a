//! TLS as Kafka's `ssl.*` settings mean it, on rustls with ring.

use crate::config::{Identity, Pem, Tls};
use crate::error::{Error, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::fmt::Display;
use std::sync::Arc;

/// Reads certificates and keys once, for all connections of a client. Reads files: not for an async thread.
pub(crate) fn client_config(tls: &Tls) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let roots = Arc::new(roots(tls.authorities.as_ref())?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
        .build()
        .map_err(|error| fault("authorities", &error))?;
    let verifier: Arc<dyn ServerCertVerifier> =
        if tls.verify_host { verifier } else { Arc::new(AnyHost(verifier)) };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| fault("protocol versions", &error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificates, key }) => builder
            .with_client_auth_cert(chain(certificates)?, private_key(key)?)
            .map_err(|error| fault(&place(certificates), &error))?,
    };
    Ok(Arc::new(config))
}

fn fault(broker: &str, reason: &dyn Display) -> Error {
    Error::Tls { broker: broker.to_owned(), reason: reason.to_string() }
}

fn place(pem: &Pem) -> String {
    match pem {
        Pem::File(path) => path.clone(),
        Pem::Text(_) => "PEM text of the configuration".to_owned(),
    }
}

fn read(pem: &Pem) -> Result<Vec<u8>> {
    match pem {
        Pem::File(path) => std::fs::read(path).map_err(|error| fault(path, &error)),
        Pem::Text(text) => Ok(text.reveal().as_bytes().to_vec()),
    }
}

fn chain(pem: &Pem) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = read(pem)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| fault(&place(pem), &error))?;
    if chain.is_empty() { Err(fault(&place(pem), &"it holds no certificate")) } else { Ok(chain) }
}

fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(&read(pem)?).map_err(|error| {
        fault(&place(pem), &format!("no private key can be read (is it encrypted?): {error}"))
    })
}

/// The authorities of a PEM text, or those of the system.
fn roots(authorities: Option<&Pem>) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match authorities {
        Some(pem) => {
            for certificate in chain(pem)? {
                store.add(certificate).map_err(|error| fault(&place(pem), &error))?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(store)
}

/// Verifies the chain but not the name, for `ssl.endpoint.identification.algorithm=` (empty).
#[derive(Debug)]
struct AnyHost(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyHost {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
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
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
