//! The checked configuration as this connector uses it.

use crate::index_name::IndexName;
use acme_connect::Context;
use acme_types::{Config, Diagnostic, Secret, codes};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use reqwest::{Certificate, Url};
use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

/// What a TRUNCATE of the source does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truncate {
    Reject,
    Ignore,
    Apply,
}

/// How a request proves who sends it.
#[derive(Clone, Debug)]
pub(crate) enum Login {
    None,
    Basic(String, Secret),
    ApiKey(Secret),
}

impl Login {
    /// A reply without the secrets in it: a refusal may repeat what it refuses.
    pub(crate) fn hide(&self, reply: Bytes) -> Bytes {
        let secret = match self {
            Self::None => return reply,
            // A key that stands alone in an address is sent as the user.
            Self::Basic(user, password) if password.reveal().is_empty() => user,
            Self::Basic(_, password) | Self::ApiKey(password) => password.reveal(),
        };
        // As JSON writes it, and as it is.
        let written = serde_json::to_string(secret).expect("text is always valid JSON");
        let mut text = String::from_utf8_lossy(&reply).into_owned();
        for form in [written.trim_matches('"'), secret] {
            if !form.is_empty() && text.contains(form) {
                text = text.replace(form, "***");
            }
        }
        text.into()
    }
}

/// All keys.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// At least one, none with a user or password in it.
    pub(crate) urls: Vec<Url>,
    pub(crate) index: IndexName,
    /// Empty for rows without a key.
    pub(crate) id_fields: Vec<String>,
    pub(crate) login: Login,
    /// The only certificates to trust; `None` for the system's.
    pub(crate) roots: Option<Vec<Certificate>>,
    pub(crate) verify: bool,
    pub(crate) batch_bytes: usize,
    pub(crate) batch_rows: usize,
    pub(crate) timeout: Duration,
    pub(crate) create_index: bool,
    pub(crate) truncate: Truncate,
}

impl Settings {
    pub(crate) fn new(config: &Config, context: &Context) -> Result<Self, Diagnostic> {
        let mut login = login(config)?;
        let urls = urls(config, &mut login)?;
        let text = config.text("index").expect("required");
        let index = IndexName::parse(text).map_err(|reason| {
            let message = format!("\"{text}\" cannot name an index: {reason}");
            config.blame("index", Diagnostic::new(&codes::BAD_VALUE, message))
        })?;
        let positive = |key| {
            let value = *config.int(key).expect("it has a default");
            u64::try_from(value).ok().filter(|value| *value > 0).ok_or_else(|| {
                config.blame(
                    key,
                    Diagnostic::new(&codes::BAD_VALUE, format!("\"{key}\" must be more than zero")),
                )
            })
        };
        let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let truncate = match config.text("truncate").expect("it has a default").as_str() {
            "ignore" => Truncate::Ignore,
            "apply" => Truncate::Apply,
            _ => Truncate::Reject,
        };
        let tls = config.object("tls");
        Ok(Self {
            urls,
            index,
            id_fields: config.texts("id_field").map(str::to_owned).collect(),
            login,
            roots: tls.map(|tls| roots(tls, context)).transpose()?.flatten(),
            verify: tls.and_then(|tls| tls.bool("verify")).copied().unwrap_or(true),
            batch_bytes: size(positive("batch_bytes")?),
            batch_rows: size(positive("batch_rows")?),
            timeout: Duration::from_micros(positive("timeout")?),
            create_index: *config.bool("create_index").expect("it has a default"),
            truncate,
        })
    }

    /// The fields that the connector reads by itself.
    pub(crate) fn reads(&self) -> Vec<String> {
        let mut reads = self.id_fields.clone();
        reads.extend(self.index.fields().map(str::to_owned));
        reads.sort_unstable();
        reads.dedup();
        reads
    }
}

fn login(config: &Config) -> Result<Login, Diagnostic> {
    let fault = |key, message: &str, help: &'static str| {
        Err(config.blame(key, Diagnostic::new(&codes::BAD_VALUE, message).help(help)))
    };
    match (config.text("username"), config.secret("password"), config.secret("api_key")) {
        (None, None, None) => Ok(Login::None),
        (Some(user), Some(password), None) => Ok(Login::Basic(user.clone(), password.clone())),
        (None, None, Some(key)) if key.reveal().contains(':') => fault(
            "api_key",
            "the API key is not in its encoded form",
            "use the value `encoded` of the reply that created it",
        ),
        (None, None, Some(key)) => Ok(Login::ApiKey(key.clone())),
        (Some(_), None, None) => fault("username", "there is a user but no password", "add `password:`"),
        (None, Some(_), None) => fault("password", "there is a password but no user", "add `username:`"),
        (_, _, Some(_)) => {
            fault("api_key", "there is an API key besides a user or password", "keep one of them")
        }
    }
}

/// The addresses; a user and password in one of them become the login. No message shows an address, because a variable
/// may have brought it, with a password in it.
fn urls(config: &Config, login: &mut Login) -> Result<Vec<Url>, Diagnostic> {
    let fault = |message: String| {
        let help = "write it like `https://search.example.com:9200`";
        config.blame("url", Diagnostic::new(&codes::BAD_VALUE, message).help(help))
    };
    let mut urls = Vec::new();
    for text in config.texts("url").flat_map(|text| text.split(',')).map(str::trim) {
        let mut url =
            Url::parse(text).map_err(|error| fault(format!("\"url\" is not an address: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(fault("\"url\" must begin with http:// or https://".to_owned()));
        }
        // A key alone, without a password, is a login too.
        if !url.username().is_empty() || url.password().is_some() {
            let plain = |text: &str| {
                let decoded = percent_decode_str(text).decode_utf8();
                let reason = "the user and password in \"url\" are not UTF-8 text";
                decoded.map(Cow::into_owned).map_err(|_| fault(reason.to_owned()))
            };
            let (user, password) = (plain(url.username())?, plain(url.password().unwrap_or_default())?);
            if matches!(login, Login::None) {
                *login = Login::Basic(user, Secret::new(password));
            }
            let removed = url.set_password(None).and_then(|()| url.set_username(""));
            removed.expect("an address with a host may have a user");
        }
        urls.push(url);
    }
    if urls.is_empty() {
        return Err(fault("\"url\" names no address".to_owned()));
    }
    Ok(urls)
}

fn roots(tls: &Config, context: &Context) -> Result<Option<Vec<Certificate>>, Diagnostic> {
    let Some(path) = tls.text("ca") else { return Ok(None) };
    let fault = |cause: String| {
        let message = format!("the certificates in {path} cannot be used: {cause}");
        tls.blame("ca", Diagnostic::new(&codes::BAD_VALUE, message).help("name a file in PEM form"))
    };
    let pem = context.disk.read(Path::new(path)).map_err(|error| fault(error.to_string()))?;
    let roots = Certificate::from_pem_bundle(&pem).map_err(|error| fault(error.to_string()))?;
    if roots.is_empty() {
        return Err(fault("it holds none".to_owned()));
    }
    Ok(Some(roots))
}
