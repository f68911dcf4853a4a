//! Servers that follow a script: what the real service is documented to answer, and the emulator does not.

use acme_lab::http::{Act as Answer, Http, Seen};
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};

/// What is answered to requests whose line contains a text, one after the other; the last answer stays.
type Answers = Vec<(&'static str, VecDeque<(u16, String)>)>;

/// A REST server that answers the first rule that fits; a request without one gets 404.
pub(crate) fn rest(rules: &[(&'static str, &[(u16, &str)])]) -> Http {
    let owned = |answers: &[(u16, &str)]| {
        answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect()
    };
    let mut rules: Answers = rules.iter().map(|(text, answers)| (*text, owned(answers))).collect();
    let answer = move |seen: &Seen| {
        let (status, body) = match rules.iter_mut().find(|(text, _)| seen.line.contains(text)) {
            None => (404, String::new()),
            Some((_, answers)) if answers.len() > 1 => answers.pop_front().expect("there are two"),
            Some((_, answers)) => answers[0].clone(),
        };
        Answer::Answer(status, body)
    };
    Http::start(answer).expect("a port is free")
}

/// What is answered to one message of a call.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// A message.
    Reply(Vec<u8>),
    /// The end of the call, with this status.
    Status(i32, &'static str),
    /// The connection is cut without an answer.
    Cut,
}

/// A message as it came: the last part of the method, and the bytes.
pub(crate) type Call = (String, Vec<u8>);

/// What is answered to the messages of each method.
type Acts = Vec<(&'static str, VecDeque<Act>)>;

/// A gRPC server.
#[derive(Clone)]
pub(crate) struct Grpc {
    pub(crate) address: String,
    acts: Arc<Mutex<Acts>>,
    calls: Arc<Mutex<Vec<Call>>>,
    headers: Arc<Mutex<Vec<http::HeaderMap>>>,
}

impl Grpc {
    /// Answers messages by the method, one after the other; the last answer stays.
    pub(crate) async fn start(rules: Vec<(&'static str, Vec<Act>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let grpc = Self {
            address: listener.local_addr().expect("it is bound").to_string(),
            acts: Arc::new(Mutex::new(
                rules.into_iter().map(|(method, acts)| (method, acts.into())).collect(),
            )),
            calls: Arc::default(),
            headers: Arc::default(),
        };
        let server = grpc.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.connection(stream).await });
            }
        });
        grpc
    }

    /// The messages of a method.
    pub(crate) fn calls(&self, method: &str) -> Vec<Vec<u8>> {
        let calls = self.calls.lock().expect("no panic under the lock");
        calls.iter().filter(|(name, _)| name == method).map(|(_, message)| message.clone()).collect()
    }

    /// The values of a header.
    pub(crate) fn header(&self, name: &str) -> Vec<String> {
        let headers = self.headers.lock().expect("no panic under the lock");
        let text =
            |map: &http::HeaderMap| map.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        headers.iter().filter_map(text).collect()
    }

    async fn connection(&self, stream: TcpStream) {
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        let cut = Arc::new(tokio::sync::Notify::new());
        loop {
            tokio::select! {
                () = cut.notified() => return,
                call = connection.accept() => match call {
                    Some(Ok((request, respond))) => {
                        let (server, cut) = (self.clone(), cut.clone());
                        tokio::spawn(async move { server.call(request, respond, &cut).await });
                    }
                    _ => return,
                },
            }
        }
    }

    async fn call(
        &self,
        request: http::Request<h2::RecvStream>,
        mut respond: h2::server::SendResponse<Bytes>,
        cut: &tokio::sync::Notify,
    ) {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        self.headers.lock().expect("no panic under the lock").push(request.headers().clone());
        let mut body = request.into_body();
        let head =
            http::Response::builder().header("content-type", "application/grpc").body(()).expect("a head");
        let Ok(mut send) = respond.send_response(head, false) else { return };
        let mut read = BytesMut::new();
        while let Some(Ok(part)) = body.data().await {
            let _ = body.flow_control().release_capacity(part.len());
            read.extend_from_slice(&part);
            while read.len() >= 5 {
                let length = u32::from_be_bytes([read[1], read[2], read[3], read[4]]) as usize;
                if read.len() < 5 + length {
                    break;
                }
                let message = read.split_to(5 + length)[5..].to_vec();
                self.calls.lock().expect("no panic under the lock").push((method.clone(), message));
                match self.next(&method) {
                    Act::Reply(reply) => {
                        let mut frame = BytesMut::new();
                        frame.put_u8(0);
                        frame.put_u32(u32::try_from(reply.len()).expect("a small reply"));
                        frame.extend_from_slice(&reply);
                        let _ = send.send_data(frame.freeze(), false);
                        if method != "AppendRows" {
                            return end(&mut send, 0, "");
                        }
                    }
                    Act::Status(code, words) => return end(&mut send, code, words),
                    Act::Cut => return cut.notify_one(),
                }
            }
        }
        end(&mut send, 0, "");
    }

    fn next(&self, method: &str) -> Act {
        let mut acts = self.acts.lock().expect("no panic under the lock");
        match acts.iter_mut().find(|(name, _)| *name == method) {
            None => Act::Status(12, "not in the script"),
            Some((_, acts)) if acts.len() > 1 => acts.pop_front().expect("there are two"),
            Some((_, acts)) => acts[0].clone(),
        }
    }
}

fn end(send: &mut h2::SendStream<Bytes>, code: i32, words: &str) {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", code.to_string().parse().expect("a number"));
    trailers.insert("grpc-message", words.parse().expect("plain words"));
    let _ = send.send_trailers(trailers);
}

/// A field of a message: a number.
pub(crate) fn int(field: u8, value: u8) -> Vec<u8> {
    vec![field << 3, value]
}

/// A field of a message: a text or another message, shorter than 128 bytes.
pub(crate) fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2, u8::try_from(value.len()).expect("a short field")];
    out.extend_from_slice(value);
    out
}
