//! What Lambda is to a function: the Runtime API, as far as a function needs it ("Using the Lambda runtime API for custom runtimes"). It hands out
//! events and takes what comes of them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, mpsc, oneshot};

/// How long a function has for an invocation, where a test does not say.
const TIME: Duration = Duration::from_secs(120);

/// What came of an invocation: its answer, or its error's message.
pub type Outcome = Result<Value, String>;

#[derive(Debug)]
struct Invocation {
    event: String,
    deadline: SystemTime,
    outcome: oneshot::Sender<Outcome>,
}

#[derive(Debug)]
struct Shared {
    invocations: Mutex<(u64, mpsc::UnboundedReceiver<Invocation>)>,
    under_way: Mutex<HashMap<String, oneshot::Sender<Outcome>>>,
}

/// The API, for as long as this lives.
#[derive(Debug)]
pub struct RuntimeApi {
    address: SocketAddr,
    invocations: mpsc::UnboundedSender<Invocation>,
    runtime: Runtime,
}

impl RuntimeApi {
    /// Serves at a port of this machine.
    pub fn start() -> RuntimeApi {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (invocations, waiting) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { invocations: Mutex::new((0, waiting)), under_way: Mutex::default() });
        let app = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .with_state(shared);
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, app).await.unwrap() });
        RuntimeApi { address, invocations, runtime }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Invokes the function and waits for what comes of it.
    pub fn invoke(&self, event: &str) -> Outcome {
        self.invoke_within(event, TIME)
    }

    /// The same, with so long until its deadline; it must not pass.
    pub fn invoke_within(&self, event: &str, time: Duration) -> Outcome {
        let (outcome, comes) = oneshot::channel();
        let deadline = SystemTime::now() + time;
        self.invocations.send(Invocation { event: event.to_owned(), deadline, outcome }).unwrap();
        let answer = self.runtime.block_on(async { tokio::time::timeout(time, comes).await });
        answer.expect("an answer before the deadline").unwrap()
    }
}

async fn next(State(shared): State<Arc<Shared>>) -> Response {
    let mut invocations = shared.invocations.lock().await;
    let Some(invocation) = invocations.1.recv().await else { return StatusCode::GONE.into_response() };
    invocations.0 += 1;
    let id = format!("8476a536-e9f4-11e8-9739-{:012}", invocations.0);
    shared.under_way.lock().await.insert(id.clone(), invocation.outcome);
    let deadline = invocation.deadline.duration_since(UNIX_EPOCH).unwrap();
    let headers = [
        ("lambda-runtime-aws-request-id", id),
        ("lambda-runtime-deadline-ms", deadline.as_millis().to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-central-1:123456789012:function:forwarder".to_owned(),
        ),
        ("content-type", "application/json".to_owned()),
    ];
    (headers, invocation.event).into_response()
}

async fn response(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    shared.ends(&id, Ok(serde_json::from_slice(&body).unwrap())).await
}

async fn error(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    let body: Value = serde_json::from_slice(&body).unwrap();
    shared.ends(&id, Err(body["errorMessage"].as_str().unwrap().to_owned())).await
}

impl Shared {
    async fn ends(&self, id: &str, outcome: Outcome) -> StatusCode {
        let waits = self.under_way.lock().await.remove(id).expect("an invocation under way");
        drop(waits.send(outcome));
        StatusCode::ACCEPTED
    }
}
