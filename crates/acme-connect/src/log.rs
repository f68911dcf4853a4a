//! The log that this machine carries itself, as connectors see it.

use crate::Pending;
use std::fmt;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};

/// Both directions of a connection.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A log that speaks Kafka's protocol, for items that name no brokers: carried by this process, or by another on this machine.
pub trait LocalLog: Send + Sync + fmt::Debug {
    /// A connection to it. The first may have to bring it up.
    fn dial(&self) -> Pending<'static, io::Result<Box<dyn Duplex>>>;
}
