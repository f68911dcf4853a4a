//! A broker for a test, and a client that speaks the protocol word by word.

use acme_broker::{Broker, Options};
use acme_log::Log;
use acme_records::{BatchBuilder, Compression, Stamp};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

#[expect(clippy::disallowed_methods, reason = "a test has the real clock")]
pub(crate) fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

pub(crate) fn open(dir: &Path) -> Log {
    Log::open(dir, acme_log::Options::new(Arc::new(now_ms))).unwrap()
}

/// A broker on a loopback port, with its log in a folder of its own.
pub(crate) struct Server {
    pub(crate) broker: Broker,
    pub(crate) log: Log,
    options: Options,
    dir: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path());
        let mut options = Options { listen: Some("127.0.0.1:0".parse().unwrap()), ..Options::default() };
        change(&mut options);
        let broker = Broker::start(log.clone(), options.clone()).await.unwrap();
        options.listen = broker.address();
        Self { broker, log, options, dir }
    }

    /// Ends the broker in order, and starts another one on the same log and address.
    pub(crate) async fn restart(&mut self) {
        self.broker.stop().await;
        self.log.close();
        let nothing = tempfile::tempdir().unwrap();
        // The directory's lock goes with the last handle: that of the broker is the other one.
        self.log = open(nothing.path());
        self.broker = Broker::start(self.log.clone(), Options::default()).await.unwrap();
        let end = tokio::time::Instant::now() + PATIENCE;
        self.log = loop {
            match Log::open(self.dir.path(), acme_log::Options::new(Arc::new(now_ms))) {
                Ok(log) => break log,
                Err(acme_log::Error::Locked(_)) if tokio::time::Instant::now() < end => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => panic!("{error}"),
            }
        };
        self.broker = Broker::start(self.log.clone(), self.options.clone()).await.unwrap();
    }

    pub(crate) fn bootstrap(&self) -> String {
        self.broker.address().unwrap().to_string()
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    pub(crate) async fn wire(&self) -> Wire<TcpStream> {
        Wire::new(TcpStream::connect(self.broker.address().unwrap()).await.unwrap())
    }

    pub(crate) fn topic(&self, name: &str, partitions: u32, settings: &[(&str, &str)]) {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.log.create_topic(name, partitions, settings.collect(), false).unwrap();
    }
}

/// One connection.
pub(crate) struct Wire<S> {
    pub(crate) stream: S,
    correlation: i32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, correlation: 0 }
    }

    pub(crate) async fn send<R: Request>(&mut self, request: &R, version: i16) {
        self.correlation += 1;
        let frame = frame(request, version, self.correlation);
        self.stream.write_all(&frame).await.unwrap();
    }

    /// The next answer, which has the number of the request `back` requests ago.
    pub(crate) async fn receive<R: Request>(&mut self, version: i16, back: i32) -> R::Response {
        let mut bytes = self.frame().await.expect("the broker answers");
        assert_eq!(bytes.get_i32(), self.correlation - back);
        if R::Response::header_version(version) >= 1 {
            assert_eq!(bytes.get_u8(), 0);
        }
        let response = R::Response::decode(&mut bytes, version).unwrap();
        assert!(bytes.is_empty(), "{} bytes are left over", bytes.len());
        response
    }

    pub(crate) async fn ask<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        self.send(request, version).await;
        self.receive::<R>(version, 0).await
    }

    /// The next frame, or none when the broker has closed.
    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        let read = async {
            let length = self.stream.read_u32().await.ok()?;
            let mut bytes = vec![0; length as usize];
            self.stream.read_exact(&mut bytes).await.ok()?;
            Some(Bytes::from(bytes))
        };
        tokio::time::timeout(PATIENCE, read).await.expect("the broker answers or closes")
    }
}

/// A request as it lies on the wire.
pub(crate) fn frame<R: Request>(request: &R, version: i16, correlation: i32) -> BytesMut {
    let mut bytes = BytesMut::from(&[0; 4][..]);
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(text("test")));
    header.encode(&mut bytes, R::header_version(version)).unwrap();
    request.encode(&mut bytes, version).unwrap();
    let length = u32::try_from(bytes.len() - 4).unwrap();
    (&mut bytes[..4]).put_u32(length);
    bytes
}

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(crate) fn topic(name: &str) -> TopicName {
    TopicName(text(name))
}

/// A batch of these values.
pub(crate) fn batch(values: &[&[u8]], compression: Compression, stamp: Stamp) -> Bytes {
    let mut builder = BatchBuilder::with_capacity(1024);
    for value in values {
        builder.push(now_ms(), Some(b"key"), Some(value), &[]);
    }
    builder.finish(compression).unwrap().stamped(stamp).concat().into()
}

/// The values in batches.
pub(crate) fn values(mut bytes: Bytes) -> Vec<(i64, Vec<u8>)> {
    let mut values = Vec::new();
    while let Some(batch) = acme_records::next_batch(&mut bytes, true).unwrap() {
        if batch.is_control {
            continue;
        }
        let (mut records, mut buffer) = (Vec::new(), Vec::new());
        let compression = Compression::of(batch.compression).unwrap();
        compression.decompress(&batch.records, &mut buffer, 1 << 30).unwrap();
        acme_records::index(&batch, &buffer, 0, 0, &mut records).unwrap();
        values.extend(
            records.iter().map(|record| (record.offset, record.value(&buffer).unwrap_or_default().to_vec())),
        );
    }
    values
}
