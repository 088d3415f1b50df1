//! The two calls of CloudWatch Logs that reading needs: JSON 1.1 over HTTPS, signed with Signature Version 4.
//!
//! The service's own SDK would add more to the binary than all of this crate. Nothing is tried again here: the poller decides that.

mod answer;
mod connect;

pub use answer::{Event, EventPage, GroupPage};
pub use connect::ClientConfig;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use http_body_util::{BodyExt, Limited};
use serde::Serialize;

use crate::error::LogsError;
use answer::{Answer, Asked};

/// A page has at most 1 MB of messages or 10,000 events (API reference, `FilterLogEvents`), of which escapes and names can make several.
const MAX_ANSWER_BYTES: usize = 32 << 20;
/// Credentials are loaded anew so long before they expire.
const RENEWED_BEFORE: Duration = Duration::from_secs(60);

/// Speaks to CloudWatch Logs of one region.
#[derive(Debug)]
pub struct LogsClient {
    connector: Connector,
    /// The service's URL, with a slash at its end.
    url: String,
    region: String,
    provider: SharedCredentialsProvider,
    credentials: Mutex<Option<Credentials>>,
    attempt_timeout: Duration,
}

/// What [`LogsClient::filter_log_events`] asks for. Times are in milliseconds since the epoch.
#[derive(Clone, Copy, Debug)]
pub struct EventQuery<'a> {
    /// The group's name, or its ARN.
    pub group: &'a str,
    /// No event before this.
    pub start_ms: i64,
    /// No event after this.
    pub end_ms: Option<i64>,
    /// The page, as the one before told.
    pub token: Option<&'a str>,
    /// What the names of streams begin with; empty for all.
    pub stream_prefix: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FilterLogEvents<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    log_group_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_group_identifier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_stream_name_prefix: Option<&'a str>,
    start_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescribeLogGroups<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    log_group_name_prefix: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<&'a str>,
}

impl LogsClient {
    /// One page of a group's events; it may be empty and still not the last.
    ///
    /// # Errors
    /// See [`LogsError::fault`] for what to do.
    pub async fn filter_log_events(&self, query: EventQuery<'_>) -> Result<EventPage, LogsError> {
        let is_arn = query.group.starts_with("arn:");
        let request = FilterLogEvents {
            log_group_name: (!is_arn).then_some(query.group),
            log_group_identifier: is_arn.then_some(query.group),
            log_stream_name_prefix: Some(query.stream_prefix).filter(|prefix| !prefix.is_empty()),
            // The service knows no time before the epoch.
            start_time: query.start_ms.max(0),
            end_time: query.end_ms.map(|end| end.max(0)),
            next_token: query.token,
        };
        let asked = Asked { group: query.group, place: &self.url, needs: "logs:FilterLogEvents" };
        self.call("FilterLogEvents", &serde_json::to_vec(&request).unwrap_or_default(), asked).await?.events(asked)
    }

    /// One page of the names of the groups that begin with this prefix.
    ///
    /// # Errors
    /// See [`LogsError::fault`] for what to do.
    pub async fn describe_log_groups(&self, prefix: &str, token: Option<&str>) -> Result<GroupPage, LogsError> {
        let log_group_name_prefix = Some(prefix).filter(|prefix| !prefix.is_empty());
        let request = DescribeLogGroups { log_group_name_prefix, next_token: token };
        let group = format!("{prefix}*");
        let asked = Asked { group: &group, place: &self.url, needs: "logs:DescribeLogGroups" };
        self.call("DescribeLogGroups", &serde_json::to_vec(&request).unwrap_or_default(), asked).await?.groups(asked)
    }

    /// The service's URL, for people.
    pub fn place(&self) -> &str {
        &self.url
    }

    /// Loads credentials again at the next call.
    pub(crate) fn forget_credentials(&self) {
        *self.credentials.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn call(&self, operation: &str, body: &[u8], asked: Asked<'_>) -> Result<Answer, LogsError> {
        let request = self.signed(operation, body).await?;
        let unreachable = |detail| LogsError::Unreachable { place: self.url.clone(), detail };
        let exchange = async {
            let response = self.connector.call(request).await.map_err(|error| unreachable(whole(&error)))?;
            let status = response.status().as_u16();
            let header = |name| response.headers().get(name).map(str::to_owned);
            let (error_type, date) = (header("x-amzn-errortype"), header("date"));
            let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| unreachable(format!("an answer broke off: {error}")))?.to_bytes();
            Ok(Answer { status, error_type, served_ms: served_ms(date.as_deref()), body })
        };
        let answer = tokio::time::timeout(self.attempt_timeout, exchange)
            .await
            .map_err(|_| unreachable(format!("no answer within {:?}", self.attempt_timeout)))??;
        answer.checked(asked)
    }

    async fn signed(&self, operation: &str, body: &[u8]) -> Result<HttpRequest, LogsError> {
        let target = format!("Logs_20140328.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", &target)];
        let config = |error: &dyn std::fmt::Display| LogsError::Config(format!("cannot ask {}: {error}", self.url));
        let identity = self.credentials().await?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("logs")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| config(&error))?
            .into();
        let signable = SignableRequest::new("POST", &self.url, headers.into_iter(), SignableBody::Bytes(body))
            .map_err(|error| config(&error))?;
        let (instructions, _) = sign(signable, &params).map_err(|error| config(&error))?.into_parts();
        let mut request = http::Request::post(&self.url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut request = request.body(SdkBody::from(body)).map_err(|error| config(&error))?;
        instructions.apply_to_request_http1x(&mut request);
        HttpRequest::try_from(request).map_err(|error| config(&error))
    }

    async fn credentials(&self) -> Result<Credentials, LogsError> {
        let kept = self.credentials.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let good_until = SystemTime::now() + RENEWED_BEFORE;
        if let Some(kept) = kept.filter(|kept| kept.expiry().is_none_or(|expiry| expiry > good_until)) {
            return Ok(kept);
        }
        let place = self.url.clone();
        let loaded = self.provider.provide_credentials().await;
        let loaded = loaded.map_err(|error| LogsError::Credentials { place, detail: whole(&error) })?;
        *self.credentials.lock().unwrap_or_else(PoisonError::into_inner) = Some(loaded.clone());
        Ok(loaded)
    }
}

/// The service's time: by its answer, or where that says nothing by this machine's clock.
fn served_ms(date: Option<&str>) -> i64 {
    use aws_smithy_types::date_time::{DateTime, Format};
    let told = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
    told.and_then(|date| date.to_millis().ok()).unwrap_or_else(crate::now_ms)
}

/// An error with its causes: the outermost of the SDK's say little.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
