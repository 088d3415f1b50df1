//! What the shop serves: bodies of every kind that a capture meets.

use std::time::Duration;

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use futures_util::{StreamExt, stream};
use reqwest_middleware::ClientWithMiddleware;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{blob, journal::Journal};

/// What is on sale, and its price in cents.
const ITEMS: [(&str, u32); 4] = [("tea", 350), ("kettle", 2_900), ("cup", 800), ("žlutý hrnek ☕", 990)];

/// A picture of one yellow pixel.
const PICTURE: &[u8] = include_bytes!("picture.png");

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) client: ClientWithMiddleware,
    /// The base URL of who knows prices.
    pub(crate) supplier: String,
    /// Where notes are logged.
    pub(crate) notes: Option<Journal>,
}

pub(crate) fn router(shop: Shop) -> Router {
    Router::new()
        .route("/health", get(|| async { "ok" }))
        .route("/items", get(list))
        .route("/items/{name}", delete(|| async { StatusCode::NO_CONTENT }))
        .route("/orders", post(order))
        .route("/supply/{name}", get(supply))
        .route("/image", get(|| async { ([(header::CONTENT_TYPE, "image/png")], PICTURE) }))
        .route("/stream", get(ticker))
        .route("/blob", get(download))
        .route("/echo", post(echo))
        .route("/call", get(call))
        .route("/upload", post(upload))
        .route("/note", post(note))
        .route("/error", get(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "the till is jammed\n") }))
        .with_state(shop)
}

async fn list() -> Json<Value> {
    let items: Vec<_> = ITEMS.iter().map(|(name, cents)| json!({"name": name, "cents": cents})).collect();
    Json(json!({ "items": items }))
}

#[derive(Deserialize)]
struct Order {
    item: String,
    qty: u32,
}

#[derive(Deserialize, Serialize)]
struct Supply {
    cents: u32,
}

/// Asks the supplier for the price: the outbound call of this sample.
async fn order(State(shop): State<Shop>, Json(order): Json<Order>) -> Response {
    let url = format!("{}/supply/{}", shop.supplier, order.item);
    let answer = match shop.client.get(url).send().await {
        Ok(answer) if answer.status() == StatusCode::NOT_FOUND => {
            return (StatusCode::NOT_FOUND, Json(json!({"error": "no such item"}))).into_response();
        }
        Ok(answer) => answer.text().await.ok().and_then(|text| serde_json::from_str::<Supply>(&text).ok()),
        Err(_) => None,
    };
    match answer {
        Some(supply) => {
            let total = u64::from(supply.cents) * u64::from(order.qty);
            (StatusCode::CREATED, Json(json!({"item": order.item, "qty": order.qty, "total": total}))).into_response()
        }
        None => (StatusCode::BAD_GATEWAY, Json(json!({"error": "the supplier does not answer"}))).into_response(),
    }
}

async fn supply(Path(name): Path<String>) -> Response {
    match ITEMS.iter().find(|(item, _)| *item == name) {
        Some((_, cents)) => Json(Supply { cents: *cents }).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct Ticker {
    pieces: u64,
    size: usize,
    delay_ms: u64,
}

impl Default for Ticker {
    fn default() -> Self {
        Ticker { pieces: 10, size: 100, delay_ms: 1 }
    }
}

/// A response of unknown length that comes piece by piece.
async fn ticker(Query(ticker): Query<Ticker>) -> Response {
    let pieces = stream::iter(0..ticker.pieces).then(move |at| async move {
        tokio::time::sleep(Duration::from_millis(ticker.delay_ms)).await;
        Ok::<_, std::io::Error>(format!("{at:>width$}\n", width = ticker.size.clamp(2, 1 << 20) - 1))
    });
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(pieces)).into_response()
}

#[derive(Deserialize)]
#[serde(default)]
struct Blob {
    size: u64,
    seed: u64,
}

impl Default for Blob {
    fn default() -> Self {
        Blob { size: 1 << 20, seed: 1 }
    }
}

#[derive(Deserialize)]
struct Call {
    to: String,
}

/// Asks whoever is named, and gives the answer on: an outbound call that shares the request's trace.
async fn call(State(shop): State<Shop>, Query(Call { to }): Query<Call>) -> Response {
    let answer = match shop.client.post(to).body("called").send().await {
        Ok(answer) => answer.bytes().await.ok(),
        Err(_) => None,
    };
    answer.map_or_else(|| StatusCode::BAD_GATEWAY.into_response(), IntoResponse::into_response)
}

async fn download(Query(Blob { size, seed }): Query<Blob>) -> Response {
    let headers =
        [(header::CONTENT_TYPE, "application/octet-stream".to_owned()), (header::CONTENT_LENGTH, size.to_string())];
    let pieces = stream::iter(blob::pieces(size, seed)).map(Ok::<_, std::io::Error>);
    (headers, Body::from_stream(pieces)).into_response()
}

/// The request's body again, as it comes.
async fn echo(headers: HeaderMap, body: Body) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).cloned();
    let mut response = body.into_response();
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

/// Logs the request's body as an ordinary line.
async fn note(State(shop): State<Shop>, text: String) -> StatusCode {
    if let Some(notes) = &shop.notes {
        notes.line(&text, "noted");
    }
    StatusCode::NO_CONTENT
}

async fn upload(body: Body) -> Response {
    let (mut hash, mut len) = (Sha256::new(), 0);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let Ok(piece) = piece else { return StatusCode::BAD_REQUEST.into_response() };
        hash.update(&piece);
        len += piece.len();
    }
    let sha256: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Json(json!({"len": len, "sha256": sha256})).into_response()
}
