//! Tokens of an OAuth server: fetched with client credentials, shown to brokers, renewed before they expire (KIP-768, KIP-368).

use acme_kafka::properties::Properties;
use acme_kafka::{Client, Config, Error};
use acme_lab::http::{Act, Http};
use acme_lab::kafka::{Kafka, Tls};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const ID: &str = "acme client";
const SECRET: &str = "p:s%&s w";

/// A token as Kafka takes it that checks no signature, good for years.
fn token(number: u32) -> String {
    let claims = format!("{{\"sub\":\"acme\",\"iat\":1600000000,\"exp\":4000000000,\"jti\":\"{number}\"}}");
    format!("eyJhbGciOiJub25lIn0.{}.", URL_SAFE_NO_PAD.encode(claims))
}

fn config(kafka: &Kafka, url: &str, more: &str) -> Config {
    let text = format!(
        "bootstrap.servers={}\nsecurity.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\n\
         sasl.oauthbearer.token.endpoint.url={url}\nssl.truststore.location={}\n{more}\n\
         default.api.timeout.ms=60000\n",
        kafka.secured(),
        kafka.authority().display()
    );
    Properties::parse(&text).settings().unwrap().client
}

/// Lets a server of HTTP be reached by TLS, with the certificate of the cluster's nodes; its URL.
async fn behind_tls(http: &Http, folder: &Path) -> String {
    let chain = CertificateDer::pem_file_iter(folder.join("server.crt")).unwrap().map(Result::unwrap);
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.collect(), key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = http.url.strip_prefix("http://").unwrap().to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, target) = (acceptor.clone(), target.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut server = TcpStream::connect(target).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
            });
        }
    });
    format!("https://127.0.0.1:{port}/oauth/token")
}

#[tokio::test]
async fn a_token_is_fetched_shown_and_renewed_while_brokers_ask_for_new_logins() {
    // After a second a broker wants to see a token again.
    let kafka = Kafka::options().tls(Tls::Server).sasl().set("connections.max.reauth.ms", 1_000);
    let kafka = kafka.start().unwrap();
    let count = Arc::new(AtomicU32::new(0));
    let of_server = count.clone();
    let http = Http::start(move |_| {
        let number = of_server.fetch_add(1, Ordering::Relaxed);
        match number % 3 {
            // Now and then it cannot answer, also at first.
            0 => Act::Answer(503, "busy".to_owned()),
            _ => Act::Answer(
                200,
                format!(
                    "{{\"access_token\":\"{}\",\"token_type\":\"Bearer\",\"expires_in\":2}}",
                    token(number)
                ),
            ),
        }
    });
    let http = http.unwrap();
    let url = behind_tls(&http, kafka.folder()).await;
    let more = format!(
        "sasl.oauthbearer.client.credentials.client.id={ID}\n\
         sasl.oauthbearer.client.credentials.client.secret={SECRET}\nsasl.oauthbearer.scope=a b"
    );
    let client = Client::connect(config(&kafka, &url, &more)).await.unwrap();
    let working = async {
        while count.load(Ordering::Relaxed) < 8 {
            client.refresh(&[]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), working).await.unwrap();
    for request in http.seen("") {
        assert_eq!(request.line, "POST /oauth/token HTTP/1.1");
        let expected = format!("authorization: Basic {}", STANDARD.encode(format!("{ID}:{SECRET}")));
        assert!(request.headers.contains(&expected), "{}", request.headers);
        assert_eq!(request.body, "grant_type=client_credentials&scope=a+b");
    }
}

#[tokio::test]
async fn who_gets_no_token_is_told_why_in_the_servers_words() {
    let kafka = Kafka::options().tls(Tls::Server).sasl().start().unwrap();
    let http = Http::start(|_| {
        let body = r#"{"error":"invalid_client","error_description":"the client is not known"}"#;
        Act::Answer(401, body.to_owned())
    });
    let http = http.unwrap();
    let jaas = "sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
                clientId=\"me\" clientSecret=\"hunter2\" scope=\"s\";";
    let error = Client::connect(config(&kafka, &http.url, jaas)).await.unwrap_err();
    assert!(matches!(error, Error::Auth { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("invalid_client: the client is not known"), "{text}");
    assert!(text.contains("token endpoint 127.0.0.1:") && !text.contains("hunter2"), "{text}");
    assert_eq!(http.seen("POST / ").len(), 1, "it is not asked again");
    assert_eq!(http.seen("POST / ")[0].body, "grant_type=client_credentials&scope=s");

    // A server that nobody trusts.
    let url = behind_tls(&http, kafka.folder()).await;
    let mut distrustful = config(&kafka, &url, jaas);
    distrustful.operation_timeout = Duration::from_secs(2);
    distrustful.security.sasl = {
        let text = format!(
            "bootstrap.servers=a:1\nsecurity.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\n{jaas}\n\
             sasl.oauthbearer.token.endpoint.url={url}"
        );
        Properties::parse(&text).settings().unwrap().client.security.sasl
    };
    let error = Client::connect(distrustful).await.unwrap_err().to_string();
    assert!(error.contains("no token for the login") && error.contains("certificate"), "{error}");
}
