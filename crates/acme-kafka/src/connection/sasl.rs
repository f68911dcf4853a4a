//! The login: SaslHandshake names the mechanism, SaslAuthenticate carries its messages (KIP-43, KIP-152, KIP-368).

use super::Connection;
use super::scram::Scram;
use crate::config::{Config, Sasl, TokenFault};
use crate::error::{Error, ErrorCode, Result};
use crate::wire::{Frame, Reader, Short, text};
use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, SaslAuthenticateRequest, SaslHandshakeRequest};
use std::time::Duration;

/// The one version of SaslHandshake after which SaslAuthenticate follows. It is not a flexible one.
const HANDSHAKE: i16 = 1;

/// Logs in if the configuration says so.
pub(super) async fn log_in(connection: &mut Connection, config: &Config) -> Result<()> {
    let Some(sasl) = &config.security.sasl else { return Ok(()) };
    handshake(connection, sasl, config.request_timeout).await?;
    let lifetime = match sasl {
        Sasl::Plain { username, password } => {
            plain_is_sendable(username, password.reveal()).map_err(|reason| denied(connection, reason))?;
            let message = format!("\0{username}\0{}", password.reveal());
            authenticate(connection, message.into()).await?.1
        }
        Sasl::Scram { hash, username, password } => {
            let mut scram = Scram::new(*hash, username, password.clone(), nonce(connection)?);
            let (challenge, _) = authenticate(connection, scram.first().into()).await?;
            let message = scram.answer(&challenge).map_err(|reason| denied(connection, reason))?;
            let (verdict, lifetime) = authenticate(connection, message.into()).await?;
            scram.verify(&verdict).map_err(|reason| denied(connection, reason))?;
            lifetime
        }
        Sasl::OauthBearer { token, extensions } => {
            let token = token.token().await.map_err(|fault| without_token(connection, fault))?;
            let extensions: String =
                extensions.iter().map(|(name, value)| format!("\u{1}{name}={value}")).collect();
            let message = format!("n,,\u{1}auth=Bearer {}{extensions}\u{1}\u{1}", token.reveal());
            let (verdict, lifetime) = authenticate(connection, message.into()).await?;
            if !verdict.is_empty() {
                // RFC 7628, 3.2.2: a failure comes as a challenge that says why.
                return Err(denied(connection, String::from_utf8_lossy(&verdict).into_owned()));
            }
            lifetime
        }
    };
    // Kafka's own clients renew between 85 and 95 % of the lifetime; here the pool opens a new connection.
    connection.expires = (lifetime > 0)
        .then(|| config.world.now() + Duration::from_millis(u64::try_from(lifetime).unwrap_or(0) / 100 * 85));
    Ok(())
}

/// Without a token there is no login, now or ever.
fn without_token(connection: &Connection, fault: TokenFault) -> Error {
    match fault.is_passing {
        false => denied(connection, fault.reason),
        true => Error::Io {
            broker: connection.address().to_owned(),
            reason: format!("no token for the login: {}", fault.reason),
        },
    }
}

fn denied(connection: &Connection, reason: impl Into<String>) -> Error {
    Error::Auth { broker: connection.address().to_owned(), reason: reason.into() }
}

fn plain_is_sendable(username: &str, password: &str) -> std::result::Result<(), &'static str> {
    if username.contains('\0') || password.contains('\0') {
        return Err("PLAIN cannot carry a zero byte in user or password");
    }
    Ok(())
}

async fn handshake(connection: &Connection, sasl: &Sasl, timeout: Duration) -> Result<()> {
    let request = SaslHandshakeRequest::default().with_mechanism(text(sasl.mechanism()));
    let frame = Frame::of(&connection.client_id, &request, HANDSHAKE)?;
    let key = ApiKey::SaslHandshake as i16;
    let answer = connection.queue(frame).await?;
    let bytes = connection.shared.wait(answer, key, timeout).await?;
    let (code, offered) =
        read_handshake(bytes).map_err(|error| Error::protocol("response SaslHandshake", error))?;
    if code.is_ok() {
        return Ok(());
    }
    let mechanism = sasl.mechanism();
    let reason = match offered.is_empty() {
        true => "this listener takes no login (security.protocol PLAINTEXT or SSL)".to_owned(),
        false => {
            format!("{}: asked for {mechanism}, the broker offers {}", code.message(), offered.join(", "))
        }
    };
    Err(denied(connection, reason))
}

pub(crate) fn read_handshake(bytes: Bytes) -> std::result::Result<(ErrorCode, Vec<String>), Short> {
    let mut reader = Reader::new(bytes);
    reader.i32()?;
    let code = ErrorCode(reader.i16()?);
    let mut offered = Vec::new();
    for _ in 0..reader.i32()? {
        offered.push(reader.short_string()?.to_string());
    }
    Ok((code, offered))
}

/// One message there and one back, with the lifetime of the session in ms (0: for ever).
async fn authenticate(connection: &Connection, message: Bytes) -> Result<(Bytes, i64)> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(message);
    let response = connection.send(&request).await?;
    let code = ErrorCode(response.error_code);
    if !code.is_ok() {
        let words = response.error_message.map(|text| text.to_string()).filter(|text| !text.is_empty());
        return Err(denied(connection, words.unwrap_or_else(|| code.message().to_owned())));
    }
    Ok((response.auth_bytes, response.session_lifetime_ms))
}

/// 24 letters and digits that nobody can guess.
fn nonce(connection: &Connection) -> Result<String> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0; 24];
    let provider = rustls::crypto::ring::default_provider();
    provider
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| denied(connection, "the system gives no random numbers"))?;
    Ok(bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte & 63)])).collect())
}
