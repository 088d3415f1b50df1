//! `CaptureLayer`: captures what a server is asked and answers, for any tower service of `http` types.

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Extensions, HeaderName, Method, Request, Response, StatusCode, header, request};
use http_body::Body;
use pin_project_lite::pin_project;
use reassemble_formats::write::{Direction, Why};
use tower_layer::Layer;
use tower_service::Service;

use super::{body::CaptureBody, protocol, status};
use crate::{
    context::{CaptureContext, within},
    emitter::Emitter,
    half::Half,
    identity::{Draw, TraceParent},
    message::{Headers, Peer, RequestStart},
};

/// Where a request bears its trace.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Where a peer's address is found among a request's extensions.
type PeerOf = Arc<dyn Fn(&Extensions) -> Option<String> + Send + Sync>;

/// Captures what a server is asked and answers.
///
/// The request's extensions gain a [`CaptureContext`]; within the handler, and while its bodies are polled, [`CaptureContext::current`] gives it
/// too, so that what the handler calls bears the trace and names its cause. Protocol upgrades (websockets, `CONNECT`) keep working: their heads are captured, what
/// flows after them is not.
///
/// ```
/// use axum::{Router, routing::get};
/// use reassemble_emitter::{CaptureLayer, Emitter};
///
/// let emitter = Emitter::disabled();
/// let app: Router = Router::new().route("/", get(|| async { "hello" })).layer(CaptureLayer::new(emitter));
/// ```
#[derive(Clone)]
pub struct CaptureLayer {
    emitter: Emitter,
    scheme: Option<Arc<str>>,
    peer_of: Option<PeerOf>,
}

impl CaptureLayer {
    /// A layer that hands captures to `emitter`.
    pub fn new(emitter: Emitter) -> CaptureLayer {
        CaptureLayer { emitter, scheme: None, peer_of: None }
    }

    /// The scheme by which clients reach this server, `http` or `https`. With it, and the `Host` header, the URLs of HTTP/1 requests are absolute.
    #[must_use]
    pub fn scheme(mut self, scheme: &str) -> CaptureLayer {
        self.scheme = Some(scheme.into());
        self
    }

    /// Where the peer's address is found among a request's extensions. With the feature `axum` it is `ConnectInfo<SocketAddr>` unless set otherwise.
    #[must_use]
    pub fn peer(mut self, of: impl Fn(&Extensions) -> Option<String> + Send + Sync + 'static) -> CaptureLayer {
        self.peer_of = Some(Arc::new(of));
        self
    }

    /// Decides on a request; puts its context into its extensions.
    fn begin(&self, parts: &mut request::Parts) -> (Option<CaptureContext>, Option<(Half, Half)>) {
        let Some(shared) = self.emitter.shared() else { return (None, None) };
        if !shared.settings.lets_http(parts.method.as_str(), parts.uri.path()) {
            return (None, None);
        }
        let draw = Draw::new();
        let Some((id, ts_us)) = draw.begin_now() else { return (None, None) };
        let received = parts.headers.get(TRACEPARENT).and_then(|value| TraceParent::parse(value.to_str().ok()?));
        let Some(trace) = received.or_else(|| Some(TraceParent::new(&draw.bytes()?))) else { return (None, None) };
        let live = {
            let named = self.peer_of.as_ref().and_then(|of| of(&parts.extensions));
            let peer = match &self.peer_of {
                Some(_) => named.as_deref().map_or(Peer::None, Peer::Text),
                None => peer_address(&parts.extensions).map_or(Peer::None, Peer::Address),
            };
            let mut start = RequestStart {
                id,
                ts_us,
                dir: Direction::In,
                proto: protocol(parts.version, &parts.headers),
                method: parts.method.as_str(),
                url: self.url(parts),
                route: parts.uri.path(),
                headers: Headers::Map(&parts.headers),
                peer,
                trace: Some(&trace),
                parent: None,
                tags: None,
                why: Why::All,
                oneway: false,
            };
            shared.begin(&draw, &mut start)
        };
        let context = CaptureContext::new(live.as_ref().map(|_| id), trace);
        parts.extensions.insert(context.clone());
        let halves = live.map(|live| {
            let mut request = Half::request(Arc::clone(&live));
            request.filter_body(&parts.headers);
            (request, Half::response(live))
        });
        (Some(context), halves)
    }

    /// The URL, in pieces.
    fn url<'a>(&'a self, parts: &'a request::Parts) -> [&'a str; 4] {
        let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
        let host = || parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        match (parts.uri.scheme_str(), parts.uri.authority(), &self.scheme) {
            (Some(scheme), Some(authority), _) => [scheme, "://", authority.as_str(), path],
            (_, Some(authority), _) => ["", "", authority.as_str(), path],
            (_, None, Some(scheme)) => host().map_or(["", "", "", path], |host| [scheme, "://", host, path]),
            (_, None, None) => ["", "", "", path],
        }
    }
}

fn peer_address(extensions: &Extensions) -> Option<SocketAddr> {
    #[cfg(feature = "axum")]
    if let Some(peer) = extensions.get::<axum::extract::ConnectInfo<SocketAddr>>() {
        return Some(peer.0);
    }
    extensions.get().copied()
}

impl fmt::Debug for CaptureLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaptureLayer")
            .field("emitter", &self.emitter)
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for CaptureLayer {
    type Service = CaptureService<S>;

    fn layer(&self, inner: S) -> CaptureService<S> {
        CaptureService { inner, layer: self.clone() }
    }
}

/// A service whose requests and responses are captured. See [`CaptureLayer`].
#[derive(Clone, Debug)]
pub struct CaptureService<S> {
    inner: S,
    layer: CaptureLayer,
}

impl<S, A, B> Service<Request<A>> for CaptureService<S>
where
    S: Service<Request<CaptureBody<A>>, Response = Response<B>>,
    A: Body,
    B: Body,
{
    type Response = Response<CaptureBody<B>>;
    type Error = S::Error;
    type Future = CaptureFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let (context, halves) = self.layer.begin(&mut parts);
        let bodyless = parts.method == Method::HEAD || parts.method == Method::CONNECT;
        let (body, response) = match halves {
            // What flows through a tunnel is no body.
            Some((request, response)) if parts.method == Method::CONNECT => {
                (CaptureBody::bodyless(body, request, None), Some(response))
            }
            Some((request, response)) => (CaptureBody::captured(body, request, &parts.headers, None), Some(response)),
            None => (CaptureBody::plain(body, None), None),
        };
        let request = Request::from_parts(parts, body);
        let future = within(context.as_ref(), || self.inner.call(request));
        CaptureFuture { future, context, response, bodyless }
    }
}

pin_project! {
    /// What [`CaptureService`] answers with. Dropped before it is ready, the capture ends with the error `cancelled`.
    #[derive(Debug)]
    pub struct CaptureFuture<F> {
        #[pin]
        future: F,
        context: Option<CaptureContext>,
        response: Option<Half>,
        bodyless: bool,
    }
}

impl<F, B, E> Future for CaptureFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<CaptureBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(within(this.context.as_ref(), || this.future.poll(cx)));
        let context = this.context.take();
        let half = this.response.take();
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                if let Some(mut half) = half {
                    half.fail("service error");
                }
                return Poll::Ready(Err(error));
            }
        };
        let (parts, body) = response.into_parts();
        let body = match half {
            None => CaptureBody::plain(body, context),
            Some(mut half) => {
                half.respond(status(parts.status, &parts.headers).as_ref(), Headers::Map(&parts.headers));
                let bodyless = *this.bodyless
                    || parts.status.is_informational()
                    || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
                if bodyless {
                    CaptureBody::bodyless(body, half, context)
                } else {
                    half.filter_body(&parts.headers);
                    CaptureBody::captured(body, half, &parts.headers, context)
                }
            }
        };
        Poll::Ready(Ok(Response::from_parts(parts, body)))
    }
}
