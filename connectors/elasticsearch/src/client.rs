//! HTTP: one request at a time, and what its failure means. It knows no index and no row.

use crate::config::{Login, Settings};
use crate::reply;
use acme_connect::causes;
use acme_types::{Blame, Diagnostic, codes};
use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, Url, redirect};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The longest reply that is read. One to the largest request is far below it.
const REPLY_MAX: usize = 64 << 20;
/// How long an idle connection is kept: less than what proxies between us and the server allow.
const IDLE: Duration = Duration::from_secs(20);
const CONNECT: Duration = Duration::from_secs(10);

/// The connections to one cluster.
pub(crate) struct Client {
    http: reqwest::Client,
    urls: Vec<Url>,
    login: Login,
    /// Which address has its turn.
    next: AtomicUsize,
    timeout: Duration,
}

/// A whole reply, whatever it says.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    /// The address it came from, for messages.
    pub(crate) from: String,
    location: Option<String>,
}

impl Reply {
    /// Turns a status that concerns more than this very request into an error: no login, no permission, a server that is
    /// busy or broken, a redirect. What remains is 200 to 299 and refusals such as 400, 404, 413.
    pub(crate) fn accepted(self) -> Result<Self, Diagnostic> {
        match refused(&self.from, self.status, &self.body, self.location.as_deref()) {
            Some(diagnostic) => Err(diagnostic),
            None => Ok(self),
        }
    }

    /// An answer that this request cannot have.
    pub(crate) fn unexpected(&self, help: &'static str) -> Diagnostic {
        let Self { status, from, .. } = self;
        let words =
            reply::whole_error(&self.body).map_or_else(String::new, |error| format!(": {}", error.reason));
        let diagnostic =
            Diagnostic::new(&codes::REMOTE, format!("{from} answers with status {status}{words}"));
        Diagnostic { blame: Blame::User, ..diagnostic.help(help) }
    }
}

impl Client {
    /// Makes the client; nothing is connected yet.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Diagnostic> {
        // Another part of the process may have installed it before: that is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let plain = settings.urls.iter().all(|url| url.scheme() == "http");
        let mut builder = reqwest::Client::builder()
            .timeout(settings.timeout)
            .connect_timeout(CONNECT.min(settings.timeout))
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("acme/", env!("CARGO_PKG_VERSION")));
        if let Some(roots) = &settings.roots {
            builder = builder.tls_certs_only(roots.iter().cloned());
        } else if plain {
            // The system's certificates are not asked for: a small container may have none.
            builder = builder.tls_certs_only([]);
        }
        if !settings.verify {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        if let Login::ApiKey(key) = &settings.login {
            let header = HeaderValue::try_from(format!("ApiKey {}", key.reveal()));
            let mut header = header.map_err(|_| {
                Diagnostic::new(&codes::BAD_VALUE, "the API key holds characters that no header can carry")
                    .help("use the value `encoded` of the reply that created it")
            })?;
            header.set_sensitive(true);
            builder = builder.default_headers(HeaderMap::from_iter([(AUTHORIZATION, header)]));
        }
        let http = builder.build().map_err(|error| {
            let message = format!("the HTTP client cannot be set up: {}", causes(&error));
            Diagnostic::new(&codes::CONNECT, message).help("name the certificates to trust in `tls.ca`")
        })?;
        Ok(Self {
            http,
            urls: settings.urls.clone(),
            login: settings.login.clone(),
            next: AtomicUsize::new(0),
            timeout: settings.timeout,
        })
    }

    /// Sends a request without a body, or with one in JSON.
    pub(crate) async fn json(
        &self,
        method: Method,
        path: &[&str],
        query: &str,
        body: Option<String>,
    ) -> Result<Reply, Diagnostic> {
        self.send(method, path, query, "application/json", body.map(Bytes::from)).await
    }

    /// Sends the lines of a `_bulk` request. The reply is reduced to what is read of it.
    pub(crate) async fn bulk(&self, index: &str, lines: Bytes) -> Result<Reply, Diagnostic> {
        const QUERY: &str = "filter_path=errors,items.*.status,items.*.error";
        let whole: &[&str] = if index.is_empty() { &["_bulk"] } else { &[index, "_bulk"] };
        self.send(Method::POST, whole, QUERY, "application/x-ndjson", Some(lines)).await
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &str,
        content: &'static str,
        body: Option<Bytes>,
    ) -> Result<Reply, Diagnostic> {
        let base = &self.urls[self.next.fetch_add(1, Ordering::Relaxed) % self.urls.len()];
        let mut url = base.clone();
        // An index may be a word of any script, so its name is put in as a segment of its own.
        url.path_segments_mut().expect("http addresses have paths").pop_if_empty().extend(path);
        url.set_query((!query.is_empty()).then_some(query));
        let mut request = self.http.request(method, url);
        if let Login::Basic(user, password) = &self.login {
            request = request.basic_auth(user, Some(password.reveal()));
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static(content)).body(body);
        }
        let from = shown(base);
        let mut response = request.send().await.map_err(|error| self.unreachable(&from, error))?;
        let status = response.status().as_u16();
        let location = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).map(str::to_owned);
        let mut read = BytesMut::new();
        while let Some(part) = response.chunk().await.map_err(|error| self.unreachable(&from, error))? {
            if read.len() + part.len() > REPLY_MAX {
                let message = format!("{from} sends a reply longer than {REPLY_MAX} bytes");
                return Err(Diagnostic::new(&codes::REMOTE, message));
            }
            read.extend_from_slice(&part);
        }
        let body = if status < 300 { read.freeze() } else { self.login.hide(read.freeze()) };
        Ok(Reply { status, body, from, location })
    }

    /// No reply, or not the whole of it.
    fn unreachable(&self, from: &str, error: reqwest::Error) -> Diagnostic {
        let error = error.without_url();
        if error.is_timeout() && !error.is_connect() {
            let message = format!("{from} does not answer within {:?}", self.timeout);
            let help = "look at the load of the cluster, or raise `timeout:`";
            return Diagnostic::new(&codes::CONNECT, message).help(help);
        }
        let cause = causes(&error);
        if cause.contains("certificate") {
            let message = format!("the certificate of {from} is not trusted: {cause}");
            let help = "name the authority that signed it in `tls.ca`";
            return Diagnostic { blame: Blame::User, ..Diagnostic::new(&codes::CONNECT, message).help(help) };
        }
        if error.is_connect() {
            let help = "check that the server runs there; set `url:` or ELASTICSEARCH_URL to its address";
            return Diagnostic::new(&codes::CONNECT, format!("cannot connect to {from}: {cause}")).help(help);
        }
        Diagnostic::new(&codes::CONNECT, format!("the connection to {from} broke: {cause}"))
    }
}

/// An address without what comes after its path. Users and passwords were taken out before.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.as_str().trim_end_matches('/').to_owned()
}

/// A status that says that no request would do better, or none at present.
fn refused(from: &str, status: u16, body: &[u8], location: Option<&str>) -> Option<Diagnostic> {
    let words = || match reply::whole_error(body) {
        Some(refusal) => format!(": {}", refusal.reason),
        None => String::new(),
    };
    let user = |message: String, help: &'static str| {
        let diagnostic = Diagnostic::new(&codes::REMOTE, message).help(help);
        Some(Diagnostic { blame: Blame::User, ..diagnostic })
    };
    match status {
        300..=399 => {
            let to = location.map_or_else(String::new, |to| format!(" to {}", without_login(to)));
            user(format!("{from} redirects{to}"), "set `url:` to the address of the server itself")
        }
        401 => user(
            format!("{from} does not accept the login{}", words()),
            "set `username:` and `password:`, or `api_key:`",
        ),
        403 => user(
            format!("{from} does not allow this{}", words()),
            "give the user the privileges `create_index`, `index` and `delete` on the index",
        ),
        408 | 429 | 502 | 503 | 504 => Some(Diagnostic::new(
            &codes::CONNECT,
            format!("{from} is too busy or not ready: status {status}{}", words()),
        )),
        500.. => Some(Diagnostic {
            blame: Blame::Remote,
            ..Diagnostic::new(&codes::REMOTE, format!("{from} fails with status {status}{}", words()))
        }),
        _ => None,
    }
}

/// A redirect may carry anything; a login in it is not shown.
fn without_login(to: &str) -> String {
    match Url::parse(to) {
        Ok(mut url) => {
            // Fails only for addresses that cannot have a login.
            let _ = url.set_password(None).and_then(|()| url.set_username(""));
            shown(&url)
        }
        Err(_) => to.split(['?', '#']).next().unwrap_or_default().to_owned(),
    }
}
