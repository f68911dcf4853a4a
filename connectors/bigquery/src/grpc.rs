//! Calls of the Storage Write API: gRPC messages as bytes, the connection, tokens, and calls repeated while waiting may help.

use crate::auth::Auth;
use crate::config::Settings;
use crate::fault;
use acme_connect::{Backoff, causes};
use acme_types::{Diagnostic, codes};
use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder, Streaming};
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

const HOST: &str = "https://bigquerystorage.googleapis.com";

/// The calls that are made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Method {
    Create,
    Get,
    Append,
    Finalize,
    Commit,
}

impl Method {
    fn path(self) -> PathAndQuery {
        PathAndQuery::from_static(match self {
            Self::Create => "/google.cloud.bigquery.storage.v1.BigQueryWrite/CreateWriteStream",
            Self::Get => "/google.cloud.bigquery.storage.v1.BigQueryWrite/GetWriteStream",
            Self::Append => "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows",
            Self::Finalize => "/google.cloud.bigquery.storage.v1.BigQueryWrite/FinalizeWriteStream",
            Self::Commit => "/google.cloud.bigquery.storage.v1.BigQueryWrite/BatchCommitWriteStreams",
        })
    }
}

/// A message that is written already, in two parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message(pub(crate) Bytes, pub(crate) Bytes);

/// Messages as bytes.
struct Raw;

impl Codec for Raw {
    type Encode = Message;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Message;
    type Error = Status;

    fn encode(&mut self, item: Message, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(item.0.len() + item.1.len());
        out.put(item.0);
        out.put(item.1);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}

/// The connection to the Storage Write API.
pub(crate) struct Storage {
    grpc: Grpc<Channel>,
    auth: Arc<Auth>,
    http: reqwest::Client,
    timeout: Duration,
    /// Calls that fail are made again where that may help.
    pub(crate) patient: bool,
}

/// A stream of requests and replies that is open.
pub(crate) struct Appender {
    requests: mpsc::Sender<Message>,
    replies: Streaming<Bytes>,
}

impl Storage {
    /// Prepares the connection, which is opened by the first call.
    pub(crate) fn new(
        settings: &Settings,
        auth: Arc<Auth>,
        http: reqwest::Client,
    ) -> Result<Self, Diagnostic> {
        const HOST_TIMEOUT: Duration = Duration::from_secs(10);
        const KEEP_ALIVE: Duration = Duration::from_secs(30);
        let address = settings.storage.clone().unwrap_or_else(|| HOST.to_owned());
        let fault = |error: tonic::transport::Error| {
            let message = format!("the connection to {address} cannot be set up: {}", causes(&error));
            Diagnostic::new(&codes::CONNECT, message)
                .help("check `storage_endpoint`, or install `ca-certificates`")
        };
        let mut endpoint = Endpoint::from_shared(address.clone())
            .map_err(fault)?
            .connect_timeout(HOST_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE);
        if address.starts_with("https:") {
            endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots()).map_err(fault)?;
        }
        let grpc = Grpc::new(endpoint.connect_lazy());
        Ok(Self { grpc, auth, http, timeout: settings.timeout, patient: true })
    }

    /// A call with one reply; `route` is the table or stream that it is about, `what` completes "BigQuery cannot …".
    ///
    /// Waits and tries again where that may help. The status is the service's answer otherwise.
    pub(crate) async fn call(
        &self,
        method: Method,
        route: (&str, &str),
        message: Vec<u8>,
        what: &str,
    ) -> Result<Result<Bytes, Status>, Diagnostic> {
        let message = Message(message.into(), Bytes::new());
        let mut backoff = Backoff::new(route.1.len() as u64 * 31 + 1);
        let mut renewed = false;
        loop {
            let request = self.request(route, message.clone()).await?;
            let mut grpc = self.grpc.clone();
            let answer = async {
                grpc.ready().await.map_err(not_ready)?;
                grpc.unary(request, method.path(), Raw).await
            };
            let status = match tokio::time::timeout(self.timeout, answer).await {
                Ok(Ok(reply)) => return Ok(Ok(reply.into_inner())),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded(format!("no answer within {:?}", self.timeout)),
            };
            match status.code() {
                Code::Unauthenticated if !renewed && self.auth.is_needed() => {
                    renewed = true;
                    self.auth.forget().await;
                }
                code if fault::is_transient(code) => match backoff.wait().filter(|_| self.patient) {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Err(fault::of_call(what, &status)),
                },
                _ => return Ok(Err(status)),
            }
        }
    }

    async fn request<T>(&self, route: (&str, &str), message: T) -> Result<Request<T>, Diagnostic> {
        let mut request = Request::new(message);
        let (key, value) = route;
        let params = format!("{key}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
        let header = |text: &str| {
            AsciiMetadataValue::try_from(text)
                .map_err(|_| fault::remote("a header holds odd characters".to_owned()))
        };
        request.metadata_mut().insert("x-goog-request-params", header(&params)?);
        if let Some(bearer) = self.auth.bearer(&self.http).await? {
            let mut value = header(bearer.reveal())?;
            value.set_sensitive(true);
            request.metadata_mut().insert("authorization", value);
        }
        if let Some(project) = self.auth.quota_project() {
            request.metadata_mut().insert("x-goog-user-project", header(project)?);
        }
        Ok(request)
    }

    /// Opens a stream of requests with the first of them.
    pub(crate) async fn append(
        &self,
        stream: &str,
        first: Message,
    ) -> Result<Result<Appender, Status>, Diagnostic> {
        /// Requests that wait for the connection; each is answered before the next is made.
        const WAITING: usize = 1;
        let (requests, queue) = mpsc::channel(WAITING);
        let _ = requests.send(first).await;
        let request = self.request(("write_stream", stream), ReceiverStream::new(queue)).await?;
        let mut grpc = self.grpc.clone();
        let answer = async {
            grpc.ready().await.map_err(not_ready)?;
            grpc.streaming(request, Method::Append.path(), Raw).await
        };
        Ok(match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(replies)) => Ok(Appender { requests, replies: replies.into_inner() }),
            Ok(Err(status)) => Err(status),
            Err(_) => Err(Status::deadline_exceeded(format!("no answer within {:?}", self.timeout))),
        })
    }

    /// The token was not taken: the next request fetches another.
    pub(crate) async fn forget_token(&self) {
        self.auth.forget().await;
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }
}

impl Appender {
    /// Sends another request.
    pub(crate) async fn send(&mut self, message: Message) -> Result<(), Status> {
        self.requests.send(message).await.map_err(|_| Status::unavailable("the connection was closed"))
    }

    /// The reply to the oldest request that has none yet.
    pub(crate) async fn reply(&mut self, patience: Duration) -> Result<Bytes, Status> {
        match tokio::time::timeout(patience, self.replies.message()).await {
            Ok(Ok(Some(reply))) => Ok(reply),
            Ok(Ok(None)) => Err(Status::unavailable("the service ended the connection")),
            Ok(Err(status)) => Err(status),
            Err(_) => Err(Status::deadline_exceeded(format!("no answer within {patience:?}"))),
        }
    }
}

fn not_ready(error: tonic::transport::Error) -> Status {
    Status::unavailable(causes(&error))
}
