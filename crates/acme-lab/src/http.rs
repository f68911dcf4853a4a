//! A server of HTTP/1.1 that follows a script: it does what a real one cannot be told to do.

use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Method, path and version.
    pub line: String,
    /// The headers as they came.
    pub headers: String,
    /// The body.
    pub body: String,
}

/// What is done with a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answers with a status and a body.
    Answer(u16, String),
    /// Answers with a header of its own, too.
    With(u16, &'static str, String),
    /// Promises more bytes than it sends, and closes.
    Cut(String),
    /// Closes without a word.
    Close,
    /// Never answers.
    Hang,
}

/// The server. It runs until the process ends.
#[derive(Clone, Debug)]
pub struct Http {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Http {
    /// Starts it; `act` says what is done with each request.
    pub fn start(act: impl FnMut(&Seen) -> Act + Send + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("a free port")?;
        let http = Self { url: format!("http://{}", listener.local_addr()?), seen: Arc::default() };
        let (act, seen) = (Arc::new(Mutex::new(act)), http.seen.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (act, seen) = (act.clone(), seen.clone());
                std::thread::spawn(move || serve(stream, &seen, |request| lock(&act)(request)));
            }
        });
        Ok(http)
    }

    /// The requests whose line contains a text.
    #[must_use]
    pub fn seen(&self, text: &str) -> Vec<Seen> {
        lock(&self.seen).iter().filter(|seen| seen.line.contains(text)).cloned().collect()
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Seen>>, act: impl Fn(&Seen) -> Act) {
    while let Some(request) = receive(&mut stream) {
        lock(seen).push(request.clone());
        let (status, header, body) = match act(&request) {
            Act::Answer(status, body) => (status, "x: y", body),
            Act::With(status, header, body) => (status, header, body),
            Act::Close => return,
            Act::Hang => {
                let _ = stream.read_to_end(&mut Vec::new());
                return;
            }
            Act::Cut(body) => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len() + 10);
                let _ = stream.write_all((head + &body).as_bytes());
                return;
            }
        };
        let body = if request.line.starts_with("HEAD") { "" } else { &body };
        let reply =
            format!("HTTP/1.1 {status} S\r\n{header}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

/// Reads one request; `None` at the end of the connection.
fn receive(stream: &mut TcpStream) -> Option<Seen> {
    let (mut bytes, mut part) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let (line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
            let length = headers.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap_or(usize::MAX)) {
                let [line, headers, body] = [line, headers, body].map(str::to_owned);
                return Some(Seen { line, headers, body });
            }
        }
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return None,
            Ok(length) => bytes.extend_from_slice(&part[..length]),
        }
    }
}
