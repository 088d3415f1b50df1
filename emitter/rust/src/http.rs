//! What servers and clients of `http` types share: bodies that are captured as they pass, and what headers tell of a message.

pub(crate) mod body;
#[cfg(feature = "tower")]
pub(crate) mod layer;

use http::{HeaderMap, Version, header};

use crate::message::CaptureStatus;

/// The names of gRPC's status codes, by number.
const GRPC_STATUS: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The protocol as heads spell it.
pub(crate) fn protocol(version: Version, headers: &HeaderMap) -> &'static str {
    if is_grpc(headers) {
        return "grpc";
    }
    match version {
        Version::HTTP_09 => "http/0.9",
        Version::HTTP_10 => "http/1.0",
        Version::HTTP_2 => "h2",
        Version::HTTP_3 => "h3",
        _ => "http/1.1",
    }
}

/// Whether a message is gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    content_type(headers).starts_with("application/grpc")
}

/// The content type as it stands; empty where there is none.
pub(crate) fn content_type(headers: &HeaderMap) -> &str {
    text(headers, header::CONTENT_TYPE)
}

/// The declared length of a body, by its headers.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    text(headers, header::CONTENT_LENGTH).parse().ok()
}

/// The name of the gRPC status that headers or trailers hold.
pub(crate) fn grpc_status(headers: &HeaderMap) -> Option<CaptureStatus> {
    let code = headers.get("grpc-status")?.to_str().ok()?;
    let name = code.parse().ok().and_then(|at: usize| GRPC_STATUS.get(at).copied());
    Some(name.map_or_else(|| CaptureStatus::from(code.to_owned()), CaptureStatus::from))
}

/// What is known of the status when a response begins: gRPC's own comes with its trailers, unless there is no body.
pub(crate) fn status(code: http::StatusCode, headers: &HeaderMap) -> Option<CaptureStatus> {
    if is_grpc(headers) && code == http::StatusCode::OK { grpc_status(headers) } else { Some(code.as_u16().into()) }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
