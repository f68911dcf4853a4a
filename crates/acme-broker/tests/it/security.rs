//! Who may come in, and over what.

use crate::support::{Server, Wire, open, text};
use acme_broker::{Broker, Error, Options, Tls};
use acme_types::Secret;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError as Code;
use kafka_protocol::messages::{
    ApiVersionsRequest, MetadataRequest, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn with_user(options: &mut Options) {
    options.users.insert("alice".to_owned(), Secret::new("secret-7".to_owned()));
}

fn handshake(mechanism: &str) -> SaslHandshakeRequest {
    SaslHandshakeRequest::default().with_mechanism(text(mechanism))
}

fn token(bytes: &'static [u8]) -> SaslAuthenticateRequest {
    SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from_static(bytes))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_knows_the_password_comes_in_and_nobody_else() {
    let server = Server::with(with_user).await;
    let mut wire = server.wire().await;
    assert!(wire.ask(&ApiVersionsRequest::default(), 0).await.api_keys.len() > 10);
    let answer = wire.ask(&handshake("PLAIN"), 1).await;
    assert_eq!((answer.error_code, answer.mechanisms), (0, vec![text("PLAIN")]));
    assert_eq!(wire.ask(&token(b"\0alice\0secret-7"), 2).await.error_code, 0);
    assert_eq!(wire.ask(&MetadataRequest::default(), 9).await.brokers.len(), 1);
    let again = wire.ask(&handshake("PLAIN"), 1).await;
    assert_eq!(again.error_code, Code::IllegalSaslState.code());

    let wrong: [&'static [u8]; 7] = [
        b"\0alice\0secret-8",
        b"\0alice\0",
        b"\0bob\0secret-7",
        b"\0\0",
        b"bob\0alice\0secret-7",
        b"alice",
        b"\0alice\0secret-7\0",
    ];
    for token_bytes in wrong {
        let mut wire = server.wire().await;
        wire.ask(&handshake("PLAIN"), 1).await;
        let answer = wire.ask(&token(token_bytes), 2).await;
        assert_eq!(answer.error_code, Code::SaslAuthenticationFailed.code());
        assert!(!answer.error_message.unwrap().contains("secret"));
        assert!(wire.frame().await.is_none(), "and the connection ends");
    }
    let mut wire = server.wire().await;
    let answer = wire.ask(&handshake("GSSAPI"), 1).await;
    assert_eq!(answer.error_code, Code::UnsupportedSaslMechanism.code());
    assert!(wire.frame().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_before_authentication_ends_the_connection() {
    let server = Server::with(with_user).await;
    let mut wire = server.wire().await;
    wire.send(&MetadataRequest::default(), 9).await;
    assert!(wire.frame().await.is_none());
    let mut wire = server.wire().await;
    wire.ask(&handshake("PLAIN"), 1).await;
    wire.send(&MetadataRequest::default(), 9).await;
    assert!(wire.frame().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_handshake_is_followed_by_a_bare_token() {
    let server = Server::with(with_user).await;
    for (token, is_right) in [(&b"\0alice\0secret-7"[..], true), (b"\0alice\0no", false)] {
        let mut wire = server.wire().await;
        wire.ask(&handshake("PLAIN"), 0).await;
        let mut bytes = BytesMut::new();
        bytes.put_u32(token.len() as u32);
        bytes.put_slice(token);
        wire.stream.write_all(&bytes).await.unwrap();
        assert_eq!(wire.frame().await.map(|frame| frame.len()), is_right.then_some(0));
        if is_right {
            assert_eq!(wire.ask(&MetadataRequest::default(), 1).await.brokers.len(), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_users_sasl_is_out_of_place() {
    let server = Server::start().await;
    let mut wire = server.wire().await;
    assert_eq!(wire.ask(&handshake("PLAIN"), 1).await.error_code, Code::IllegalSaslState.code());
    assert_eq!(wire.ask(&token(b"\0a\0b"), 2).await.error_code, Code::IllegalSaslState.code());
}

#[tokio::test(flavor = "multi_thread")]
async fn listening_elsewhere_needs_tls_and_users_or_an_explicit_word() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let anywhere = || Options { listen: Some("0.0.0.0:0".parse().unwrap()), ..Options::default() };
    let mut with_users = anywhere();
    with_user(&mut with_users);
    for options in [anywhere(), with_users] {
        let refused = Broker::start(log.clone(), options).await.err().expect("it is refused");
        assert!(matches!(refused, Error::Exposed(_)), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_everything_is_the_same_and_plain_text_is_not_understood() {
    let folder = tempfile::tempdir().unwrap();
    let (certificates, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificates)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let tls = Tls { certificates: certificates.clone(), key };
    let server = Server::with(|options| options.tls = Some(tls)).await;

    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(&certificates).unwrap()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let stream = tokio::net::TcpStream::connect(server.broker.address().unwrap()).await.unwrap();
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let mut wire = Wire::new(stream);
    assert_eq!(wire.ask(&MetadataRequest::default(), 9).await.brokers.len(), 1);

    let mut plain = server.wire().await;
    plain.send(&MetadataRequest::default(), 9).await;
    // An alert, and the end.
    let mut rest = Vec::new();
    let _ = plain.stream.read_to_end(&mut rest).await;
    assert!(rest.len() < 20, "{rest:?}");
}
