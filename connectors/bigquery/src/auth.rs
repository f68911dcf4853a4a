//! Who we are to Google: credentials where Google's own tools look for them, and the tokens they are changed for.
//!
//! Looked for in this order: the file that `credentials` or GOOGLE_APPLICATION_CREDENTIALS names, the file that
//! `gcloud auth application-default login` writes, the metadata server of a machine in Google's cloud.
//!
//! Source: "How Application Default Credentials works"; RFC 7523 (a signed assertion), RFC 6749 section 6 (refreshing).

use crate::config::Settings;
use acme_connect::{Context, causes};
use acme_types::{Blame, Clock, Diagnostic, Secret, codes};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

const SCOPE: &str = "https://www.googleapis.com/auth/bigquery";
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// A token is fetched anew so long before it ends.
const MARGIN_US: u64 = 120_000_000;
const REPLY_MAX: usize = 1 << 20;

/// What a file of credentials holds, of either kind.
#[derive(Deserialize)]
struct File {
    #[serde(rename = "type")]
    kind: String,
    client_email: Option<String>,
    private_key: Option<String>,
    private_key_id: Option<String>,
    token_uri: Option<String>,
    project_id: Option<String>,
    quota_project_id: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    refresh_token: Option<String>,
}

/// Where tokens come from.
enum Origin {
    /// An emulator asks for none.
    Nobody,
    ServiceAccount {
        email: String,
        key: Arc<RsaKeyPair>,
        key_id: Option<String>,
        token_uri: String,
    },
    AuthorizedUser {
        client_id: String,
        client_secret: Secret,
        refresh_token: Secret,
        token_uri: String,
    },
    Metadata {
        host: String,
    },
}

struct Token {
    text: Secret,
    until_us: u64,
}

/// The credentials of one destination.
pub(crate) struct Auth {
    origin: Origin,
    project: Option<String>,
    quota_project: Option<String>,
    clock: Arc<dyn Clock>,
    token: Mutex<Option<Token>>,
}

impl Auth {
    /// Finds the credentials; nothing is connected yet.
    pub(crate) fn find(settings: &Settings, context: &Context) -> Result<Self, Diagnostic> {
        let mut auth = Self {
            origin: Origin::Nobody,
            project: settings.project.clone(),
            quota_project: None,
            clock: context.clock.clone(),
            token: Mutex::new(None),
        };
        // An emulator asks for none, and those that lie about in the environment are not for it.
        let lies_about = settings.credentials == std::env::var("GOOGLE_APPLICATION_CREDENTIALS").ok();
        let is_emulator = settings.rest.as_ref().is_some_and(|address| address.starts_with("http:"));
        if is_emulator && (settings.credentials.is_none() || lies_about) {
            return Ok(auth);
        }
        let machine =
            |host: Option<&str>| Origin::Metadata { host: host.map_or_else(metadata_host, str::to_owned) };
        if let Some(rest) = settings.credentials.as_ref().and_then(|text| text.strip_prefix("metadata")) {
            auth.origin = machine(rest.strip_prefix("://"));
            return Ok(auth);
        }
        let path = match &settings.credentials {
            Some(path) => Some(PathBuf::from(path)),
            None => well_known().filter(|path| matches!(context.disk.len(path), Ok(Some(_)))),
        };
        match path {
            Some(path) => auth.read(&path, context).map_err(|diagnostic| diagnostic.at(&settings.at))?,
            None => auth.origin = machine(None),
        }
        Ok(auth)
    }

    fn read(&mut self, path: &Path, context: &Context) -> Result<(), Diagnostic> {
        let fault = |cause: String| {
            let message = format!("the credentials in {} cannot be used: {cause}", path.display());
            Diagnostic::new(&codes::BAD_VALUE, message).help(
                "set GOOGLE_APPLICATION_CREDENTIALS to the key file of a service account, or run \
                 `gcloud auth application-default login`",
            )
        };
        let bytes = context.disk.read(path).map_err(|error| fault(error.to_string()))?;
        // The parser's own words could show a part of a secret.
        let file: File =
            serde_json::from_slice(&bytes).map_err(|_| fault("it is no file of credentials".to_owned()))?;
        self.project = self.project.take().or(file.project_id);
        self.quota_project = file.quota_project_id;
        let missing = |key: &str| fault(format!("it has no \"{key}\""));
        let token_uri = file.token_uri.unwrap_or_else(|| TOKEN_URI.to_owned());
        self.origin = match file.kind.as_str() {
            "service_account" => {
                let pem = file.private_key.ok_or_else(|| missing("private_key"))?;
                let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).ok();
                let key = key.and_then(|key| RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).ok());
                Origin::ServiceAccount {
                    email: file.client_email.ok_or_else(|| missing("client_email"))?,
                    key: Arc::new(key.ok_or_else(|| fault("its private key is no RSA key".to_owned()))?),
                    key_id: file.private_key_id,
                    token_uri,
                }
            }
            "authorized_user" => Origin::AuthorizedUser {
                client_id: file.client_id.ok_or_else(|| missing("client_id"))?,
                client_secret: Secret::new(file.client_secret.ok_or_else(|| missing("client_secret"))?),
                refresh_token: Secret::new(file.refresh_token.ok_or_else(|| missing("refresh_token"))?),
                token_uri,
            },
            other => return Err(fault(format!("credentials of the type \"{other}\" are not supported"))),
        };
        Ok(())
    }

    /// Whether requests carry a token at all.
    pub(crate) fn is_needed(&self) -> bool {
        !matches!(self.origin, Origin::Nobody)
    }

    pub(crate) fn quota_project(&self) -> Option<&str> {
        self.quota_project.as_deref()
    }

    /// The project: as configured, of the credentials, or of the machine.
    pub(crate) async fn project(&self, http: &reqwest::Client) -> Result<String, Diagnostic> {
        if let Some(project) = &self.project {
            return Ok(project.clone());
        }
        if let Origin::Metadata { host } = &self.origin {
            let path = format!("http://{host}/computeMetadata/v1/project/project-id");
            let (status, body) =
                ask(http.get(path).header("Metadata-Flavor", "Google")).await.map_err(|_| nobody())?;
            if status == 200 {
                return Ok(String::from_utf8_lossy(&body).trim().to_owned());
            }
        }
        let message = "no project is named, and the credentials belong to none";
        Err(Diagnostic::new(&codes::BAD_VALUE, message)
            .help("set `project:` or GOOGLE_CLOUD_PROJECT, or write `table` as PROJECT.DATASET.TABLE"))
    }

    /// Forgets the token: the service did not take it.
    pub(crate) async fn forget(&self) {
        *self.token.lock().await = None;
    }

    /// The value of the header `authorization`; `None` where there is to be none.
    pub(crate) async fn bearer(&self, http: &reqwest::Client) -> Result<Option<Secret>, Diagnostic> {
        if !self.is_needed() {
            return Ok(None);
        }
        let mut held = self.token.lock().await;
        let now = self.clock.monotonic_us();
        if let Some(token) = held.as_ref().filter(|token| now < token.until_us) {
            return Ok(Some(token.text.clone()));
        }
        let token = self.fetch(http, now).await?;
        let text = token.text.clone();
        *held = Some(token);
        Ok(Some(text))
    }

    async fn fetch(&self, http: &reqwest::Client, now: u64) -> Result<Token, Diagnostic> {
        #[derive(Deserialize)]
        struct Granted {
            access_token: String,
            expires_in: Option<u64>,
        }
        let form = |uri: &str, body: String| {
            http.post(uri).header("content-type", "application/x-www-form-urlencoded").body(body)
        };
        let (request, from) = match &self.origin {
            Origin::Nobody => unreachable!("an emulator is not asked for a token"),
            Origin::ServiceAccount { email, key, key_id, token_uri } => {
                let assertion = assertion(email, key, key_id.as_deref(), token_uri, self.clock.now().0)?;
                let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
                (form(token_uri, format!("{grant}&assertion={assertion}")), token_uri.clone())
            }
            Origin::AuthorizedUser { client_id, client_secret, refresh_token, token_uri } => {
                let body = format!(
                    "grant_type=refresh_token&client_id={}&client_secret={}&refresh_token={}",
                    escaped(client_id),
                    escaped(client_secret.reveal()),
                    escaped(refresh_token.reveal())
                );
                (form(token_uri, body), token_uri.clone())
            }
            Origin::Metadata { host } => {
                let path = format!(
                    "http://{host}/computeMetadata/v1/instance/service-accounts/default/token?scopes={}",
                    escaped(SCOPE)
                );
                (http.get(path).header("Metadata-Flavor", "Google"), host.clone())
            }
        };
        let is_metadata = matches!(self.origin, Origin::Metadata { .. });
        let (status, body) = ask(request).await.map_err(|cause| match is_metadata {
            true => nobody(),
            false => {
                let message = format!("cannot get a token from {from}: {cause}");
                Diagnostic { blame: Blame::Remote, ..Diagnostic::new(&codes::CONNECT, message) }
            }
        })?;
        match (status, serde_json::from_slice::<Granted>(&body)) {
            (200, Ok(granted)) => Ok(Token {
                text: Secret::new(format!("Bearer {}", granted.access_token)),
                until_us: (now + granted.expires_in.unwrap_or(300) * 1_000_000).saturating_sub(MARGIN_US),
            }),
            (200, Err(_)) => Err(refused(&from, "its reply holds no token", Blame::Remote)),
            (429 | 500.., _) => Err(refused(&from, &format!("status {status}"), Blame::Remote)),
            _ => Err(refused(&from, &reason(&body), Blame::User)),
        }
    }
}

fn refused(from: &str, cause: &str, blame: Blame) -> Diagnostic {
    let message = format!("the credentials are not accepted by {from}: {cause}");
    let help = "run `gcloud auth application-default login` again, or make a new key for the service account";
    Diagnostic { blame, ..Diagnostic::new(&codes::REMOTE, message).help(help) }
}

/// The file that `gcloud auth application-default login` writes.
fn well_known() -> Option<PathBuf> {
    let folder = std::env::var_os("CLOUDSDK_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config/gcloud")))?;
    Some(folder.join("application_default_credentials.json"))
}

/// Where a machine in Google's cloud asks for its own credentials.
fn metadata_host() -> String {
    let host = std::env::var("GCE_METADATA_HOST").ok().filter(|host| !host.is_empty());
    host.unwrap_or_else(|| "metadata.google.internal".to_owned())
}

/// There is no metadata server, so there are no credentials at all.
fn nobody() -> Diagnostic {
    let message = "no credentials for Google Cloud are found";
    let help = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to the key file of a \
                service account; for an emulator set BIGQUERY_EMULATOR_HOST";
    Diagnostic { blame: Blame::User, ..Diagnostic::new(&codes::CONNECT, message).help(help) }
}

/// Why no token was granted: `error_description` or `error`, nothing else of the reply.
fn reason(body: &[u8]) -> String {
    #[derive(Default, Deserialize)]
    struct Reply {
        error: Option<String>,
        error_description: Option<String>,
    }
    let reply: Reply = serde_json::from_slice(body).unwrap_or_default();
    reply.error_description.or(reply.error).unwrap_or_else(|| "without a reason".to_owned())
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A signed claim that we are the service account; good for an hour.
fn assertion(
    email: &str,
    key: &RsaKeyPair,
    key_id: Option<&str>,
    audience: &str,
    now_us: i64,
) -> Result<String, Diagnostic> {
    let text = |text: &str| serde_json::to_string(text).expect("text is always valid JSON");
    let id = key_id.map_or_else(String::new, |id| format!(r#","kid":{}"#, text(id)));
    let issued = now_us.div_euclid(1_000_000);
    let head = format!(r#"{{"alg":"RS256","typ":"JWT"{id}}}"#);
    let claims = format!(
        r#"{{"iss":{},"scope":"{SCOPE}","aud":{},"iat":{issued},"exp":{}}}"#,
        text(email),
        text(audience),
        issued + 3600
    );
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| Diagnostic::new(&codes::INTERNAL, "the service account's key cannot sign"))?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

async fn ask(request: reqwest::RequestBuilder) -> Result<(u16, Vec<u8>), String> {
    let shown = |error: reqwest::Error| causes(&error.without_url());
    let mut response = request.timeout(Duration::from_secs(15)).send().await.map_err(shown)?;
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(shown)? {
        if body.len() + part.len() > REPLY_MAX {
            return Err("the reply is too long".to_owned());
        }
        body.extend_from_slice(&part);
    }
    Ok((response.status().as_u16(), body))
}
