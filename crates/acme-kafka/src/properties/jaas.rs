//! Logins as Kafka's properties give them: `sasl.mechanism` and `sasl.jaas.config`.

use super::{Fault, Properties, fault};
use crate::config::{Sasl, ScramHash, TokenFuture, TokenProvider};
use acme_types::Secret;
use std::path::PathBuf;
use std::sync::Arc;

const JAAS: &str = "sasl.jaas.config";
const ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";

impl Properties {
    pub(super) fn sasl(&self) -> Result<Sasl, Fault> {
        let known = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];
        let Some(mechanism) = self.word("sasl.mechanism", &known)? else {
            let help = format!("set it to one of {}", known.join(", "));
            return Err(fault("sasl.mechanism", "\"sasl.mechanism\" is missing".to_owned(), Some(help)));
        };
        let mechanism = mechanism.to_ascii_uppercase();
        if mechanism == "OAUTHBEARER" {
            return self.oauth();
        }
        let (module, options) = self.jaas()?;
        let expected = if mechanism == "PLAIN" { "PlainLoginModule" } else { "ScramLoginModule" };
        if module != expected {
            let help = format!("begin it with `{expected} required`, which belongs to {mechanism}");
            return Err(fault(JAAS, format!("\"{JAAS}\" names another login module"), Some(help)));
        }
        let option = |key: &str| {
            options.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone()).ok_or_else(|| {
                fault(
                    JAAS,
                    format!("\"{JAAS}\" has no {key}"),
                    Some(format!("add {key}=\"…\" before the semicolon")),
                )
            })
        };
        let (username, password) = (option("username")?, Secret::new(option("password")?));
        Ok(match mechanism.as_str() {
            "PLAIN" => Sasl::Plain { username, password },
            "SCRAM-SHA-256" => Sasl::Scram { hash: ScramHash::Sha256, username, password },
            _ => Sasl::Scram { hash: ScramHash::Sha512, username, password },
        })
    }

    /// A token that something else keeps fresh in a file (KIP-1139).
    fn oauth(&self) -> Result<Sasl, Fault> {
        let path = self.get(ENDPOINT).and_then(|url| url.strip_prefix("file://"));
        let Some(path) = path.filter(|path| path.starts_with('/')) else {
            let help = format!(
                "set {ENDPOINT} to `file:///…`: a file that holds the token, which your identity provider's agent renews"
            );
            return Err(fault(ENDPOINT, "it is not said where the token comes from".to_owned(), Some(help)));
        };
        let mut extensions = Vec::new();
        if self.get(JAAS).is_some() {
            let extension =
                |(name, value): (String, String)| Some((name.strip_prefix("extension_")?.to_owned(), value));
            extensions = self.jaas()?.1.into_iter().filter_map(extension).collect();
        }
        Ok(Sasl::OauthBearer { token: Arc::new(TokenFile(PathBuf::from(path))), extensions })
    }

    /// The login module's bare name, and its options.
    fn jaas(&self) -> Result<(String, Vec<(String, String)>), Fault> {
        let Some(text) = self.get(JAAS) else {
            let help = "such as `org.apache.kafka.common.security.plain.PlainLoginModule required username=\"…\" password=\"…\";`";
            return Err(fault(JAAS, format!("\"{JAAS}\" is missing"), Some(help.to_owned())));
        };
        // What stands in it may be a password, so nothing of it is shown.
        let malformed = || {
            let help = "write `MODULE required NAME=\"VALUE\" …;`, values in double quotes";
            fault(JAAS, format!("\"{JAAS}\" cannot be read"), Some(help.to_owned()))
        };
        let text = text.trim_end().strip_suffix(';').ok_or_else(malformed)?;
        let (module, rest) = text.trim_start().split_once(char::is_whitespace).ok_or_else(malformed)?;
        let module = module.rsplit('.').next().unwrap_or(module).to_owned();
        let (flag, mut rest) =
            rest.trim_start().split_once(char::is_whitespace).unwrap_or((rest.trim_start(), ""));
        if !flag.eq_ignore_ascii_case("required") {
            return Err(malformed());
        }
        let mut options = Vec::new();
        loop {
            rest = rest.trim_start();
            if rest.is_empty() {
                return Ok((module, options));
            }
            let (name, after) = rest.split_once('=').ok_or_else(malformed)?;
            let (value, after) = value(after.trim_start()).ok_or_else(malformed)?;
            options.push((name.trim().to_owned(), value));
            rest = after;
        }
    }
}

/// A value in quotes, in which `\` takes the next character as it is, or a bare word; and what follows.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = text[1..].char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(chars.next()?.1),
            c if c == quote => return Some((value, &text[1 + at + 1..])),
            c => value.push(c),
        }
    }
    None
}

#[derive(Debug)]
struct TokenFile(PathBuf);

impl TokenProvider for TokenFile {
    fn token(&self) -> TokenFuture<'_> {
        Box::pin(async move {
            let path = self.0.clone();
            let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await;
            let text = read.map_err(|error| error.to_string())?;
            let text = text.map_err(|error| format!("cannot read {}: {error}", self.0.display()))?;
            Ok(Secret::new(text.trim().to_owned()))
        })
    }
}
