//! A way to a server on which connections can be cut, held and refused.

use anyhow::Result;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What becomes of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Mode {
    Pass,
    Stall,
    Refuse,
    End,
}

/// How often a connection that is held looks whether it may go on.
const LOOK: Duration = Duration::from_millis(5);

struct Shared {
    target: u16,
    mode: AtomicU8,
    /// Bytes that went from the server to the client.
    bytes: AtomicU64,
    /// After so many bytes from the server, everything is held.
    stall_at: AtomicU64,
    /// After so many bytes from the server, every connection is cut.
    cut_at: AtomicU64,
    open: Mutex<Vec<Open>>,
}

/// One side of a connection, and whether the connection is held for good.
struct Open(TcpStream, Arc<AtomicBool>);

/// A loopback port that leads to another one.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Leads to a loopback port.
    pub fn start(target: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            target,
            mode: AtomicU8::new(Mode::Pass as u8),
            bytes: AtomicU64::new(0),
            stall_at: AtomicU64::new(u64::MAX),
            cut_at: AtomicU64::new(u64::MAX),
            open: Mutex::default(),
        });
        let of_thread = shared.clone();
        let listener = std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if of_thread.is(Mode::End) {
                    return;
                }
                if !of_thread.is(Mode::Refuse) {
                    of_thread.connect(&client);
                }
            }
        });
        Ok(Self { port, shared, listener: Some(listener) })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Bytes that have come from the server.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Closes all connections; new ones are let through.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// Closes all connections when so many more bytes have come from the server.
    pub fn cut_after(&self, bytes: u64) {
        self.shared.cut_at.store(self.bytes() + bytes, Ordering::Relaxed);
    }

    /// Lets nothing through any more, without closing anything: the connections look alive. New ones are accepted and
    /// held too.
    pub fn stall(&self) {
        self.shared.set(Mode::Stall);
    }

    /// Lets everything through again, also what was held.
    pub fn go_on(&self) {
        self.shared.set(Mode::Pass);
    }

    /// Stalls when so many more bytes have come from the server.
    pub fn stall_after(&self, bytes: u64) {
        self.shared.stall_at.store(self.bytes() + bytes, Ordering::Relaxed);
    }

    /// Whether it lets nothing through.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.shared.is(Mode::Stall)
    }

    /// Closes all connections, and every new one at once.
    pub fn refuse(&self) {
        self.shared.set(Mode::Refuse);
        self.shared.cut();
    }

    /// Lets new connections through. Those that were held stay dead, as after a router's restart: nothing tells of them.
    pub fn pass_new(&self) {
        let held = std::mem::take(&mut *self.shared.lock());
        held.iter().for_each(|open| open.1.store(true, Ordering::Relaxed));
        // Kept open until the process ends, and read by nobody.
        std::mem::forget(held);
        self.shared.set(Mode::Pass);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.set(Mode::End);
        self.shared.cut();
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)));
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

impl Shared {
    fn is(&self, mode: Mode) -> bool {
        self.mode.load(Ordering::Relaxed) == mode as u8
    }

    fn set(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::Relaxed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self) {
        for open in self.lock().drain(..) {
            let _ = open.0.shutdown(Shutdown::Both);
        }
    }

    /// Two threads for each connection; they end when one of its sides is closed.
    fn connect(self: &Arc<Self>, client: &TcpStream) {
        let pair = || {
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, self.target))?;
            server.set_nodelay(true)?;
            client.set_nodelay(true)?;
            Ok::<_, std::io::Error>((client.try_clone()?, client.try_clone()?, server.try_clone()?, server))
        };
        // A server that is away closes the connection, as it would without us.
        let Ok((from_client, to_client, from_server, to_server)) = pair() else { return };
        let held = Arc::new(AtomicBool::new(false));
        for stream in [&from_client, &from_server] {
            self.lock().extend(stream.try_clone().ok().map(|stream| Open(stream, held.clone())));
        }
        for (from, to, counts) in [(from_client, to_server, false), (from_server, to_client, true)] {
            let (shared, held) = (self.clone(), held.clone());
            std::thread::spawn(move || shared.pump(from, to, counts, &held));
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a thread that stands still on purpose")]
    fn pump(&self, mut from: TcpStream, mut to: TcpStream, counts: bool, held: &AtomicBool) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if counts {
                let bytes = self.bytes.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
                if bytes >= self.stall_at.load(Ordering::Relaxed) {
                    self.stall_at.store(u64::MAX, Ordering::Relaxed);
                    self.set(Mode::Stall);
                }
                if bytes >= self.cut_at.load(Ordering::Relaxed) {
                    self.cut_at.store(u64::MAX, Ordering::Relaxed);
                    return self.cut();
                }
            }
            while self.is(Mode::Stall) || held.load(Ordering::Relaxed) {
                if self.is(Mode::End) {
                    break;
                }
                std::thread::sleep(LOOK);
            }
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}
