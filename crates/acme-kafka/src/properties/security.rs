//! `security.protocol`, `sasl.*` and `ssl.*`.

use super::Reading;
use super::jaas::Jaas;
use crate::config::{Identity, Pem, Sasl, ScramHash, Security, Tls, TokenFuture, TokenProvider};
use crate::token::{Client, ClientCredentials};
use acme_types::Secret;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const CONVERT: &str = "convert it with `openssl pkcs12 -in STORE.p12 -nodes -out STORE.pem` (a JKS first with \
`keytool -importkeystore -srckeystore STORE.jks -destkeystore STORE.p12 -deststoretype PKCS12`) and set the type to PEM";

impl Reading<'_> {
    pub(super) fn security(&mut self) -> Security {
        let protocols = [
            ("PLAINTEXT", (false, false)),
            ("SSL", (true, false)),
            ("SASL_PLAINTEXT", (false, true)),
            ("SASL_SSL", (true, true)),
        ];
        let (tls, sasl) = self.choice("security.protocol", &protocols).unwrap_or_default();
        Security {
            tls: if tls { Some(self.tls()) } else { None },
            sasl: if sasl { self.sasl() } else { None },
        }
    }

    fn tls(&mut self) -> Tls {
        const ALGORITHM: &str = "ssl.endpoint.identification.algorithm";
        Tls {
            authorities: self.store("ssl.truststore", "ssl.truststore.certificates"),
            identity: self.identity(),
            verify_host: self.choice(ALGORITHM, &[("https", true), ("", false)]).unwrap_or(true),
        }
    }

    /// The PEM text of one property or the PEM file of another.
    fn store(&mut self, prefix: &str, inline: &str) -> Option<Pem> {
        if let Some(text) = self.owned(inline) {
            return Some(Pem::Text(Secret::new(text)));
        }
        let (location, kind) = (format!("{prefix}.location"), format!("{prefix}.type"));
        let path = self.owned(&location)?;
        let looks_like_pem =
            [".pem", ".crt", ".cer", ".key"].iter().any(|end| path.to_lowercase().ends_with(end));
        match self.text(&kind) {
            Some(kind) if kind.eq_ignore_ascii_case("PEM") => {}
            None if looks_like_pem => {}
            given => {
                let given = given.unwrap_or("JKS, Kafka's default");
                let message = format!("{kind} is {given}; stores are read as PEM only");
                self.fault(&kind, message, Some(CONVERT.to_owned()));
            }
        }
        Some(Pem::File(path))
    }

    fn identity(&mut self) -> Option<Identity> {
        if self.owned("ssl.key.password").is_some() {
            let help =
                "decrypt it with `openssl pkcs8 -in KEY -out PLAIN_KEY` and protect the file by its owner";
            self.fault("ssl.key.password", "encrypted keys cannot be read".to_owned(), Some(help.to_owned()));
        }
        if let Some(key) = self.owned("ssl.keystore.key") {
            let Some(chain) = self.owned("ssl.keystore.certificate.chain") else {
                let message = "ssl.keystore.key needs ssl.keystore.certificate.chain".to_owned();
                self.fault("ssl.keystore.key", message, None);
                return None;
            };
            let text = |text| Pem::Text(Secret::new(text));
            return Some(Identity { certificates: text(chain), key: text(key) });
        }
        // A PEM store holds the key and then the chain.
        let both = self.store("ssl.keystore", "ssl.keystore.certificate.chain")?;
        Some(Identity { certificates: both.clone(), key: both })
    }

    fn sasl(&mut self) -> Option<Sasl> {
        const NAME: &str = "sasl.mechanism";
        let Some(mechanism) = self.text(NAME) else {
            let help = "set sasl.mechanism to PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER".to_owned();
            let message = "sasl.mechanism is not set, and Kafka's default GSSAPI (Kerberos) is not available";
            self.fault(NAME, message.to_owned(), Some(help));
            return None;
        };
        let hash = match mechanism {
            "PLAIN" => None,
            "SCRAM-SHA-256" => Some(ScramHash::Sha256),
            "SCRAM-SHA-512" => Some(ScramHash::Sha512),
            "OAUTHBEARER" => return self.bearer(),
            _ => {
                let message = format!(
                    "sasl.mechanism is \"{mechanism}\", which is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER"
                );
                self.fault(NAME, message, None);
                return None;
            }
        };
        let jaas = self.jaas()?;
        let module = if hash.is_some() { "ScramLoginModule" } else { "PlainLoginModule" };
        if jaas.module != module {
            let message = format!("sasl.jaas.config names {}, but {mechanism} needs {module}", jaas.module);
            self.fault("sasl.jaas.config", message, None);
            return None;
        }
        let (Some(username), Some(password)) = (jaas.get("username"), jaas.get("password")) else {
            self.fault("sasl.jaas.config", "sasl.jaas.config has no username and password".to_owned(), None);
            return None;
        };
        let (username, password) = (username.to_owned(), Secret::new(password.to_owned()));
        Some(match hash {
            Some(hash) => Sasl::Scram { hash, username, password },
            None => Sasl::Plain { username, password },
        })
    }

    fn jaas(&mut self) -> Option<Jaas> {
        const NAME: &str = "sasl.jaas.config";
        let help = "write it as `org.apache.kafka.common.security.plain.PlainLoginModule required \
                    username=\"USER\" password=\"PASSWORD\";`";
        let Some(text) = self.text(NAME) else {
            self.fault(NAME, "sasl.jaas.config is missing".to_owned(), Some(help.to_owned()));
            return None;
        };
        match Jaas::parse(text) {
            Ok(jaas) => Some(jaas),
            Err(reason) => {
                let message = format!("sasl.jaas.config cannot be read: {reason}");
                self.fault(NAME, message, Some(help.to_owned()));
                None
            }
        }
    }

    fn bearer(&mut self) -> Option<Sasl> {
        const URL: &str = "sasl.oauthbearer.token.endpoint.url";
        if let Some(url) = self.owned(URL) {
            let Some(path) = url.strip_prefix("file://") else { return self.client_credentials(&url) };
            let token = Arc::new(TokenFile(path.to_owned()));
            return Some(Sasl::OauthBearer { token, extensions: Vec::new() });
        }
        let jaas = self.jaas()?;
        let claims: Vec<_> = jaas
            .with_prefix("unsecuredLoginStringClaim_")
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        if claims.is_empty() {
            let help =
                format!("set {URL} to that of an OAuth server, or to file:///PATH of a file with the token");
            self.fault("sasl.jaas.config", "OAUTHBEARER has no token to show".to_owned(), Some(help));
            return None;
        }
        let extensions =
            jaas.with_prefix("extension_").map(|(name, value)| (name.to_owned(), value.to_owned()));
        let extensions = extensions.collect();
        Some(Sasl::OauthBearer { token: Arc::new(Unsecured(claims)), extensions })
    }
}

impl Reading<'_> {
    /// A token of an OAuth server (KIP-768): client id, secret and scope stand in properties of their own (KIP-1139), or in
    /// `sasl.jaas.config`.
    fn client_credentials(&mut self, url: &str) -> Option<Sasl> {
        const URL: &str = "sasl.oauthbearer.token.endpoint.url";
        const ID: &str = "sasl.oauthbearer.client.credentials.client.id";
        const SECRET: &str = "sasl.oauthbearer.client.credentials.client.secret";
        let jaas = if self.owned("sasl.jaas.config").is_some() { Some(self.jaas()?) } else { None };
        let of_jaas = |name: &str| jaas.as_ref().and_then(|jaas| jaas.get(name)).map(str::to_owned);
        let (id, secret) = (
            self.owned(ID).or_else(|| of_jaas("clientId")),
            self.owned(SECRET).or_else(|| of_jaas("clientSecret")),
        );
        let scope = self.owned("sasl.oauthbearer.scope").or_else(|| of_jaas("scope"));
        let (Some(id), Some(secret)) = (id, secret) else {
            let help = format!("set {ID} and {SECRET}, or clientId and clientSecret in sasl.jaas.config");
            self.fault(
                URL,
                "the token endpoint needs a client id and a client secret".to_owned(),
                Some(help),
            );
            return None;
        };
        let choices = [("true", true), ("false", false)];
        let encodes = self.choice("sasl.oauthbearer.header.urlencode", &choices).unwrap_or(false);
        let client = Client { id: &id, secret: &secret, scope: scope.as_deref(), encodes };
        let authorities = self.store("ssl.truststore", "ssl.truststore.certificates");
        let token = match ClientCredentials::new(url, &client, authorities) {
            Ok(token) => Arc::new(token),
            Err(reason) => {
                let help =
                    "write it as https://HOST/PATH, or name a file with the token as file:///PATH".to_owned();
                self.fault(URL, format!("{URL} cannot be used: {reason}"), Some(help));
                return None;
            }
        };
        let extensions = jaas.iter().flat_map(|jaas| jaas.with_prefix("extension_"));
        let extensions = extensions.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Some(Sasl::OauthBearer { token, extensions })
    }
}

/// A token in a file that somebody renews (KIP-768).
#[derive(Debug)]
struct TokenFile(String);

impl TokenProvider for TokenFile {
    fn token(&self) -> TokenFuture<'_> {
        let path = self.0.clone();
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || {
                std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
            });
            let text = read.await.map_err(|error| error.to_string())??;
            Ok(Secret::new(text.trim().to_owned()))
        })
    }
}

/// A token that nobody signed, of KIP-255: for tests of clusters that allow it.
#[derive(Debug)]
struct Unsecured(Vec<(String, String)>);

impl TokenProvider for Unsecured {
    #[expect(clippy::disallowed_methods, reason = "a token carries the time of day")]
    fn token(&self) -> TokenFuture<'_> {
        const LIFE: Duration = Duration::from_secs(3_600);
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut claims = format!("{{\"iat\":{},\"exp\":{}", now.as_secs(), (now + LIFE).as_secs());
        for (name, value) in &self.0 {
            claims.push_str(&format!(",\"{}\":\"{}\"", quoted(name), quoted(value)));
        }
        claims.push('}');
        let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let token = format!("{}.{}.", encoded("{\"alg\":\"none\"}"), encoded(&claims));
        Box::pin(async move { Ok(Secret::new(token)) })
    }
}
