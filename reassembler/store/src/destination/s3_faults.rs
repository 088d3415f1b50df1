//! What an S3 store's answers mean: SDK errors become [`StoreError`]s, here and nowhere else.

use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};

use crate::aws::shown;
use crate::error::StoreError;

/// Longest time that a store may ask us to stay away.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Who was asked, for what.
#[derive(Debug, Clone)]
pub(crate) struct Asked<'a> {
    pub(crate) bucket: &'a str,
    /// Endpoint or region.
    pub(crate) place: &'a str,
    /// `s3://bucket/key`.
    pub(crate) target: String,
    /// The permissions that the call needs.
    pub(crate) needs: &'static str,
}

/// A store's answer, as far as it decides anything.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) code: String,
    detail: String,
    /// Where the bucket is, in words that go after its name.
    elsewhere: Option<String>,
    retry_after: Option<Duration>,
}

impl Answer {
    /// The store does not know `If-None-Match`, or one of the other headers: some say so by a code, some by a status, some in words.
    pub(super) fn knows_no_conditions(&self) -> bool {
        let worded = || {
            let words = self.detail.to_ascii_lowercase();
            words.contains("if-none-match") || words.contains("conditional")
        };
        self.status == 501 || self.code == "NotImplemented" || (self.status == 400 && worded())
    }
}

/// The answer in an error; `None` where there was none.
pub(crate) fn answer<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<Answer> {
    let SdkError::ServiceError(service) = error else { return None };
    let status = service.raw().status().as_u16();
    let code = service.err().code().unwrap_or_default().to_owned();
    let detail = match (code.is_empty(), service.err().message()) {
        (true, _) => format!("HTTP {status}"),
        (false, None) => format!("HTTP {status} {}", shown(&code)),
        (false, Some(message)) => format!("HTTP {status} {}: {}", shown(&code), shown(message)),
    };
    let header = |name| service.raw().headers().get(name);
    let said = |tag| element(service.raw().body().bytes()?, tag);
    let region = || header("x-amz-bucket-region").map(str::to_owned).or_else(|| said("Region"));
    let elsewhere = match region() {
        Some(region) => Some(format!(" but in {}", shown(&region))),
        None => said("Endpoint").map(|endpoint| format!(" but at {}", shown(&endpoint))),
    };
    let retry_after = header("retry-after").and_then(retry_after);
    Some(Answer { status, code, detail, elsewhere, retry_after })
}

/// The text of an element in an error's XML. Its words are for people, so that no more than looking for it is due.
fn element(xml: &[u8], tag: &str) -> Option<String> {
    let xml = std::str::from_utf8(xml).ok()?;
    let (_, rest) = xml.split_once(&format!("<{tag}>"))?;
    rest.split_once('<').map(|(text, _)| text.to_owned()).filter(|text| !text.is_empty())
}

/// `Retry-After`, in seconds or as a date.
fn retry_after(value: &str) -> Option<Duration> {
    let after = match value.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = DateTime::from_str(value.trim(), DateTimeFormat::HttpDate).ok()?;
            SystemTime::try_from(at).ok()?.duration_since(SystemTime::now()).ok()?
        }
    };
    Some(after.min(LONGEST_RETRY_AFTER))
}

/// The error that says what to do.
pub(crate) fn fault<E>(error: &SdkError<E, HttpResponse>, asked: Asked<'_>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match answer(error) {
        Some(answer) => of_answer(answer, asked),
        None => of_silence(error, asked),
    }
}

fn of_answer(answer: Answer, asked: Asked<'_>) -> StoreError {
    let Answer { status, code, detail, elsewhere, retry_after, .. } = answer;
    let Asked { bucket, place, target, needs } = asked;
    let (bucket, place) = (bucket.to_owned(), place.to_owned());
    let hint = elsewhere.unwrap_or_default();
    match (status, code.as_str()) {
        (_, "NoSuchBucket") => StoreError::NoSuchBucket { bucket, place },
        (
            _,
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException",
        )
        | (301 | 302 | 307 | 308, _) => StoreError::WrongRegion { bucket, place, hint },
        (_, "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired") => {
            StoreError::ExpiredCredentials { place, detail }
        }
        (
            _,
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "InvalidToken"
            | "UnrecognizedClientException"
            | "NotSignedUp",
        )
        | (401, _) => StoreError::WrongCredentials { place, detail },
        (_, "RequestTimeTooSkewed" | "RequestExpired") => StoreError::SkewedClock { place, detail },
        // Told by their codes too, for the completion of an upload in parts answers 200 before it knows its outcome.
        (
            _,
            "SlowDown"
            | "RequestTimeout"
            | "ConditionalRequestConflict"
            | "OperationAborted"
            | "BadDigest"
            | "XAmzContentSHA256Mismatch"
            | "XAmzContentChecksumMismatch"
            | "IncompleteBody"
            | "InternalError"
            | "ServiceUnavailable",
        )
        | (_, "ThrottlingException" | "TooManyRequests" | "NoSuchUpload" | "InvalidPart" | "RequestTimeoutException")
        | (408 | 409 | 425 | 429 | 500 | 502..=599, _) => StoreError::Busy { place, detail, retry_after },
        (403, _) => StoreError::AccessDenied { target, place, detail, needs },
        // Only HEAD has no code, and it is only asked for the bucket, or for an object that is known to exist.
        (404, "" | "NotFound") => StoreError::NoSuchBucket { bucket, place },
        _ => StoreError::Refused { place, target, detail },
    }
}

fn of_silence<E: Error + 'static>(error: &SdkError<E, HttpResponse>, asked: Asked<'_>) -> StoreError {
    let place = asked.place.to_owned();
    let mut link: Option<&(dyn Error + 'static)> = Some(error);
    let mut deepest = String::new();
    while let Some(at) = link {
        if at.is::<CredentialsError>() {
            return StoreError::NoCredentials { place, detail: shown(&chain(at)) };
        }
        deepest = at.to_string();
        link = at.source();
    }
    match error {
        SdkError::TimeoutError(_) => StoreError::Unreachable { place, detail: "no answer in time".into() },
        SdkError::ConstructionFailure(_) => {
            StoreError::Config(format!("a request to {place} cannot be made: {}", shown(&chain(error))))
        }
        _ => StoreError::Unreachable { place, detail: shown(&deepest) },
    }
}

/// An error and its sources in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut link = error.source();
    while let Some(at) = link {
        text = format!("{text}: {at}");
        link = at.source();
    }
    text
}
