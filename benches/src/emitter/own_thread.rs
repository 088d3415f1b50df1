//! What captures cost the thread that makes them, in CPU time of that thread alone, while the writer's thread writes them to a file.
//!
//! Captures are made in short bursts, and after each the writer is waited for, untimed, as a request's thread does other things between two requests.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::{Pin, pin};
use std::task::{Context as TaskContext, Poll, Waker, ready};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::Full;
use nix::time::ClockId;
use reassemble_emitter::{CaptureLayer, Emitter, Output};
use tower_layer::Layer;
use tower_service::Service;

use super::json_body;
use crate::table::median;

/// Captures of a burst: at 2,000 requests a second those of 32 ms.
const BURST: usize = 64;
/// How long the writer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Medians of the bursts, in nanoseconds of one capture, request and response.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnThread {
    /// [`Emitter::begin`] to `finish`, bodies and all.
    pub plain_ns: f64,
    /// What the layer adds to a service of `http` types, bodies and all.
    pub layer_ns: f64,
    /// Copying both bodies into memory of their own.
    pub copy_ns: f64,
}

/// Measures so many bursts of each kind, in turn.
///
/// # Errors
/// Where the output can't be written, or a capture is dropped.
pub fn measure(output: &Path, bursts: u32) -> Result<OwnThread> {
    let emitter = Emitter::builder().service("bench").output(Output::Path(output.into())).build()?;
    let body = Bytes::from(json_body());
    let mut layered = CaptureLayer::new(emitter.clone()).scheme("http").layer(Answer(body.clone()));
    let mut bare = Answer(body.clone());
    let (mut plain, mut with, mut without, mut copy) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bursts {
        plain.push(burst(&emitter, || (), |()| capture_query(&emitter, &body))?);
        with.push(burst(&emitter, || request(&body), |request| drive(&mut layered, request))?);
        without.push(burst(&emitter, || request(&body), |request| drive(&mut bare, request))?);
        copy.push(burst(&emitter, || (), |()| (Bytes::copy_from_slice(&body), Bytes::copy_from_slice(&body)))?);
    }
    let counts = emitter.counts();
    let expected = 2 * BURST as u64 * u64::from(bursts);
    ensure!(counts.finished == expected && counts.lost_lines == 0, "{expected} captures expected: {counts:?}");
    ensure!(emitter.shutdown(PATIENCE), "the output is blocked");
    let differences = with.iter().zip(&without).map(|(with, without)| with - without);
    Ok(OwnThread { plain_ns: median(plain), layer_ns: median(differences), copy_ns: median(copy) })
}

/// CPU time in nanoseconds of this thread for one of a burst's captures. What the work gives is dropped outside the time.
fn burst<T, R>(emitter: &Emitter, prepare: impl Fn() -> T, mut work: impl FnMut(T) -> R) -> Result<f64> {
    let prepared: Vec<T> = (0..BURST).map(|_| prepare()).collect();
    let mut done = Vec::with_capacity(BURST);
    let began = thread_cpu()?;
    done.extend(prepared.into_iter().map(&mut work));
    let took = thread_cpu()? - began;
    drop(done);
    ensure!(emitter.flush(PATIENCE), "the output is blocked");
    Ok(took.as_nanos() as f64 / BURST as f64)
}

fn thread_cpu() -> Result<Duration> {
    Ok(ClockId::CLOCK_THREAD_CPUTIME_ID.now().context("failed to read the thread's CPU clock")?.into())
}

fn capture_query(emitter: &Emitter, body: &Bytes) {
    let mut query = emitter.begin("postgres", "query", "postgres://db/shop").start();
    query.request_body(body.clone());
    query.respond("00000");
    query.response_body(body.clone());
    query.finish();
}

/// A request as a server reads it from its connection: header values are shares of one buffer.
fn request(body: &Bytes) -> Request<Full<Bytes>> {
    const HEADERS: [(&str, &str); 8] = [
        ("host", "shop.test"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("accept", "application/json, text/plain, */*"),
        ("accept-language", "en-US,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("authorization", "Bearer abcdefghijklmnopqrstuvwxyz0123456789"),
        ("content-type", "application/json"),
        ("content-length", "2048"),
    ];
    let buffer = Bytes::from(HEADERS.map(|(_, value)| value).concat());
    let mut request = Request::new(Full::new(body.clone()));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static("/orders?page=2&sort=name");
    request.extensions_mut().insert(SocketAddr::from(([127, 0, 0, 1], 54_321)));
    let mut at = 0;
    for (name, value) in HEADERS {
        let shared = buffer.slice(at..at + value.len());
        at += value.len();
        if let Ok(value) = HeaderValue::from_maybe_shared(shared) {
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    request
}

/// Calls the service and reads its answer to the end, as a server does. Nothing here ever waits.
fn drive<S, A, B>(service: &mut S, request: Request<A>)
where
    S: Service<Request<A>, Response = Response<B>>,
    B: Body,
{
    let mut cx = TaskContext::from_waker(Waker::noop());
    if let Poll::Ready(Ok(response)) = pin!(service.call(request)).poll(&mut cx) {
        let mut body = pin!(response.into_body());
        while !body.is_end_stream()
            && let Poll::Ready(Some(_)) = body.as_mut().poll_frame(&mut cx)
        {}
    }
}

/// Reads its request and answers with a body.
#[derive(Clone)]
struct Answer(Bytes);

impl<B: Body + Unpin> Service<Request<B>> for Answer {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answering<B>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answering<B> {
        let (parts, asked) = request.into_parts();
        let mut response = Response::new(Full::new(self.0.clone()));
        if let Some(value) = parts.headers.get("content-type") {
            response.headers_mut().insert("content-type", value.clone());
        }
        response.headers_mut().insert("content-length", HeaderValue::from_static("2048"));
        Answering { asked, response: Some(response) }
    }
}

/// [`Answer`] at work.
struct Answering<B> {
    asked: B,
    response: Option<Response<Full<Bytes>>>,
}

impl<B: Body + Unpin> Future for Answering<B> {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        while !self.asked.is_end_stream() && ready!(Pin::new(&mut self.asked).poll_frame(cx)).is_some() {}
        Poll::Ready(Ok(self.response.take().unwrap_or_default()))
    }
}
