//! What the service answers: pages, and errors by their kind.

use reassemble_store::aws::shown;
use serde::Deserialize;

use crate::error::LogsError;

/// One log event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Event {
    /// What tells it from all others; opaque.
    #[serde(rename = "eventId", default)]
    pub id: String,
    /// Its time, as whoever wrote it says, in milliseconds since the epoch.
    #[serde(rename = "timestamp", default)]
    pub timestamp_ms: i64,
    /// When the service took it, in milliseconds since the epoch.
    #[serde(rename = "ingestionTime", default)]
    pub ingestion_ms: i64,
    /// The stream that it stands in.
    #[serde(rename = "logStreamName", default)]
    pub stream: String,
    /// What was logged.
    #[serde(default)]
    pub message: String,
}

/// A page of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventPage {
    /// In no order.
    pub events: Vec<Event>,
    /// There is more, even where this page is empty.
    pub next_token: Option<String>,
    /// The service's time of the answer, in milliseconds since the epoch.
    pub served_ms: i64,
}

/// A page of groups' names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupPage {
    /// The names.
    pub groups: Vec<String>,
    /// There is more.
    pub next_token: Option<String>,
}

/// What a request was about, for errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) group: &'a str,
    pub(super) place: &'a str,
    pub(super) needs: &'static str,
}

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) error_type: Option<String>,
    pub(super) served_ms: i64,
    pub(super) body: bytes::Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Events {
    events: Option<Vec<Event>>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Groups {
    log_groups: Option<Vec<Group>>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    log_group_name: String,
}

#[derive(Default, Deserialize)]
struct Told {
    #[serde(rename = "__type")]
    kind: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

impl Answer {
    /// The answer, where it is none of an error.
    pub(super) fn checked(self, asked: Asked<'_>) -> Result<Self, LogsError> {
        if self.status == 200 { Ok(self) } else { Err(self.error(asked)) }
    }

    pub(super) fn events(self, asked: Asked<'_>) -> Result<EventPage, LogsError> {
        let page: Events = self.read(asked)?;
        let events = page.events.ok_or_else(|| foreign(asked, "it has no events"))?;
        Ok(EventPage { events, next_token: told(page.next_token), served_ms: self.served_ms })
    }

    pub(super) fn groups(self, asked: Asked<'_>) -> Result<GroupPage, LogsError> {
        let page: Groups = self.read(asked)?;
        let groups = page.log_groups.ok_or_else(|| foreign(asked, "it has no log groups"))?;
        let groups = groups.into_iter().map(|group| group.log_group_name).collect();
        Ok(GroupPage { groups, next_token: told(page.next_token) })
    }

    fn read<'a, T: Deserialize<'a>>(&'a self, asked: Asked<'_>) -> Result<T, LogsError> {
        serde_json::from_slice(&self.body).map_err(|error| foreign(asked, &error.to_string()))
    }

    /// What an error means, by the names of the API reference (common errors, and those of both operations).
    fn error(&self, asked: Asked<'_>) -> LogsError {
        let told: Told = serde_json::from_slice(&self.body).unwrap_or_default();
        // `com.amazonaws.logs#Name` in the body, `Name:http://…` in the header.
        let kind = self.error_type.clone().or(told.kind).unwrap_or_default();
        let kind = kind.rsplit('#').next().unwrap_or_default().split(':').next().unwrap_or_default();
        let (group, place) = (asked.group.to_owned(), asked.place.to_owned());
        let detail = shown(&match (kind, told.message) {
            ("", Some(message)) => format!("status {}: {message}", self.status),
            ("", None) => format!("status {}", self.status),
            (kind, Some(message)) => format!("{kind}: {message}"),
            (kind, None) => kind.to_owned(),
        });
        match kind {
            "ThrottlingException"
            | "Throttling"
            | "LimitExceededException"
            | "TooManyRequestsException"
            | "RequestLimitExceeded" => LogsError::Throttled { place, detail },
            "ResourceNotFoundException" => LogsError::NoSuchGroup { group, place },
            "InvalidParameterException" | "ValidationException" => LogsError::Parameter { group, place, detail },
            "AccessDeniedException" | "AccessDenied" => {
                LogsError::AccessDenied { group, place, needs: asked.needs, detail }
            }
            "ExpiredTokenException"
            | "ExpiredToken"
            | "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "MissingAuthenticationTokenException"
            | "IncompleteSignatureException" => LogsError::Credentials { place, detail },
            // One name for a wrong secret and for a wrong clock.
            "InvalidSignatureException" | "SignatureDoesNotMatch" | "RequestTimeTooSkewed" | "RequestExpired" => {
                let skewed = ["expired", "not yet", "too far", "Skewed"].iter().any(|word| detail.contains(word));
                match skewed {
                    true => LogsError::SkewedClock { place, detail },
                    false => LogsError::Credentials { place, detail },
                }
            }
            _ if self.status == 429 => LogsError::Throttled { place, detail },
            _ if self.status >= 500 => LogsError::Unavailable { place, detail },
            "" => foreign(asked, &detail),
            _ => LogsError::Refused { group, place, detail },
        }
    }
}

fn told(token: Option<String>) -> Option<String> {
    token.filter(|token| !token.is_empty())
}

/// An answer that the service does not give: what stands between is asked again as an outage is.
fn foreign(asked: Asked<'_>, detail: &str) -> LogsError {
    let detail = shown(&format!("the answer is not the service's: {detail}"));
    LogsError::Unreachable { place: asked.place.to_owned(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Fault;

    const ASKED: Asked<'_> = Asked { group: "shop", place: "here", needs: "logs:FilterLogEvents" };

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, error_type: None, served_ms: 7, body: bytes::Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn a_page_is_read_as_the_reference_shows_it() {
        let body = r#"{"events":[{"eventId":"36","ingestionTime":1396035394997,"logStreamName":"s","message":"m\n","timestamp":1396035378988}],
            "nextToken":"t","searchedLogStreams":[{"searchedCompletely":true,"logStreamName":"s"}]}"#;
        let page = answer(200, body).checked(ASKED).unwrap().events(ASKED).unwrap();
        let event = Event {
            id: "36".into(),
            timestamp_ms: 1396035378988,
            ingestion_ms: 1396035394997,
            stream: "s".into(),
            message: "m\n".into(),
        };
        assert_eq!(page, EventPage { events: vec![event], next_token: Some("t".into()), served_ms: 7 });
    }

    #[test]
    fn errors_are_told_apart() {
        for (status, body, want) in [
            (400, r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#, Fault::Throttled),
            (400, r#"{"__type":"com.amazonaws.logs#LimitExceededException"}"#, Fault::Throttled),
            (429, "", Fault::Throttled),
            (503, r#"{"__type":"ServiceUnavailableException"}"#, Fault::Transient),
            (500, "<html>", Fault::Transient),
            (200, "<html>", Fault::Transient),
            (200, "{}", Fault::Transient),
            (301, "", Fault::Transient),
            (400, r#"{"__type":"ResourceNotFoundException","message":"no"}"#, Fault::Group),
            (400, r#"{"__type":"InvalidParameterException","message":"token"}"#, Fault::Parameter),
            (400, r#"{"__type":"ExpiredTokenException"}"#, Fault::Credentials),
            (
                400,
                r#"{"__type":"InvalidSignatureException","message":"Signature expired: 1 is now earlier"}"#,
                Fault::Transient,
            ),
            (400, r#"{"__type":"InvalidSignatureException","message":"does not match"}"#, Fault::Credentials),
            (403, r#"{"__type":"AccessDeniedException","Message":"User: a is not authorized"}"#, Fault::Group),
        ] {
            let error = answer(status, body).checked(ASKED).and_then(|answer| answer.events(ASKED)).unwrap_err();
            assert_eq!(error.fault(), want, "{status} {body}: {error}");
        }
    }

    #[test]
    fn a_denial_says_what_is_needed_and_where() {
        let body = "{\"__type\":\"AccessDeniedException\",\"Message\":\"not\\u001b[31m you\"}";
        let error = answer(400, body).checked(ASKED).unwrap_err().to_string();
        assert!(error.contains("logs:FilterLogEvents") && error.contains("log group shop"), "{error}");
        assert!(error.contains("not [31m you"), "{error}");
    }
}
