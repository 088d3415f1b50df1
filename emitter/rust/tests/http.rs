//! The layer in a real axum server and the middleware in a real reqwest client, over loopback.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod captured;

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
    routing::{any, get, post},
};
use captured::{Captured, Kept};
use futures_util::{StreamExt, stream};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, StreamBody};
use reassemble_emitter::{Builder, CaptureContext, CaptureLayer, CaptureMiddleware, Emitter};
use reqwest_middleware::ClientWithMiddleware;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::{Layer, Service, ServiceExt};

const PATIENCE: Duration = Duration::from_secs(30);

/// A server on loopback whose captures are kept.
struct Server {
    url: String,
    address: SocketAddr,
    emitter: Emitter,
    kept: Kept,
}

impl Server {
    async fn start(router: Router, set: impl FnOnce(Builder) -> Builder) -> Server {
        let kept = Kept::default();
        let emitter = set(Emitter::builder().service("server").output(kept.output())).build().unwrap();
        let app = router.layer(CaptureLayer::new(emitter.clone()).scheme("http"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        Server { url: format!("http://{address}"), address, emitter, kept }
    }

    /// All captures, once `count` have ended.
    async fn captured(&self, count: u64) -> Captured {
        let deadline = Instant::now() + PATIENCE;
        while self.emitter.counts().finished < count {
            assert!(Instant::now() < deadline, "{:?} instead of {count}", self.emitter.counts());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.kept.read()
    }
}

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(31).wrapping_add(seed * 7) >> 3) as u8).collect()
}

async fn echo(body: Body) -> Body {
    body
}

fn plain_client() -> reqwest::Client {
    reqwest::Client::new()
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_all_sizes_are_captured_byte_for_byte_while_many_run() {
    let server =
        Server::start(Router::new().route("/echo/{n}", post(echo)), |b| b.body_limit(8 << 20).queue_limit(256 << 20))
            .await;
    let sizes = [0, 1, 2, 100, 4095, 4096, 4097, 65_536, 300_000, 5_000_000];
    let requests = (0..60usize).map(|n| {
        let url = format!("{}/echo/{n}", server.url);
        async move {
            let body = pattern(sizes[n % sizes.len()], n);
            let sent = if n % 2 == 0 {
                reqwest::Body::from(body.clone())
            } else {
                let pieces: Vec<_> = body.chunks(7000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
                reqwest::Body::wrap_stream(stream::iter(pieces))
            };
            let answer = plain_client().post(url).body(sent).send().await.unwrap().bytes().await.unwrap();
            assert!(answer == body, "request {n} came back changed");
        }
    });
    stream::iter(requests).for_each_concurrent(16, |request| request).await;
    let captured = server.captured(60).await;
    for n in 0..60 {
        let body = pattern(sizes[n % sizes.len()], n);
        let exchange = captured.by_url(&format!("/echo/{n}"));
        for part in [exchange.req(), exchange.res()] {
            assert!(part.body == body, "capture {n} differs: {} of {} bytes", part.body.len(), body.len());
            assert_eq!((&part.tail["error"], &part.tail["truncated"]), (&json!(null), &json!(null)), "capture {n}");
        }
    }
    assert_eq!(captured.numbers(), (1..=60).collect::<Vec<_>>());
    assert_eq!(server.emitter.counts().dropped, 0);
    assert!(captured.longest_line <= 4096);
}

#[tokio::test]
async fn a_request_is_told_as_it_came_and_without_its_secrets() {
    let server =
        Server::start(Router::new().route("/a", get(|| async { ([("set-cookie", "s=1")], "text") })), |b| b).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    plain_client()
        .get(format!("{}/a?q=%20x&token=s3cret", server.url))
        .header("authorization", "Bearer s3cret")
        .header("traceparent", trace)
        .header("x-latin", reqwest::header::HeaderValue::from_bytes(b"caf\xe9").unwrap())
        .send()
        .await
        .unwrap();
    let captured = server.captured(1).await;
    let exchange = captured.by_url("token=[redacted]");
    let (req, res) = (exchange.req(), exchange.res());
    assert_eq!(req.head["url"], format!("{}/a?q=%20x&token=[redacted]", server.url));
    assert_eq!(
        (&req.head["dir"], &req.head["proto"], &req.head["method"]),
        (&json!("in"), &json!("http/1.1"), &json!("GET"))
    );
    assert_eq!(req.head["trace"], trace);
    assert!(req.head["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!((req.header("authorization"), req.header("x-latin")), (Some("[redacted]"), Some("café")));
    assert_eq!((res.header("set-cookie"), &res.head["status"]), (Some("[redacted]"), &json!(200)));
    assert_eq!(res.body, b"text");
}

#[tokio::test]
async fn statuses_without_a_body_and_head_requests_end_clean() {
    let router = Router::new()
        .route("/empty", get(|| async { StatusCode::NO_CONTENT }))
        .route("/same", get(|| async { StatusCode::NOT_MODIFIED }))
        .route("/file", get(|| async { "x".repeat(1000) }))
        .route("/broken", get(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "sorry") }));
    let server = Server::start(router, |b| b).await;
    for path in ["/empty", "/same", "/broken", "/none"] {
        plain_client().get(format!("{}{path}", server.url)).send().await.unwrap().bytes().await.unwrap();
    }
    plain_client().head(format!("{}/file", server.url)).send().await.unwrap();
    let captured = server.captured(5).await;
    for (path, status, len) in
        [("/empty", 204, 0), ("/same", 304, 0), ("/broken", 500, 5), ("/none", 404, 0), ("/file", 200, 0)]
    {
        let res = captured.by_url(path).res();
        assert_eq!((&res.head["status"], res.body.len()), (&json!(status), len), "{path}");
        assert_eq!((&res.tail["error"], &res.tail["truncated"]), (&json!(null), &json!(null)), "{path}");
    }
}

#[tokio::test]
async fn a_body_that_the_handler_does_not_read_is_told() {
    let router = Router::new().route("/ignore", post(|| async { "no" })).route(
        "/some",
        post(|mut body: Body| async move {
            body.frame().await.unwrap().unwrap();
            "some"
        }),
    );
    let server = Server::start(router, |b| b).await;
    for path in ["/ignore", "/some"] {
        let body = reqwest::Body::wrap_stream(stream::iter((0..3).map(|_| Ok::<_, std::io::Error>(vec![b'a'; 9000]))));
        plain_client().post(format!("{}{path}", server.url)).body(body).send().await.ok();
    }
    let captured = server.captured(2).await;
    let ignored = captured.by_url("/ignore").req();
    assert_eq!((&ignored.tail["error"], &ignored.tail["truncated"]), (&json!("body not read"), &json!(true)));
    let some = captured.by_url("/some").req();
    assert_eq!((&some.tail["error"], &some.tail["truncated"]), (&json!("body not read to its end"), &json!(true)));
    assert!(!some.body.is_empty());
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_a_truncated_capture() {
    let router = Router::new()
        .route(
            "/endless",
            get(|| async { Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>("x".repeat(1000)))) }),
        )
        .route("/slow", get(|| async { tokio::time::sleep(Duration::from_secs(3600)).await }))
        .route("/upload", post(|body: Bytes| async move { body.len().to_string() }));
    let server = Server::start(router, |b| b).await;
    let mut answer = plain_client().get(format!("{}/endless", server.url)).send().await.unwrap();
    answer.chunk().await.unwrap();
    drop(answer);
    let slow = plain_client().get(format!("{}/slow", server.url)).timeout(Duration::from_millis(100)).send().await;
    assert!(slow.is_err());
    let mut upload = TcpStream::connect(server.address).await.unwrap();
    upload.write_all(b"POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nonly this").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(upload);
    let captured = server.captured(3).await;
    let endless = captured.by_url("/endless").res();
    assert_eq!(
        (&endless.tail["error"], &endless.tail["truncated"]),
        (&json!("body dropped before its end"), &json!(true))
    );
    let slow = captured.by_url("/slow").res();
    assert_eq!((&slow.tail["error"], &slow.head["status"]), (&json!("cancelled"), &json!(null)));
    let upload = captured.by_url("/upload").req();
    assert_eq!((upload.body.as_slice(), &upload.tail["truncated"]), (&b"only this"[..], &json!(true)));
    assert!(!upload.tail["error"].as_str().unwrap().is_empty());
}

/// Counts how far a stream was pulled.
static PULLED: AtomicUsize = AtomicUsize::new(0);

#[tokio::test]
async fn bodies_stream_through_at_the_readers_pace() {
    let pieces = || {
        stream::iter(0..20_000).map(|_| {
            PULLED.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(vec![b'p'; 10_000])
        })
    };
    let router = Router::new().route("/big", get(move || async move { Body::from_stream(pieces()) }));
    let server = Server::start(router, |b| b).await;
    let mut answer = plain_client().get(format!("{}/big", server.url)).send().await.unwrap();
    answer.chunk().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let pulled = PULLED.load(Ordering::Relaxed);
    assert!(pulled < 15_000, "{pulled} pieces were pulled while nobody read");
    let mut len = 0;
    while let Some(chunk) = answer.chunk().await.unwrap() {
        len += chunk.len();
    }
    assert!(len > 190_000_000);
    let captured = server.captured(1).await;
    let res = captured.by_url("/big").res();
    assert_eq!((res.body.len(), &res.tail["full_len"]), (1 << 20, &json!(200_000_000)));
    assert_eq!((&res.tail["truncated"], &res.tail["error"]), (&json!(true), &json!(null)));
}

#[tokio::test]
async fn trailers_errors_and_size_hints_pass_and_are_told() {
    let kept = Kept::default();
    let emitter = Emitter::builder().output(kept.output()).build().unwrap();
    let trailers = HeaderMap::from_iter([(header::HeaderName::from_static("grpc-status"), "5".parse().unwrap())]);
    let given = trailers.clone();
    let inner = tower::service_fn(move |request: Request| {
        let given = given.clone();
        async move {
            let fails = request.uri().path() == "/fails";
            let last = if fails { Err("stream broke") } else { Ok(Frame::trailers(given)) };
            let frames = StreamBody::new(stream::iter([Ok(Frame::data(Bytes::from_static(b"part"))), last]));
            let answer = axum::http::Response::builder().header("content-type", "application/grpc");
            Ok::<_, std::convert::Infallible>(answer.body(frames).unwrap())
        }
    });
    let service = CaptureLayer::new(emitter.clone()).layer(tower::service_fn({
        move |request: axum::http::Request<reassemble_emitter::CaptureBody<Body>>| {
            inner.clone().oneshot(request.map(Body::new))
        }
    }));
    let ask = |path: &str| {
        Request::builder().uri(path).header("content-type", "application/grpc").body(Body::empty()).unwrap()
    };
    let answer = service.clone().oneshot(ask("/good")).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(answer.trailers(), Some(&trailers));
    assert_eq!(answer.to_bytes(), "part");
    let fault = service.clone().oneshot(ask("/fails")).await.unwrap().into_body().collect().await.unwrap_err();
    assert_eq!(fault, "stream broke");

    assert!(emitter.flush(PATIENCE));
    let captured = kept.read();
    let good = captured.by_url("/good");
    assert_eq!((&good.req().head["proto"], &good.res().head["status"]), (&json!("grpc"), &json!(null)));
    assert_eq!(
        (&good.res().tail["status"], &good.res().tail["trailers"]),
        (&json!("NOT_FOUND"), &json!([["grpc-status", "5"]]))
    );
    let fails = captured.by_url("/fails").res();
    assert_eq!((&fails.tail["error"], &fails.tail["truncated"]), (&json!("stream broke"), &json!(true)));
    assert_eq!(fails.body, b"part");
}

#[tokio::test]
async fn a_body_dropped_at_its_known_length_is_whole() {
    /// Says its size, and never that it has ended.
    struct Sized(Option<Bytes>);
    impl http_body::Body for Sized {
        type Data = Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready(self.0.take().map(|data| Ok(Frame::data(data))))
        }
        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.0.as_ref().map_or(0, |data| data.len() as u64))
        }
    }
    let kept = Kept::default();
    let emitter = Emitter::builder().output(kept.output()).build().unwrap();
    let mut service = CaptureLayer::new(emitter.clone()).layer(tower::service_fn(
        |_: axum::http::Request<reassemble_emitter::CaptureBody<Body>>| async {
            Ok::<_, std::convert::Infallible>(axum::http::Response::new(Sized(Some(Bytes::from_static(b"sized")))))
        },
    ));
    let mut answer = service.call(Request::new(Body::empty())).await.unwrap();
    assert_eq!(http_body::Body::size_hint(answer.body()).exact(), Some(5));
    answer.body_mut().frame().await.unwrap().unwrap();
    drop(answer);
    assert!(emitter.flush(PATIENCE));
    let captured = kept.read();
    assert_eq!(captured.by_url("/").res().tail["truncated"], json!(null));
}

#[tokio::test]
async fn filters_leave_paths_and_bodies_out() {
    let router = Router::new().route(
        "/{*path}",
        any(|Path(path): Path<String>| async move {
            let kind = if path.ends_with("png") { "image/png" } else { "text/plain" };
            ([(header::CONTENT_TYPE, kind)], if path.starts_with("empty") { "" } else { "12345" })
        }),
    );
    let server = Server::start(router, |b| b.skip_path("/health").skip_body_type("image/*")).await;
    for path in ["/health", "/x.png", "/x.txt", "/empty.png"] {
        plain_client().get(format!("{}{path}", server.url)).send().await.unwrap().bytes().await.unwrap();
    }
    let captured = server.captured(3).await;
    assert_eq!(captured.exchanges.len(), 3);
    assert_eq!(captured.by_url("empty.png").res().tail["truncated"], json!(null));
    let image = captured.by_url("x.png").res();
    assert_eq!((image.body.len(), &image.tail["truncated"], &image.tail["full_len"]), (0, &json!(true), &json!(5)));
    assert_eq!(captured.by_url("txt").res().body, b"12345");
}

#[tokio::test]
async fn outbound_calls_share_the_trace_and_name_their_cause() {
    let upstream =
        Server::start(Router::new().route("/price", post(|body: String| async move { format!("{body}: 3") })), |b| b)
            .await;
    let kept = Kept::default();
    let emitter = Emitter::builder().service("shop").output(kept.output()).build().unwrap();
    let client =
        reqwest_middleware::ClientBuilder::new(plain_client()).with(CaptureMiddleware::new(emitter.clone())).build();
    let price = format!("{}/price?key=s3cret", upstream.url);
    let handler = |State((client, price)): State<(ClientWithMiddleware, String)>,
                   peer: ConnectInfo<SocketAddr>,
                   request: Request| async move {
        let context = request.extensions().get::<CaptureContext>().unwrap().clone();
        assert_eq!(CaptureContext::current(), Some(context.clone()));
        // A spawned task starts without the context, unless it is given to it.
        let asked = tokio::spawn(context.scope(async move {
            let streamed = reqwest::Body::wrap_stream(stream::iter(["te", "a"].map(Ok::<_, std::io::Error>)));
            let answer = client.post(price).body(streamed).send().await.unwrap();
            assert!(answer.url().path() == "/price");
            answer.text().await.unwrap()
        }));
        (StatusCode::OK, format!("{} for {}", asked.await.unwrap(), peer.0.ip())).into_response()
    };
    let router = Router::new().route("/order", get(handler)).with_state((client.clone(), price));
    let shop = Server::start(router, |b| b).await;
    let answer = plain_client().get(format!("{}/order", shop.url)).send().await.unwrap().text().await.unwrap();
    assert_eq!(answer, "tea: 3 for 127.0.0.1");
    client.get("http://127.0.0.1:1/?token=s3cret").send().await.unwrap_err();
    assert!(emitter.flush(PATIENCE));

    let (inbound, outbound, upstream) = (shop.captured(1).await, kept.read(), upstream.captured(1).await);
    let (cause, order) = inbound.exchanges.iter().next().unwrap();
    let call = outbound.by_url("/price?key=[redacted]");
    assert_eq!((&call.req().head["dir"], &call.req().head["parent"]), (&json!("out"), &json!(cause)));
    assert_eq!((call.req().body.as_slice(), call.res().body.as_slice()), (&b"tea"[..], &b"tea: 3"[..]));
    let trace_id = |trace: &serde_json::Value| trace.as_str().unwrap()[3..35].to_owned();
    assert_eq!(trace_id(&order.req().head["trace"]), trace_id(&call.req().head["trace"]));
    assert_eq!(call.req().header("traceparent"), call.req().head["trace"].as_str());
    assert_eq!(upstream.by_url("/price?key=[redacted]").req().head["trace"], call.req().head["trace"]);
    let refused = outbound.by_url("/?token=[redacted]").res();
    let error = refused.tail["error"].as_str().unwrap();
    assert!(error.contains("refused") && !error.contains("s3cret"), "{error}");
}

#[tokio::test]
async fn upgrades_work_and_only_their_heads_are_captured() {
    let router = Router::new().route(
        "/ws",
        get(|mut request: Request| async move {
            let upgrade = request.extensions_mut().remove::<hyper::upgrade::OnUpgrade>().unwrap();
            tokio::spawn(async move {
                let mut io = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
                let mut word = [0; 4];
                io.read_exact(&mut word).await.unwrap();
                io.write_all(&word).await.unwrap();
            });
            (StatusCode::SWITCHING_PROTOCOLS, [("connection", "upgrade"), ("upgrade", "echo")])
        }),
    );
    let server = Server::start(router, |b| b).await;
    let mut io = TcpStream::connect(server.address).await.unwrap();
    io.write_all(b"GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(io.read_u8().await.unwrap());
    }
    io.write_all(b"ping").await.unwrap();
    let mut word = [0; 4];
    io.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"ping");
    let captured = server.captured(1).await;
    let exchange = captured.by_url("/ws");
    assert_eq!((&exchange.res().head["status"], exchange.res().body.len()), (&json!(101), 0));
    assert_eq!((&exchange.req().tail["error"], &exchange.res().tail["error"]), (&json!(null), &json!(null)));
}
