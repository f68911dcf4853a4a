//! One form sent over HTTP/1.1, with TLS or on loopback: all that a token endpoint is asked for. A connection for each, no
//! redirects.

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The most bytes of an answer, with its head.
const ANSWER_MAX: usize = 1 << 20;

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) https: bool,
    host: String,
    port: u16,
    path: String,
}

/// A status and a body.
pub(super) type Answer = (u16, Vec<u8>);

impl Endpoint {
    /// Reads `https://HOST[:PORT]/PATH`. The error does not show the text.
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        let (https, rest) = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            _ => return Err("it begins with none of https://, http:// and file://"),
        };
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it has characters that no URL has");
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("it names a user: client id and secret have properties of their own");
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse::<u16>().map_err(|_| "its port is no number")?)
            }
            _ => (authority, if https { 443 } else { 80 }),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err("it has no host");
        }
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { https, host: host.to_owned(), port, path })
    }

    pub(super) fn is_loopback(&self) -> bool {
        ["127.0.0.1", "localhost", "::1"].contains(&self.host.as_str())
    }

    /// `host:port`, for messages.
    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Sends a form. `tls` is for https.
    pub(super) async fn post(
        &self,
        tls: Option<&Arc<ClientConfig>>,
        authorization: &str,
        form: &str,
    ) -> Result<Answer, String> {
        let text = |error: std::io::Error| error.to_string();
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(text)?;
        let Some(tls) = tls else { return self.exchange(stream, authorization, form).await };
        let name = ServerName::try_from(self.host.clone()).map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(tls.clone()).connect(name, stream).await.map_err(text)?;
        self.exchange(stream, authorization, form).await
    }

    async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: S,
        authorization: &str,
        form: &str,
    ) -> Result<Answer, String> {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: {host}:{}\r\nconnection: close\r\naccept: application/json\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\
             authorization: {authorization}\r\n\r\n{form}",
            self.path,
            self.port,
            form.len()
        );
        stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
        stream.flush().await.map_err(|error| error.to_string())?;
        let mut bytes = Vec::new();
        loop {
            let mut part = [0; 4_096];
            let count = stream.read(&mut part).await.map_err(|error| error.to_string())?;
            bytes.extend_from_slice(&part[..count]);
            if let Some(answer) = read(&bytes, count == 0)? {
                return Ok(answer);
            }
            if count == 0 {
                return Err("it closed the connection in the middle of its answer".to_owned());
            }
            if bytes.len() > ANSWER_MAX {
                return Err("its answer has no end".to_owned());
            }
        }
    }
}

/// The answer, once it is whole.
///
/// Source: RFC 9112, 6.3 (how long a body is) and 7.1 (chunks).
fn read(bytes: &[u8], is_end: bool) -> Result<Option<Answer>, String> {
    let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let (head, body) = (String::from_utf8_lossy(&bytes[..at]), &bytes[at + 4..]);
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    let status: u16 = status.ok_or("its answer is not HTTP/1.1")?;
    let header = |name: &str| {
        let mut found = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        found.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        return Ok(chunks(body)?.map(|body| (status, body)));
    }
    let Some(length) = header("content-length") else {
        return Ok(is_end.then(|| (status, body.to_vec())));
    };
    let length: usize = length.parse().map_err(|_| "the length of its answer is no number")?;
    Ok(body.get(..length).map(|body| (status, body.to_vec())))
}

/// The chunks of a body, once the last has come.
fn chunks(mut rest: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    loop {
        let Some(at) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let digits = String::from_utf8_lossy(&rest[..at]);
        let digits = digits.split(';').next().unwrap_or_default().trim();
        let length = usize::from_str_radix(digits, 16).map_err(|_| "a chunk's length is no number")?;
        if length == 0 {
            return Ok(Some(body));
        }
        // Not added up before it is compared: it is any number.
        let Some(chunk) = rest[at + 2..].get(..length) else { return Ok(None) };
        body.extend_from_slice(chunk);
        let Some(next) = rest[at + 2 + length..].strip_prefix(b"\r\n") else { return Ok(None) };
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_a_port_and_a_path() {
        let endpoint = |url: &str| {
            Endpoint::parse(url).map(|it| (it.https, it.address(), it.path)).map_err(str::to_owned)
        };
        let is = |https, address: &str, path: &str| Ok((https, address.to_owned(), path.to_owned()));
        assert_eq!(endpoint("https://idp.example/o/token"), is(true, "idp.example:443", "/o/token"));
        assert_eq!(endpoint("HTTP://localhost:81?a=b#c"), is(false, "localhost:81", "/?a=b"));
        assert_eq!(endpoint("https://[::1]"), is(true, "::1:443", "/"));
        assert_eq!(endpoint("https://[::1]:8/x"), is(true, "::1:8", "/x"));
        for wrong in [
            "",
            "idp",
            "ftp://a",
            "https://",
            "https://:1/",
            "https://a:b/",
            "https://u:p@a/",
            "https://a/ b",
        ] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_answer_is_read_when_it_is_whole() {
        let answer = |text: &str, is_end| read(text.as_bytes(), is_end).map(|it| it.map(|(_, body)| body));
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(answer(whole, false), Ok(Some(b"{}".to_vec())));
        for end in 0..whole.len() {
            assert_eq!(answer(&whole[..end], false), Ok(None), "{end}");
        }
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n";
        assert_eq!(answer(chunked, false), Ok(Some(b"abc0123456789".to_vec())));
        assert_eq!(answer(&chunked[..chunked.len() - 5], true), Ok(None));
        assert_eq!(answer("HTTP/1.0 200 OK\r\n\r\n{}", true), Ok(Some(b"{}".to_vec())));
        assert_eq!(answer("HTTP/1.0 200 OK\r\n\r\n{}", false), Ok(None));
        let huge = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc";
        assert_eq!(answer(huge, false), Ok(None));
        for wrong in ["SSH-2.0\r\n\r\n", "HTTP/1.1 200\r\ncontent-length: -1\r\n\r\n"] {
            assert!(answer(wrong, true).is_err(), "{wrong}");
        }
    }
}
