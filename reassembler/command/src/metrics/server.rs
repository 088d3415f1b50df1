//! The HTTP server of `--metrics`: `/metrics`, `/healthz`, `/livez`.
//!
//! It runs on a thread of its own with a runtime of its own, so that nothing it is sent slows the run. Connections, their headers and
//! their lifetimes are bounded.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use reassemble_pipeline::run::StatusBoard;
use tokio::sync::Semaphore;

use super::exposition;
use super::health::Health;

/// Connections at once; more wait in the listener's queue.
const MOST_CONNECTIONS: usize = 32;
/// Time for a request's headers to arrive.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Time after which a connection is closed, idle or not.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// Bytes of a request's headers.
const MOST_HEADER_BYTES: usize = 16 * 1024;
/// How often the status is looked at where nobody asks, so that the length of a failure is known.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Pause after a failure to accept (too many open files), which would else spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is served.
#[derive(Debug)]
struct Served {
    board: Arc<StatusBoard>,
    health: Mutex<Health>,
}

impl Served {
    fn unhealthy(&self) -> Option<String> {
        let status = self.board.snapshot();
        self.health.lock().unwrap_or_else(PoisonError::into_inner).observe(Instant::now(), &status)
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        const TEXT: &str = "text/plain; charset=utf-8";
        let (code, kind, body) = match path {
            _ if method != Method::GET && method != Method::HEAD => {
                (StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET only\n".to_owned())
            }
            "/metrics" => (StatusCode::OK, exposition::CONTENT_TYPE, exposition::render(&self.board.snapshot())),
            "/healthz" => match self.unhealthy() {
                None => (StatusCode::OK, TEXT, "ok\n".to_owned()),
                Some(why) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, why + "\n"),
            },
            "/livez" => (StatusCode::OK, TEXT, "ok\n".to_owned()),
            _ => (StatusCode::NOT_FOUND, TEXT, "here are /metrics, /healthz and /livez\n".to_owned()),
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = code;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if code == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

/// Binds the address and serves until the program ends. Returns the address, which has the real port where 0 was asked for.
///
/// # Errors
/// Where the address cannot be bound, or no thread started.
pub(crate) fn start(address: &str, board: &Arc<StatusBoard>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let local = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let served = Arc::new(Served { board: Arc::clone(board), health: Mutex::default() });
    let serve = move || {
        runtime.block_on(async {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => accept(listener, served).await,
                Err(error) => tracing::error!(%error, "the metrics server could not start"),
            }
        });
    };
    std::thread::Builder::new().name("metrics".into()).spawn(serve)?;
    Ok(local)
}

async fn accept(listener: tokio::net::TcpListener, served: Arc<Served>) {
    let watcher = Arc::clone(&served);
    tokio::spawn(async move {
        loop {
            // The verdict is for those who ask; what counts here is the time that it remembers.
            drop(watcher.unhealthy());
            tokio::time::sleep(WATCH_EVERY).await;
        }
    });
    let free = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a metrics connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let served = Arc::clone(&served);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<hyper::body::Incoming>| {
                let response = served.answer(request.method(), request.uri().path());
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .max_buf_size(MOST_HEADER_BYTES)
                .serve_connection(TokioIo::new(stream), service);
            // A peer that hangs up or talks nonsense is its own problem.
            drop(tokio::time::timeout(CONNECTION_TIMEOUT, connection).await);
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("answered");
        String::from_utf8(answer).expect("text")
    }

    fn get(address: SocketAddr, path: &str) -> String {
        ask(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
    }

    #[test]
    fn serves_metrics_and_health_over_http() {
        let board = Arc::new(StatusBoard::default());
        let address = start("127.0.0.1:0", &board).expect("bound");
        board.update(|status| status.total.lines_read = 41);
        let metrics = get(address, "/metrics");
        assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n") && metrics.contains(exposition::CONTENT_TYPE), "{metrics}");
        assert!(metrics.contains("\nreassemble_read_lines_total 41\n"), "{metrics}");
        assert!(get(address, "/healthz").ends_with("\r\n\r\nok\n"));
        board.update(|status| status.spool_full = true);
        let sick = get(address, "/healthz");
        assert!(sick.starts_with("HTTP/1.1 503 ") && sick.contains("the spool is full"), "{sick}");
        assert!(get(address, "/livez").starts_with("HTTP/1.1 200 "));
        assert!(get(address, "/").starts_with("HTTP/1.1 404 "));
        assert!(ask(address, "POST /metrics HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 405 "));
        assert!(ask(address, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    }

    #[test]
    fn idle_connections_do_not_keep_others_out() {
        let address = start("127.0.0.1:0", &Arc::new(StatusBoard::default())).expect("bound");
        let idle: Vec<TcpStream> =
            (0..MOST_CONNECTIONS).map(|_| TcpStream::connect(address).expect("connects")).collect();
        assert!(get(address, "/livez").starts_with("HTTP/1.1 200 "));
        drop(idle);
    }

    #[test]
    fn an_address_in_use_is_an_error() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = taken.local_addr().expect("bound").to_string();
        assert!(start(&address, &Arc::new(StatusBoard::default())).is_err());
    }
}
