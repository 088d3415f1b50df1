//! An HTTP proxy in front of a real S3 server, that misbehaves by a script: one rule after the other is asked whether a request is its
//! business, and the first that says so has its way with it; all other requests pass. Raw TCP, so that resets, hangs and cut replies
//! are exactly that.
//!
//! A connection serves one request. What was asked, and what came of it, is remembered.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::s3::S3;

/// What a rule does to a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers with this status, these header lines (each with its line end), and an S3 error of this code.
    Answer(u16, &'static str, &'static str),
    /// Resets the connection, with nothing forwarded.
    ResetBefore,
    /// Forwards, and resets the connection in place of the reply: what was asked for has happened.
    ResetAfter,
    /// Forwards, and closes in the middle of the reply's head.
    CutReply,
    /// Reads the request, and never answers.
    Hang,
    /// Reads the head alone, and never answers: a body stands still in the sockets.
    Stall,
    /// Forwards after so long.
    Delay(Duration),
    /// Forwards after the object was removed: as a store that ignores conditions overwrites it.
    IgnoreCondition,
}

/// Which requests a rule is for, and how often.
#[derive(Debug)]
pub struct Rule {
    method: &'static str,
    contains: String,
    access_key: Option<String>,
    conditional: bool,
    times: u32,
    /// Of so many requests that fit, one; and the count.
    one_of: (u32, u32),
    fault: Fault,
}

impl Rule {
    /// For every request, until the rules are cleared.
    pub fn all(fault: Fault) -> Rule {
        Rule {
            method: "",
            contains: String::new(),
            access_key: None,
            conditional: false,
            times: u32::MAX,
            one_of: (1, 0),
            fault,
        }
    }

    /// For requests that store: PUT.
    pub fn puts(fault: Fault) -> Rule {
        Rule::all(fault).method("PUT")
    }

    /// With this method.
    pub fn method(self, method: &'static str) -> Rule {
        Rule { method, ..self }
    }

    /// Whose path or query has this in it.
    pub fn key(self, part: impl Into<String>) -> Rule {
        Rule { contains: part.into(), ..self }
    }

    /// Signed with this access key.
    pub fn signed_by(self, key: &str) -> Rule {
        Rule { access_key: Some(format!("Credential={key}/")), ..self }
    }

    /// With `If-None-Match`.
    pub fn conditional(self) -> Rule {
        Rule { conditional: true, ..self }
    }

    /// So often, and then never again.
    pub fn times(self, times: u32) -> Rule {
        Rule { times, ..self }
    }

    /// The first of every so many.
    pub fn one_of(self, every: u32) -> Rule {
        Rule { one_of: (every, 0), ..self }
    }

    /// Whether this rule has its way with a request.
    fn takes(&mut self, head: &Head) -> bool {
        let fits = (self.method.is_empty() || head.method == self.method)
            && head.target.contains(&self.contains)
            && self.access_key.as_ref().is_none_or(|key| head.text.contains(key))
            && (!self.conditional || head.header("if-none-match").is_some())
            && self.times > 0;
        if !fits {
            return false;
        }
        let (every, seen) = self.one_of;
        self.one_of = (every, seen + 1);
        let turn = seen % every == 0;
        self.times -= u32::from(turn);
        turn
    }
}

/// A request's head.
struct Head {
    method: String,
    target: String,
    text: String,
}

impl Head {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.text.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub target: String,
    /// Whether a rule had its way with it.
    pub faulty: bool,
}

#[derive(Debug, Default)]
struct Shared {
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Seen>>,
    /// Requests that are being forwarded now, and the most that ever were.
    forwarding: AtomicUsize,
    most_at_once: AtomicUsize,
    /// Where the store behind keeps the objects of its buckets.
    root: std::path::PathBuf,
}

/// The proxy, for as long as this lives.
#[derive(Debug)]
pub struct FaultServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

impl FaultServer {
    /// Starts it in front of a server.
    pub fn before(s3: &S3) -> FaultServer {
        let (behind, root) = (s3.address(), s3.buckets().to_owned());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { root, ..Shared::default() });
        let serving = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                // A client that goes away is its own business.
                tokio::spawn(async move { drop(serve(client, behind, &shared).await) });
            }
        });
        FaultServer { address, shared, _runtime: runtime }
    }

    /// The endpoint that leads through it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the script; rules that stood before are gone.
    pub fn script(&self, rules: impl IntoIterator<Item = Rule>) {
        *self.shared.rules.lock().unwrap() = rules.into_iter().collect();
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The most requests that were under way at once.
    pub fn most_at_once(&self) -> usize {
        self.shared.most_at_once.load(Ordering::Relaxed)
    }

    /// How many requests met a fault.
    pub fn faults(&self) -> usize {
        self.seen().iter().filter(|seen| seen.faulty).count()
    }
}

async fn serve(mut client: TcpStream, behind: SocketAddr, shared: &Shared) -> std::io::Result<()> {
    let mut request = Vec::new();
    let end = loop {
        if let Some(at) = find(&request, b"\r\n\r\n") {
            break at + 4;
        }
        if client.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    };
    let text = String::from_utf8_lossy(&request[..end]).into_owned();
    let mut words = text.split(' ');
    let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let head = Head { method, target, text };
    let fault = shared.rules.lock().unwrap().iter_mut().find_map(|rule| rule.takes(&head).then(|| rule.fault.clone()));
    let seen = Seen { method: head.method.clone(), target: head.target.clone(), faulty: fault.is_some() };
    shared.seen.lock().unwrap().push(seen);
    if let Some(Fault::Stall) = fault {
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
    if head.header("expect").is_some() {
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    read_body(&mut client, &mut request, end, &head).await?;
    let at_once = shared.forwarding.fetch_add(1, Ordering::Relaxed) + 1;
    shared.most_at_once.fetch_max(at_once, Ordering::Relaxed);
    let outcome = act(client, behind, shared, &head, fault, &request, end).await;
    shared.forwarding.fetch_sub(1, Ordering::Relaxed);
    outcome
}

/// Does to a request what is due.
async fn act(
    mut client: TcpStream,
    behind: SocketAddr,
    shared: &Shared,
    head: &Head,
    fault: Option<Fault>,
    request: &[u8],
    end: usize,
) -> std::io::Result<()> {
    match &fault {
        Some(Fault::Answer(status, headers, code)) => return answer(client, head, *status, headers, code).await,
        Some(Fault::ResetBefore) => return reset(client),
        Some(Fault::Hang) => tokio::time::sleep(Duration::from_secs(600)).await,
        Some(Fault::Delay(duration)) => tokio::time::sleep(*duration).await,
        Some(Fault::IgnoreCondition) => {
            let path = head.target.split('?').next().unwrap_or_default().trim_start_matches('/');
            drop(std::fs::remove_file(shared.root.join(decoded(path))));
        }
        _ => {}
    }
    let reply = forward(behind, request, end).await?;
    match fault {
        Some(Fault::ResetAfter) => reset(client),
        Some(Fault::CutReply) => client.write_all(&reply[..reply.len().min(40)]).await,
        _ => client.write_all(&reply).await,
    }
}

/// Reads the rest of a request: as long as it says, or chunks up to the empty one.
async fn read_body(client: &mut TcpStream, request: &mut Vec<u8>, head: usize, of: &Head) -> std::io::Result<()> {
    let chunked = of.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    let length: usize = of.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while if chunked { !request.ends_with(b"0\r\n\r\n") } else { request.len() < head + length } {
        if client.read_buf(request).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Asks the server behind, on a connection of its own; gives the reply's bytes.
async fn forward(behind: SocketAddr, request: &[u8], head: usize) -> std::io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(behind).await?;
    // What a request says of its connection is not signed.
    server.write_all(&request[..head - 2]).await?;
    server.write_all(b"connection: close\r\n\r\n").await?;
    server.write_all(&request[head..]).await?;
    let mut reply = Vec::new();
    server.read_to_end(&mut reply).await?;
    if reply.starts_with(b"HTTP/1.1 100")
        && let Some(at) = find(&reply, b"\r\n\r\n")
    {
        reply.drain(..at + 4);
    }
    Ok(reply)
}

async fn answer(mut client: TcpStream, head: &Head, status: u16, headers: &str, code: &str) -> std::io::Result<()> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>by the script</Message></Error>");
    let length = body.len();
    let body = if head.method == "HEAD" { "" } else { &body };
    let reply = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
    client.write_all(reply.as_bytes()).await
}

/// Closes with a reset in place of an orderly end.
fn reset(client: TcpStream) -> std::io::Result<()> {
    client.set_zero_linger()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// A path without its percent-encoding.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
