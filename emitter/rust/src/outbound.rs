//! `CaptureMiddleware`: captures what a service asks of others through reqwest.

use std::{error::Error as _, sync::Arc};

use http::{Extensions, HeaderValue};
use reassemble_formats::write::{Direction, Why};
use reqwest::{Body, Request, Response, ResponseBuilderExt};
use reqwest_middleware::{Error, Middleware, Next};

use crate::{
    context::CaptureContext,
    emitter::Emitter,
    half::Half,
    http::{body::CaptureBody, protocol, status},
    identity::{Draw, TraceParent},
    message::{Headers, Peer, RequestStart},
};

/// Captures what a reqwest client asks and is answered, as a middleware of reqwest-middleware.
///
/// A request without a `traceparent` gets one: within a request that `CaptureLayer` serves it continues that trace, and the capture names the inbound one as its
/// `parent`. Redirects are followed below the middleware: a capture holds the first request and the last response. Bodies of known bytes
/// stay as they are, so that reqwest can send them again; streams are captured as they pass.
///
/// ```
/// use reassemble_emitter::{CaptureMiddleware, Emitter};
///
/// let emitter = Emitter::disabled();
/// let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(CaptureMiddleware::new(emitter)).build();
/// ```
#[derive(Clone, Debug)]
pub struct CaptureMiddleware {
    emitter: Emitter,
}

impl CaptureMiddleware {
    /// A middleware that hands captures to `emitter`.
    pub fn new(emitter: Emitter) -> CaptureMiddleware {
        CaptureMiddleware { emitter }
    }

    /// Decides on a request; gives it a `traceparent` where it has none. The halves are those of the capture, if it is one.
    fn begin(&self, request: &mut Request) -> Option<(Half, Half)> {
        let shared = self.emitter.shared()?;
        if !shared.settings.lets_http(request.method().as_str(), request.url().path()) {
            return None;
        }
        let draw = Draw::new();
        let (id, ts_us) = draw.begin_now()?;
        let context = CaptureContext::current();
        let given = request.headers().get("traceparent").and_then(|value| TraceParent::parse(value.to_str().ok()?));
        let trace = match (given, &context) {
            (Some(given), _) => given,
            (None, Some(context)) => context.trace().child(&draw.bytes()?),
            (None, None) => TraceParent::new(&draw.bytes()?),
        };
        if !request.headers().contains_key("traceparent")
            && let Ok(value) = HeaderValue::from_str(trace.as_str())
        {
            request.headers_mut().insert("traceparent", value);
        }
        let mut start = RequestStart {
            id,
            ts_us,
            dir: Direction::Out,
            proto: protocol(request.version(), request.headers()),
            method: request.method().as_str(),
            url: [request.url().as_str(), "", "", ""],
            route: request.url().path(),
            headers: Headers::Map(request.headers()),
            peer: Peer::None,
            trace: Some(&trace),
            parent: context.and_then(|context| context.id()),
            tags: None,
            why: Why::All,
            oneway: false,
        };
        let live = shared.begin(&draw, &mut start)?;
        Some((Half::request(Arc::clone(&live)), Half::response(live)))
    }
}

#[async_trait::async_trait]
impl Middleware for CaptureMiddleware {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let Some((asked, mut answered)) = self.begin(&mut request) else { return next.run(request, extensions).await };
        capture_request_body(&mut request, asked);
        let bodyless = request.method() == http::Method::HEAD;
        match next.run(request, extensions).await {
            Ok(response) => {
                let status = status(response.status(), response.headers());
                answered.respond(status.as_ref(), Headers::Map(response.headers()));
                Ok(capture_response_body(response, answered, bodyless))
            }
            Err(error) => {
                answered.fail(&describe(&error));
                Err(error)
            }
        }
    }
}

fn capture_request_body(request: &mut Request, mut half: Half) {
    half.filter_body(request.headers());
    match request.body_mut().take() {
        None => half.end(Headers::None),
        Some(body) => {
            let body = match body.as_bytes() {
                Some(bytes) => {
                    half.body_slice(bytes);
                    half.end(Headers::None);
                    body
                }
                None => Body::wrap(CaptureBody::captured(body, half, request.headers(), None)),
            };
            *request.body_mut() = Some(body);
        }
    }
}

/// The response again, with a body that is captured as it is read. Its URL is not among the parts of an `http::Response` and is carried over.
fn capture_response_body(response: Response, mut half: Half, bodyless: bool) -> Response {
    half.filter_body(response.headers());
    let url = http::Response::builder().url(response.url().clone()).body(());
    let (mut parts, body) = http::Response::<Body>::from(response).into_parts();
    if let Ok(url) = url {
        parts.extensions.extend(url.into_parts().0.extensions);
    }
    let body = if bodyless {
        CaptureBody::bodyless(body, half, None)
    } else {
        CaptureBody::captured(body, half, &parts.headers, None)
    };
    Response::from(http::Response::from_parts(parts, Body::wrap(body)))
}

/// An error in words, without its URL, which may hold secrets.
fn describe(error: &Error) -> String {
    let Error::Reqwest(error) = error else { return "middleware error".to_owned() };
    let kind = match error {
        error if error.is_timeout() => "timeout",
        error if error.is_connect() => "connect error",
        error if error.is_redirect() => "redirect error",
        error if error.is_body() => "body error",
        _ => "request error",
    };
    let mut text = kind.to_owned();
    let mut cause = error.source();
    while let Some(fault) = cause {
        text.push_str(": ");
        text.push_str(&fault.to_string());
        cause = fault.source();
    }
    text
}
