//! Tokens from an OAuth server, for OAUTHBEARER (KIP-768): client credentials are shown at the token endpoint, and the token
//! is renewed before it expires.
//!
//! Nothing runs in the background: whoever logs in asks for a token, and gets the present one until four fifths of its
//! life are over. While the server cannot be reached, the present one goes on until its end.

mod http;

use crate::config::{Pem, Tls, TokenFault, TokenFuture, TokenProvider};
use crate::connection::client_config;
use acme_types::Secret;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Endpoint;
use serde_json::Value;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// How long the server may take: less than a connection to a broker may, which waits for it.
const PATIENCE: Duration = Duration::from_secs(8);
/// The pause after a failure while the present token is good.
const PAUSE: Duration = Duration::from_secs(10);

/// An OAuth client, and the token that it has.
pub(crate) struct ClientCredentials {
    endpoint: Endpoint,
    authorities: Option<Pem>,
    authorization: Secret,
    form: String,
    present: tokio::sync::Mutex<Option<Present>>,
}

/// A token, and how long it is good.
struct Present {
    token: Secret,
    renewed_at: Instant,
    until: Instant,
}

/// Who asks for a token, and for what.
pub(crate) struct Client<'a> {
    pub(crate) id: &'a str,
    pub(crate) secret: &'a str,
    pub(crate) scope: Option<&'a str>,
    /// Whether id and secret are written as in a URL before they are sent (`sasl.oauthbearer.header.urlencode`).
    pub(crate) encodes: bool,
}

impl ClientCredentials {
    /// What is wrong with the URL is said without showing it.
    pub(crate) fn new(
        url: &str,
        client: &Client<'_>,
        authorities: Option<Pem>,
    ) -> Result<Self, &'static str> {
        let endpoint = Endpoint::parse(url)?;
        if !endpoint.https && !endpoint.is_loopback() {
            return Err("http would show the client's secret to the network: use https");
        }
        let (id, secret) = match client.encodes {
            true => (encoded(client.id), encoded(client.secret)),
            false => (client.id.to_owned(), client.secret.to_owned()),
        };
        let authorization = Secret::new(format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))));
        let scope = client.scope.map(|scope| format!("&scope={}", encoded(scope))).unwrap_or_default();
        let form = format!("grant_type=client_credentials{scope}");
        Ok(Self { endpoint, authorities, authorization, form, present: tokio::sync::Mutex::default() })
    }

    async fn give(&self) -> Result<Secret, TokenFault> {
        // Many who need one wait for the same.
        let mut present = self.present.lock().await;
        let now = Instant::now();
        if let Some(known) = present.as_ref().filter(|known| now < known.renewed_at) {
            return Ok(known.token.clone());
        }
        let late = |_| Err(TokenFault::passing(format!("no answer within {PATIENCE:?}")));
        match tokio::time::timeout(PATIENCE, self.fetch()).await.unwrap_or_else(late) {
            Ok((token, life)) => {
                let (renewed_at, until) = (now + life.mul_f64(0.8), now + life);
                *present = Some(Present { token: token.clone(), renewed_at, until });
                Ok(token)
            }
            Err(fault) => match present.as_mut().filter(|known| now < known.until) {
                Some(known) => {
                    known.renewed_at = now + PAUSE;
                    Ok(known.token.clone())
                }
                None => Err(TokenFault {
                    reason: format!("token endpoint {}: {}", self.endpoint.address(), fault.reason),
                    ..fault
                }),
            },
        }
    }

    async fn fetch(&self) -> Result<(Secret, Duration), TokenFault> {
        let tls = match self.endpoint.https {
            false => None,
            true => {
                let tls = Tls { authorities: self.authorities.clone(), ..Tls::default() };
                let reading = tokio::task::spawn_blocking(move || client_config(&tls)).await;
                let config = reading.map_err(|error| error.to_string())?;
                Some(config.map_err(|error| error.to_string())?)
            }
        };
        let sent = self.endpoint.post(tls.as_ref(), self.authorization.reveal(), &self.form).await;
        let (status, body) = sent.map_err(TokenFault::passing)?;
        match status {
            200 => token_of(&body).map_err(TokenFault::from),
            429 | 500.. => Err(TokenFault::passing(format!("HTTP status {status}"))),
            _ => Err(TokenFault::from(refusal(status, &body))),
        }
    }
}

impl TokenProvider for ClientCredentials {
    fn token(&self) -> TokenFuture<'_> {
        Box::pin(self.give())
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientCredentials({})", self.endpoint.address())
    }
}

/// Token and lifetime out of an answer. One that tells no lifetime is used once.
///
/// Source: RFC 6749, 5.1; the claim `exp` of RFC 7519.
fn token_of(body: &[u8]) -> Result<(Secret, Duration), String> {
    let answer: Value = serde_json::from_slice(body).map_err(|_| "its answer is no JSON")?;
    let token = answer.get("access_token").and_then(Value::as_str).ok_or("its answer has no access_token")?;
    // Others would end the message that it is sent in (RFC 6750, 2.1).
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("its access_token has characters that no token has".to_owned());
    }
    let seconds = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
    let told = answer.get("expires_in").and_then(seconds);
    let life = told.or_else(|| expiry(token).map(|until| until - since_1970()));
    // A day is long enough to ask again, whatever the server says.
    let life = Duration::from_secs_f64(life.unwrap_or(0.0).clamp(0.0, 86_400.0));
    Ok((Secret::new(token.to_owned()), life))
}

/// When a JWT says that it ends, in seconds since 1970.
fn expiry(token: &str) -> Option<f64> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    serde_json::from_slice::<Value>(&claims).ok()?.get("exp")?.as_f64()
}

#[expect(clippy::disallowed_methods, reason = "a token carries the time of day")]
fn since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// What a server says that gives no token (RFC 6749, 5.2).
fn refusal(status: u16, body: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let words = ["error", "error_description"].map(|name| answer.get(name).and_then(Value::as_str));
    let words: Vec<&str> = words.into_iter().flatten().collect();
    match words.is_empty() {
        true => format!("HTTP status {status}"),
        false => words.join(": "),
    }
}

/// Text as a form has it.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lives_as_long_as_its_server_or_it_says() {
        let life = |body: &str| token_of(body.as_bytes()).map(|(_, life)| life.as_secs());
        assert_eq!(life(r#"{"access_token":"a","expires_in":60}"#), Ok(60));
        assert_eq!(life(r#"{"access_token":"a","expires_in":"60"}"#), Ok(60));
        assert_eq!(life(r#"{"access_token":"a"}"#), Ok(0));
        assert_eq!(life(r#"{"access_token":"a","expires_in":-5}"#), Ok(0));
        assert_eq!(life(r#"{"access_token":"a","expires_in":1e300}"#), Ok(86_400));
        let claims = URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{}}}", since_1970() + 100.0));
        let told = life(&format!(r#"{{"access_token":"x.{claims}.y"}}"#)).unwrap();
        assert!((90..=100).contains(&told), "{told}");
        for wrong in ["", "[]", "{}", r#"{"access_token":""}"#, r#"{"access_token":"a\u0001b"}"#] {
            assert!(life(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        let body = br#"{"error":"invalid_client","error_description":"no such client"}"#;
        assert_eq!(refusal(401, body), "invalid_client: no such client");
        assert_eq!(refusal(404, b"<html>"), "HTTP status 404");
    }

    #[test]
    fn a_secret_is_not_sent_over_a_network_in_the_clear() {
        let client = Client { id: "a", secret: "hunter2", scope: Some("a b&c"), encodes: false };
        let new = |url| ClientCredentials::new(url, &client, None);
        assert!(new("http://idp.example/t").is_err());
        let made = new("https://idp.example/t").unwrap();
        assert_eq!(made.form, "grant_type=client_credentials&scope=a+b%26c");
        assert!(!format!("{made:?}").contains("hunter2"));
    }
}
