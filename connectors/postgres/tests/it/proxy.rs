//! A connection that is cut at a chosen moment: between the destination and the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// When the connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server never sees the statement.
    Before,
    /// The server has answered it, and the answer is lost.
    After,
}

/// Listens on a port of its own and passes everything on, until a statement comes for which it cuts.
pub(crate) struct Proxy {
    port: u16,
    /// How often it has cut.
    pub(crate) cuts: Arc<AtomicU32>,
}

impl Proxy {
    /// Cuts the connection on which `statement` is sent for the `at`-th time, counted from 1, over all connections.
    pub(crate) async fn start(server: u16, statement: &'static str, at: u32, cut: Cut) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, cuts) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let count = cuts.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(pass(client, server, statement, at, cut, seen.clone(), count.clone()));
            }
        });
        Self { port, cuts }
    }

    /// The server's address by way of the proxy.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres:lab@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    pub(crate) fn count(&self) -> u32 {
        self.cuts.load(Ordering::SeqCst)
    }
}

async fn pass(
    mut client: TcpStream,
    mut server: TcpStream,
    statement: &str,
    at: u32,
    cut: Cut,
    seen: Arc<AtomicU32>,
    cuts: Arc<AtomicU32>,
) {
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(length @ 1..) = read else { return };
                let found = up[..length].windows(statement.len()).any(|part| part == statement.as_bytes());
                let now = found && seen.fetch_add(1, Ordering::SeqCst) + 1 == at;
                if now {
                    cuts.fetch_add(1, Ordering::SeqCst);
                    if cut == Cut::After && server.write_all(&up[..length]).await.is_ok() {
                        let _ = server.read(&mut down).await;
                    }
                    return;
                }
                if server.write_all(&up[..length]).await.is_err() { return }
            }
            read = server.read(&mut down) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&down[..length]).await.is_err() { return }
            }
        }
    }
}
