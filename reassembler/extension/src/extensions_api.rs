//! The Extensions API of Lambda, version 2020-01-01, and the subscription to its Telemetry API: plain HTTP to the address in
//! `AWS_LAMBDA_RUNTIME_API`.
//!
//! Every request has a connection of its own: after a freeze one that was kept may be dead.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::{Deserialize, Serialize};

use crate::telemetry::{MAX_BYTES, MAX_ITEMS, TIMEOUT_MS};

/// Schemas of the Telemetry API, the newest first; each is asked for where the one before is refused.
const SCHEMAS: [&str; 3] = ["2025-01-29", "2022-12-13", "2022-07-01"];
/// How long any request but `next` may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How often `next` is asked before its errors count: the platform may break a connection when it freezes or thaws.
const TRIES: u32 = 5;
/// The wait before the second try; it doubles.
const BETWEEN_TRIES: Duration = Duration::from_millis(20);
/// What an answer may be quoted with, in bytes.
const MOST_QUOTED: usize = 300;

/// Why a request had no success.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// There was no answer.
    #[error("{what}: {source}")]
    Unreachable {
        /// What was asked.
        what: &'static str,
        /// What happened.
        source: reqwest::Error,
    },
    /// It was refused.
    #[error("{what}: status {status}: {answer}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// The answer's status.
        status: StatusCode,
        /// What it says, shortened.
        answer: String,
    },
    /// The answer is not as the API says.
    #[error("{what}: the answer lacks {lacks}")]
    Answer {
        /// What was asked.
        what: &'static str,
        /// What is missing.
        lacks: &'static str,
    },
}

impl ApiError {
    fn is_refused_with(&self, refused: StatusCode) -> bool {
        matches!(self, ApiError::Refused { status, .. } if *status == refused)
    }
}

/// What the extension is told by `next`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "eventType")]
pub enum Event {
    /// A request came to the function.
    #[serde(rename = "INVOKE", rename_all = "camelCase")]
    Invoke {
        /// Its id.
        request_id: String,
        /// When it times out, in milliseconds since the Unix epoch.
        deadline_ms: u64,
    },
    /// The environment ends.
    #[serde(rename = "SHUTDOWN", rename_all = "camelCase")]
    Shutdown {
        /// Why: `spindown`, `timeout` or `failure`.
        #[serde(default)]
        shutdown_reason: String,
    },
}

/// An extension that is registered.
#[derive(Clone, Debug)]
pub struct ExtensionsApi {
    client: Client,
    base: String,
    id: String,
    /// Whether it is told of each invocation. On managed instances, where several run at once, none is.
    pub is_told_of_invocations: bool,
}

#[derive(Serialize)]
struct Registration {
    events: &'static [&'static str],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Subscription<'s> {
    schema_version: &'s str,
    types: [&'s str; 2],
    buffering: Buffering,
    destination: Destination<'s>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Buffering {
    max_bytes: usize,
    max_items: usize,
    timeout_ms: u64,
}

#[derive(Serialize)]
struct Destination<'s> {
    protocol: &'s str,
    #[serde(rename = "URI")]
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure<'f> {
    error_message: &'f str,
    error_type: &'f str,
    stack_trace: [&'f str; 0],
}

impl ExtensionsApi {
    /// Registers the extension of this name, which must be its file's, at a host and port.
    ///
    /// # Errors
    /// Where nobody answers, or it is refused.
    pub async fn register(host: &str, name: &str) -> Result<ExtensionsApi, ApiError> {
        const WHAT: &str = "cannot register with Lambda";
        let client = Client::builder().no_proxy().pool_max_idle_per_host(0).build();
        let client = client.map_err(|source| ApiError::Unreachable { what: WHAT, source })?;
        let mut api =
            ExtensionsApi { client, base: format!("http://{host}"), id: String::new(), is_told_of_invocations: true };
        let registered = match api.send_registration(WHAT, name, &["INVOKE", "SHUTDOWN"]).await {
            Err(error) if error.is_refused_with(StatusCode::FORBIDDEN) => {
                api.is_told_of_invocations = false;
                api.send_registration(WHAT, name, &["SHUTDOWN"]).await
            }
            registered => registered,
        };
        let response = registered?;
        let id = response.headers().get("lambda-extension-identifier").and_then(|id| id.to_str().ok());
        api.id = id.ok_or(ApiError::Answer { what: WHAT, lacks: "the extension's identifier" })?.to_owned();
        Ok(api)
    }

    async fn send_registration(
        &self,
        what: &'static str,
        name: &str,
        events: &'static [&'static str],
    ) -> Result<reqwest::Response, ApiError> {
        let request = self.client.post(format!("{}/2020-01-01/extension/register", self.base));
        let request = request.header("lambda-extension-name", name).timeout(TIMEOUT);
        send(what, json(request, &Registration { events })).await
    }

    /// Has the Telemetry API push to this port of this machine, in the newest schema that it takes.
    ///
    /// # Errors
    /// Where nobody answers, or all schemas are refused; also where the platform has no such API (status 202).
    pub async fn subscribe(&self, port: u16) -> Result<&'static str, ApiError> {
        const WHAT: &str = "cannot subscribe to the function's output";
        let mut refused = None;
        for schema_version in SCHEMAS {
            let subscription = Subscription {
                schema_version,
                types: ["platform", "function"],
                buffering: Buffering { max_bytes: MAX_BYTES, max_items: MAX_ITEMS, timeout_ms: TIMEOUT_MS },
                destination: Destination { protocol: "HTTP", uri: format!("http://sandbox.localdomain:{port}") },
            };
            let request = self.request(Method::PUT, "/2022-07-01/telemetry").timeout(TIMEOUT);
            match send(WHAT, json(request, &subscription)).await {
                // So the runtime interface emulator says that it has no telemetry.
                Ok(response) if response.status() == StatusCode::ACCEPTED => {
                    return Err(refusal(WHAT, response).await);
                }
                Ok(_) => return Ok(schema_version),
                Err(error @ ApiError::Refused { .. }) => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(refused.unwrap_or(ApiError::Answer { what: WHAT, lacks: "a schema" }))
    }

    /// Says that the extension is done with all before, and waits for what comes: without end, for the environment may be frozen.
    ///
    /// # Errors
    /// Where it is refused, or several tries were in vain.
    pub async fn next(&self) -> Result<Event, ApiError> {
        const WHAT: &str = "cannot get the next event from Lambda";
        let mut wait = BETWEEN_TRIES;
        let mut tries = 1;
        loop {
            let asked = send(WHAT, self.request(Method::GET, "/2020-01-01/extension/event/next")).await;
            let answer = match asked {
                Ok(response) => response.bytes().await.map_err(|source| ApiError::Unreachable { what: WHAT, source }),
                Err(error) => Err(error),
            };
            match answer {
                Ok(event) => {
                    let lacks = ApiError::Answer { what: WHAT, lacks: "an event of a known type" };
                    return serde_json::from_slice(&event).map_err(|_| lacks);
                }
                Err(ApiError::Unreachable { .. }) if tries < TRIES => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells why the extension cannot begin: Lambda then fails the start of the environment and shows this.
    ///
    /// # Errors
    /// Where nobody answers, or it is refused.
    pub async fn init_error(&self, kind: &str, message: &str) -> Result<(), ApiError> {
        self.fail("/2020-01-01/extension/init/error", kind, message).await
    }

    /// Tells why the extension cannot go on.
    ///
    /// # Errors
    /// Where nobody answers, or it is refused.
    pub async fn exit_error(&self, kind: &str, message: &str) -> Result<(), ApiError> {
        self.fail("/2020-01-01/extension/exit/error", kind, message).await
    }

    async fn fail(&self, path: &str, error_type: &str, error_message: &str) -> Result<(), ApiError> {
        let request = self.request(Method::POST, path).timeout(TIMEOUT);
        let request = request.header("lambda-extension-function-error-type", error_type);
        let failure = Failure { error_message, error_type, stack_trace: [] };
        send("cannot tell Lambda of an error", json(request, &failure)).await.map(drop)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).header("lambda-extension-identifier", &self.id)
    }
}

fn json(request: RequestBuilder, body: &impl Serialize) -> RequestBuilder {
    // What is written here is plain structures, which have JSON forms.
    let body = serde_json::to_vec(body).unwrap_or_default();
    request.header("content-type", "application/json").body(body)
}

async fn send(what: &'static str, request: RequestBuilder) -> Result<reqwest::Response, ApiError> {
    let response = request.send().await.map_err(|source| ApiError::Unreachable { what, source })?;
    if response.status().is_success() { Ok(response) } else { Err(refusal(what, response).await) }
}

async fn refusal(what: &'static str, response: reqwest::Response) -> ApiError {
    let status = response.status();
    let answer = response.text().await.unwrap_or_default();
    let answer = answer.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_QUOTED).collect();
    ApiError::Refused { what, status, answer }
}
