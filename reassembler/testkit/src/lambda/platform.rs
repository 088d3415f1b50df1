//! What Lambda is to an extension: the Extensions API and the Telemetry API over real HTTP. It does what a test says and remembers what it was told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::process::{PATIENCE, Process};

const IDENTIFIER: &str = "extension-1";

/// How this Lambda is.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Schemas that it refuses.
    pub refused_schemas: &'static [&'static str],
    /// Whether several invocations run at once: nobody is told of them.
    pub is_managed: bool,
    /// Whether it has no Telemetry API, as the runtime interface emulator.
    pub has_no_telemetry: bool,
}

#[derive(Debug, Default)]
struct Told {
    name: String,
    events: Vec<String>,
    subscriptions: Vec<Value>,
    subscribed: Option<u16>,
    subscribed_at: Option<Instant>,
    asked: usize,
    asked_at: Option<Instant>,
    answered: usize,
    waiting: VecDeque<Value>,
    deadline: Option<Instant>,
    overdue: usize,
    to_break: usize,
    errors: Vec<(String, Value)>,
}

#[derive(Debug)]
struct Shared {
    options: Options,
    told: Mutex<Told>,
}

/// The platform, for as long as this lives.
#[derive(Debug)]
pub struct Platform {
    address: SocketAddr,
    shared: Arc<Shared>,
    client: reqwest::Client,
    time: Mutex<u64>,
    runtime: Runtime,
}

impl Platform {
    /// A platform on which no extension runs yet.
    pub fn start(options: Options) -> Platform {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { options, told: Mutex::default() });
        let app = Router::new()
            .route("/2020-01-01/extension/register", post(register))
            .route("/2020-01-01/extension/event/next", get(next))
            .route("/2020-01-01/extension/init/error", post(error))
            .route("/2020-01-01/extension/exit/error", post(error))
            .route("/2022-07-01/telemetry", put(subscribe))
            .with_state(shared.clone());
        runtime.spawn(async move { axum::serve(listener, app).await });
        Platform { address, shared, client: reqwest::Client::new(), time: Mutex::new(0), runtime }
    }

    /// Starts an extension with nothing in its environment but what Lambda and `configure` give it. What it says is added to a file in this folder,
    /// which is one for all that are started there.
    pub fn start_extension(&self, binary: &Path, dir: &Path, configure: impl FnOnce(&mut Command)) -> Process {
        let mut command = Command::new(binary);
        command.env_clear().env("AWS_LAMBDA_RUNTIME_API", self.address.to_string()).stdin(Stdio::null());
        configure(&mut command);
        Process::start_saying(command, dir.join("stderr"))
    }

    fn told<T>(&self, look: impl FnOnce(&mut Told) -> T) -> T {
        look(&mut self.shared.told.lock().unwrap())
    }

    /// Waits until something was told.
    fn until<T>(&self, what: &str, mut look: impl FnMut(&mut Told) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = self.told(&mut look) {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "waited too long for {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Forgets the process that was registered: it was killed, and another begins.
    pub fn reset(&self) {
        self.told(|told| {
            told.subscribed = None;
            told.waiting.clear();
            (told.asked, told.answered, told.deadline) = (0, 0, None);
        });
    }

    /// Waits until the extension is done with all it was told, and asks for more; gives when it asked.
    pub fn idle(&self) -> Instant {
        self.until("the extension to ask for the next event", |told| {
            told.asked_at.filter(|_| told.asked > told.answered && told.waiting.is_empty())
        })
    }

    /// What the extension's file is called, and the events that it wants.
    pub fn registered(&self) -> (String, Vec<String>) {
        self.until("a registration", |told| (!told.name.is_empty()).then(|| (told.name.clone(), told.events.clone())))
    }

    /// Every subscription that was asked for, also those that were refused.
    pub fn subscriptions(&self) -> Vec<Value> {
        self.told(|told| told.subscriptions.clone())
    }

    /// When it was registered and subscribed.
    pub fn subscribed_at(&self) -> Instant {
        self.until("a subscription", |told| told.subscribed_at)
    }

    /// What was told as an error of the extension: where, and what.
    pub fn errors(&self) -> Vec<(String, Value)> {
        self.told(|told| told.errors.clone())
    }

    /// Invocations at whose deadline the extension was not done: they count as timed out.
    pub fn overdue(&self) -> usize {
        self.told(|told| told.overdue)
    }

    /// Breaks so many connections on which the extension waits for events, the first of them now.
    pub fn break_waiting(&self, times: usize) {
        self.told(|told| told.to_break = times);
        self.until("the connections to break", |told| (told.to_break == 0).then_some(()));
    }

    /// Begins an invocation that times out after so long.
    pub fn invoke(&self, request_id: &str, limit: Duration) {
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + limit;
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap();
        self.told(|told| {
            told.deadline = Some(Instant::now() + limit);
            told.waiting.push_back(json!({
                "eventType": "INVOKE", "deadlineMs": deadline_ms, "requestId": request_id,
                "invokedFunctionArn": "arn:aws:lambda:us-east-1:1:function:f", "tracing": {},
            }));
        });
    }

    /// Says that the environment ends.
    pub fn shut_down(&self, reason: &str) {
        let event = json!({"eventType": "SHUTDOWN", "shutdownReason": reason, "deadlineMs": 0});
        self.told(|told| told.waiting.push_back(event));
    }

    /// An element of telemetry, each with a time of its own.
    pub fn element(&self, kind: &str, record: &Value) -> String {
        let mut time = self.time.lock().unwrap();
        *time += 1;
        format!("{{\"time\":\"2026-11-28T00:00:00.{:06}Z\",\"type\":\"{kind}\",\"record\":{record}}}", *time)
    }

    /// What the function printed, a record each.
    pub fn printed<R: Into<Value> + Clone>(&self, records: &[R]) -> Vec<String> {
        records.iter().map(|record| self.element("function", &record.clone().into())).collect()
    }

    /// That the runtime has answered.
    pub fn runtime_done(&self, request_id: &str) -> String {
        self.element("platform.runtimeDone", &json!({"requestId": request_id, "status": "success"}))
    }

    /// Pushes elements in one POST.
    pub fn push(&self, elements: &[String]) {
        assert_eq!(self.post(format!("[{}]", elements.join(","))), 200);
    }

    /// Pushes bytes; gives the status.
    pub fn post(&self, body: impl Into<reqwest::Body>) -> u16 {
        let request = self.client.post(self.destination()).body(body);
        let answered = self.runtime.block_on(async { request.send().await.map(|answer| answer.status().as_u16()) });
        answered.unwrap()
    }

    /// Pushes many POSTs at once, each on a connection of its own.
    pub fn post_at_once(&self, bodies: Vec<String>) {
        let destination = self.destination();
        self.runtime.block_on(async {
            let posts: Vec<_> = bodies
                .into_iter()
                .map(|body| tokio::spawn(reqwest::Client::new().post(&destination).body(body).send()))
                .collect();
            for post in posts {
                assert_eq!(post.await.unwrap().unwrap().status(), 200);
            }
        });
    }

    /// Where telemetry goes, on this machine.
    pub fn destination(&self) -> String {
        let port = self.until("a subscription", |told| told.subscribed);
        format!("http://127.0.0.1:{port}/")
    }
}

async fn register(State(shared): State<Arc<Shared>>, headers: HeaderMap, Json(wanted): Json<Value>) -> Response {
    let events: Vec<_> =
        wanted["events"].as_array().unwrap().iter().map(|event| event.as_str().unwrap().to_owned()).collect();
    if shared.options.is_managed && events.iter().any(|event| event == "INVOKE") {
        let said = json!({"errorMessage": "INVOKE is not supported", "errorType": "Extension.InvalidEventType"});
        return (StatusCode::FORBIDDEN, Json(said)).into_response();
    }
    let mut told = shared.told.lock().unwrap();
    told.name = headers["lambda-extension-name"].to_str().unwrap().to_owned();
    told.events = events;
    let said = json!({"functionName": "f", "functionVersion": "$LATEST", "handler": "h"});
    ([("lambda-extension-identifier", IDENTIFIER)], Json(said)).into_response()
}

async fn next(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if headers.get("lambda-extension-identifier").is_none_or(|id| id != IDENTIFIER) {
        return StatusCode::FORBIDDEN.into_response();
    }
    {
        let mut told = shared.told.lock().unwrap();
        told.asked += 1;
        told.asked_at = Some(Instant::now());
        let late = told.deadline.take().is_some_and(|deadline| Instant::now() > deadline);
        told.overdue += usize::from(late);
    }
    loop {
        {
            let mut told = shared.told.lock().unwrap();
            if told.to_break > 0 {
                (told.to_break, told.asked) = (told.to_break - 1, told.asked - 1);
                let broken = async { Err::<Bytes, _>(std::io::Error::other("it breaks")) };
                return Body::from_stream(stream::once(broken)).into_response();
            }
            if let Some(event) = told.waiting.pop_front() {
                told.answered += 1;
                return Json(event).into_response();
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn error(State(shared): State<Arc<Shared>>, uri: Uri, body: Bytes) -> StatusCode {
    let said = serde_json::from_slice(&body).unwrap();
    shared.told.lock().unwrap().errors.push((uri.path().to_owned(), said));
    StatusCode::ACCEPTED
}

async fn subscribe(State(shared): State<Arc<Shared>>, Json(wanted): Json<Value>) -> Response {
    let mut told = shared.told.lock().unwrap();
    told.subscriptions.push(wanted.clone());
    if shared.options.has_no_telemetry {
        let said = json!({"errorMessage": "Telemetry API is not supported", "errorType": "Telemetry.NotSupported"});
        return (StatusCode::ACCEPTED, Json(said)).into_response();
    }
    let schema = wanted["schemaVersion"].as_str().unwrap();
    if shared.options.refused_schemas.contains(&schema) {
        let said = json!({"errorMessage": format!("no schema {schema}"), "errorType": "ValidationError"});
        return (StatusCode::BAD_REQUEST, Json(said)).into_response();
    }
    let uri = wanted["destination"]["URI"].as_str().unwrap();
    let port = uri.strip_prefix("http://sandbox.localdomain:").unwrap().parse().unwrap();
    // As Lambda does, only where somebody listens already.
    if std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        return StatusCode::BAD_REQUEST.into_response();
    }
    told.subscribed = Some(port);
    told.subscribed_at = Some(Instant::now());
    (StatusCode::OK, "OK").into_response()
}
