//! The REST API: datasets, tables, jobs and insertAll. One request at a time, repeated while waiting may help.

use crate::auth::Auth;
use crate::config::Settings;
use crate::fault::{Reason, Refusal, remote};
use crate::table::{Field, Name, Schema, Table};
use acme_connect::{Backoff, causes};
use acme_types::{Blame, Diagnostic, codes};
use bytes::{Bytes, BytesMut};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

const HOST: &str = "https://bigquery.googleapis.com";
/// What may stand in a path as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b':');
const REPLY_MAX: usize = 32 << 20;
const CONNECT: Duration = Duration::from_secs(10);

/// The connections to the REST API.
pub(crate) struct Rest {
    pub(crate) http: reqwest::Client,
    base: String,
    auth: Arc<Auth>,
    timeout: Duration,
    /// Requests that fail are made again where that may help.
    pub(crate) patient: bool,
}

/// A reply that is no error, or one that the caller asks about: 404 and 409.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Diagnostic> {
        serde_json::from_slice(&self.body)
            .map_err(|error| remote(format!("a reply of BigQuery cannot be read: {error}")))
    }
}

/// What became of a job.
#[derive(Debug)]
pub(crate) enum Job {
    Absent,
    Running,
    Done,
    Failed(Reason),
}

impl Rest {
    /// Makes the client; nothing is connected yet.
    pub(crate) fn new(settings: &Settings, auth: Arc<Auth>) -> Result<Self, Diagnostic> {
        // Another part of the process may have installed it before: that is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = settings.rest.clone().unwrap_or_else(|| HOST.to_owned());
        let mut builder = reqwest::Client::builder()
            .timeout(settings.timeout)
            .connect_timeout(CONNECT.min(settings.timeout))
            .pool_idle_timeout(Duration::from_secs(20))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("acme/", env!("CARGO_PKG_VERSION")));
        if base.starts_with("http:") && !auth.is_needed() {
            // The system's certificates are not asked for: a small container may have none.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| {
            let message = format!("the HTTP client cannot be set up: {}", causes(&error));
            Diagnostic::new(&codes::CONNECT, message)
                .help("install the system's certificates (`ca-certificates`)")
        })?;
        Ok(Self { http, base, auth, timeout: settings.timeout, patient: true })
    }

    /// Sends a request; `what` completes "BigQuery cannot …".
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        what: &str,
    ) -> Result<Reply, Diagnostic> {
        let mut backoff = Backoff::new(path.len() as u64 * 7919 + 1);
        let mut renewed = false;
        loop {
            let fault = match self.once(&method, path, body.clone()).await {
                Ok(reply) if matches!(reply.status, 200..=299 | 404 | 409) => return Ok(reply),
                Ok(reply) => {
                    let refusal = Refusal::read(&reply.body);
                    let diagnostic = refusal.diagnostic(what, reply.status);
                    if reply.status == 401 && !renewed && self.auth.is_needed() {
                        renewed = true;
                        self.auth.forget().await;
                        continue;
                    }
                    diagnostic
                }
                Err(diagnostic) => diagnostic,
            };
            if fault.blame != Blame::Remote {
                return Err(fault);
            }
            let Some(wait) = backoff.wait().filter(|_| self.patient) else { return Err(fault) };
            tokio::time::sleep(wait).await;
        }
    }

    async fn once(&self, method: &Method, path: &str, body: Option<Bytes>) -> Result<Reply, Diagnostic> {
        let mut request = self.http.request(method.clone(), format!("{}/bigquery/v2/{path}", self.base));
        if let Some(bearer) = self.auth.bearer(&self.http).await? {
            let header = HeaderValue::try_from(bearer.reveal());
            let mut header =
                header.map_err(|_| remote("the token holds characters that no header carries".into()))?;
            header.set_sensitive(true);
            request = request.header(AUTHORIZATION, header);
        }
        if let Some(project) = self.auth.quota_project() {
            request = request.header("x-goog-user-project", project);
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let mut response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status().as_u16();
        let mut read = BytesMut::new();
        while let Some(part) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            if read.len() + part.len() > REPLY_MAX {
                return Err(remote(format!("BigQuery sends a reply longer than {REPLY_MAX} bytes")));
            }
            read.extend_from_slice(&part);
        }
        Ok(Reply { status, body: read.freeze() })
    }

    fn unreachable(&self, error: reqwest::Error) -> Diagnostic {
        let error = error.without_url();
        if error.is_timeout() && !error.is_connect() {
            return remote(format!("{} does not answer within {:?}", self.base, self.timeout));
        }
        remote(format!("cannot connect to {}: {}", self.base, causes(&error)))
            .help("check the network; for an emulator check BIGQUERY_EMULATOR_HOST")
    }

    /// The project that requests are made for.
    pub(crate) async fn project(&self) -> Result<String, Diagnostic> {
        self.auth.project(&self.http).await
    }

    /// Where the dataset lies; `None` where it does not exist.
    pub(crate) async fn dataset(&self, name: &Name) -> Result<Option<String>, Diagnostic> {
        #[derive(Deserialize)]
        struct Dataset {
            #[serde(default)]
            location: String,
        }
        let path = format!("projects/{}/datasets/{}", segment(&name.project), segment(&name.dataset));
        let reply = self.call(Method::GET, &path, None, "look at the dataset").await?;
        if reply.status == 404 {
            return Ok(None);
        }
        reply.json::<Dataset>().map(|dataset| Some(dataset.location))
    }

    /// What the table is; `None` where it does not exist.
    pub(crate) async fn table(&self, name: &Name) -> Result<Option<Table>, Diagnostic> {
        let reply = self.call(Method::GET, &table_path(name), None, "look at the table").await?;
        if reply.status == 404 {
            return Ok(None);
        }
        reply.json().map(Some)
    }

    /// Creates a table, unless it is there; one that `ends_ms` is removed by the service then.
    pub(crate) async fn create(
        &self,
        name: &Name,
        fields: &[Field],
        ends_ms: Option<i64>,
    ) -> Result<(), Diagnostic> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Create<'a> {
            table_reference: Reference<'a>,
            schema: Schema,
            #[serde(skip_serializing_if = "Option::is_none")]
            expiration_time: Option<String>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Reference<'a> {
            project_id: &'a str,
            dataset_id: &'a str,
            table_id: &'a str,
        }
        let create = Create {
            table_reference: Reference {
                project_id: &name.project,
                dataset_id: &name.dataset,
                table_id: &name.table,
            },
            schema: Schema { fields: fields.to_vec() },
            expiration_time: ends_ms.map(|time| time.to_string()),
        };
        let path = format!("projects/{}/datasets/{}/tables", segment(&name.project), segment(&name.dataset));
        let reply = self.call(Method::POST, &path, Some(json(&create)), "create the table").await?;
        match reply.status {
            404 => Err(Refusal::read(&reply.body).diagnostic("create the table", 404)),
            _ => Ok(()),
        }
    }

    /// Gives the table these columns; all that it has must be among them.
    pub(crate) async fn alter(&self, name: &Name, fields: &[Field]) -> Result<(), Diagnostic> {
        #[derive(Serialize)]
        struct Patch {
            schema: Schema,
        }
        let patch = json(&Patch { schema: Schema { fields: fields.to_vec() } });
        let reply =
            self.call(Method::PATCH, &table_path(name), Some(patch), "add columns to the table").await?;
        match reply.status {
            200..=299 => Ok(()),
            status => Err(Refusal::read(&reply.body).diagnostic("add columns to the table", status)),
        }
    }

    /// Removes a table, if it is there.
    pub(crate) async fn remove(&self, name: &Name) -> Result<(), Diagnostic> {
        self.call(Method::DELETE, &table_path(name), None, "remove the staging table").await.map(drop)
    }

    /// Which of these permissions on the table we lack; nothing where the service does not say.
    pub(crate) async fn lacks(&self, name: &Name, permissions: &[&str]) -> Vec<String> {
        #[derive(Serialize)]
        struct Ask<'a> {
            permissions: &'a [&'a str],
        }
        #[derive(Default, Deserialize)]
        struct Granted {
            #[serde(default)]
            permissions: Vec<String>,
        }
        let path = format!("{}:testIamPermissions", table_path(name));
        let ask = json(&Ask { permissions });
        let Ok(reply) = self.once(&Method::POST, &path, Some(ask)).await else { return Vec::new() };
        let Ok(granted) = serde_json::from_slice::<Granted>(&reply.body) else { return Vec::new() };
        let lacks = |permission: &&&str| {
            reply.status == 200 && !granted.permissions.iter().any(|has| has == **permission)
        };
        permissions.iter().filter(lacks).map(|permission| (*permission).to_owned()).collect()
    }

    /// How a job stands.
    pub(crate) async fn job(&self, project: &str, location: &str, id: &str) -> Result<Job, Diagnostic> {
        let path =
            format!("projects/{}/jobs/{}?location={}", segment(project), segment(id), segment(location));
        let reply = self.call(Method::GET, &path, None, "look at a job").await?;
        if reply.status == 404 { Ok(Job::Absent) } else { status(&reply) }
    }

    /// Starts a query as the job of that name, unless it was started before.
    pub(crate) async fn start(
        &self,
        project: &str,
        location: &str,
        id: &str,
        sql: &str,
    ) -> Result<Job, Diagnostic> {
        let text = |text: &str| serde_json::to_string(text).expect("text is always valid JSON");
        let body = format!(
            r#"{{"jobReference":{{"projectId":{},"jobId":{},"location":{}}},"configuration":{{"query":{{"query":{},"useLegacySql":false}}}}}}"#,
            text(project),
            text(id),
            text(location),
            text(sql)
        );
        let path = format!("projects/{}/jobs", segment(project));
        let reply = self.call(Method::POST, &path, Some(body.into()), "run a query").await?;
        match reply.status {
            // Somebody was faster, perhaps we ourselves in a request whose reply was lost.
            409 => Ok(Job::Running),
            404 => Err(Refusal::read(&reply.body).diagnostic("run a query", 404)),
            _ => status(&reply),
        }
    }

    /// Adds rows; those with a fault of their own by index.
    pub(crate) async fn insert_all(&self, name: &Name, body: Bytes) -> Result<Option<Inserted>, Diagnostic> {
        let path = format!("{}/insertAll", table_path(name));
        let reply = self.call(Method::POST, &path, Some(body), "insert rows").await?;
        if reply.status == 404 {
            return Ok(None);
        }
        reply.json().map(Some)
    }
}

/// The reply to insertAll.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Inserted {
    #[serde(default)]
    pub(crate) insert_errors: Vec<RowFault>,
}

/// What is wrong with one row.
#[derive(Debug, Deserialize)]
pub(crate) struct RowFault {
    pub(crate) index: usize,
    #[serde(default)]
    pub(crate) errors: Vec<Reason>,
}

fn status(reply: &Reply) -> Result<Job, Diagnostic> {
    #[derive(Deserialize)]
    struct Whole {
        status: State,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct State {
        state: String,
        error_result: Option<Reason>,
    }
    let State { state, error_result } = reply.json::<Whole>()?.status;
    Ok(match (state.as_str(), error_result) {
        ("DONE", None) => Job::Done,
        ("DONE", Some(reason)) => Job::Failed(reason),
        _ => Job::Running,
    })
}

fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("texts and lists are always valid JSON").into()
}

fn table_path(name: &Name) -> String {
    let Name { project, dataset, table } = name;
    format!("projects/{}/datasets/{}/tables/{}", segment(project), segment(dataset), segment(table))
}

fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}
