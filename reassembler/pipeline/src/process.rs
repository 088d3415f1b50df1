//! What happens to an exchange between the assembler and the store: secrets are redacted, encodings undone, the retention class chosen.

mod decode;
mod loose_heads;

use reassemble_formats::exchange::{Body, Captured, Content, Exchange, Headers, crc_hex};
use reassemble_formats::layout::{Partition, RetentionClass};
use reassemble_formats::redact::{REDACTED, Redactor};

use crate::config::{ProcessConfig, Retention};
use decode::{DecodeError, decode};

/// Processes exchanges by one configuration. The same exchange always comes out the same.
#[derive(Debug)]
pub(crate) struct Processor {
    redactor: Redactor,
    decode_limit_bytes: Option<u64>,
    normal: RetentionClass,
    errors: RetentionClass,
    incomplete: RetentionClass,
}

/// Status from which an exchange belongs to the class of errors.
const ERROR_STATUS: u64 = 500;

impl Processor {
    /// A processor; nothing where a retention is out of its bounds.
    pub(crate) fn new(config: &ProcessConfig, retention: Retention) -> Option<Self> {
        let mut redactor = if config.redact { Redactor::default() } else { Redactor::empty() };
        for header in &config.redact_headers {
            redactor = redactor.header(header);
        }
        for name in &config.redact_query {
            redactor = redactor.name(name);
        }
        Some(Processor {
            redactor,
            decode_limit_bytes: config.decode.then_some(config.decode_limit_bytes),
            normal: RetentionClass::from_days(retention.normal_days)?,
            errors: RetentionClass::from_days(retention.errors_days)?,
            incomplete: RetentionClass::from_days(retention.incomplete_days)?,
        })
    }

    /// Processes an exchange, and says where it belongs. `ts_us` is its time in microseconds since the Unix epoch.
    pub(crate) fn process(&self, exchange: &mut Exchange, ts_us: i64) -> Partition {
        self.redact(exchange);
        if let Some(limit) = self.decode_limit_bytes {
            let mut problems = Vec::new();
            if let Some(request) = &mut exchange.request {
                undo(&mut request.body, request.headers.as_ref(), &mut request.body_enc, limit, &mut problems);
            }
            if let Some(response) = &mut exchange.response {
                undo(&mut response.body, response.headers.as_ref(), &mut response.body_enc, limit, &mut problems);
            }
            problems.dedup();
            exchange.problems.append(&mut problems);
        }
        Partition::new(self.class(exchange), exchange.service.as_deref(), ts_us)
    }

    fn class(&self, exchange: &Exchange) -> RetentionClass {
        if !exchange.complete {
            self.incomplete
        } else if exchange.status_code().is_some_and(|status| status >= ERROR_STATUS) {
            self.errors
        } else {
            self.normal
        }
    }

    fn redact(&self, exchange: &mut Exchange) {
        if let Some(request) = &mut exchange.request {
            self.redact_headers(request.headers.iter_mut().chain(&mut request.trailers));
            if let Some(url) = &mut request.url
                && let std::borrow::Cow::Owned(redacted) = self.redactor.url(url)
            {
                *url = redacted;
            }
        }
        if let Some(response) = &mut exchange.response {
            self.redact_headers(response.headers.iter_mut().chain(&mut response.trailers));
        }
        for fragment in &mut exchange.fragments {
            for section in [&mut fragment.head, &mut fragment.tail].into_iter().flatten() {
                self.redact_section(section);
            }
        }
        loose_heads::redact(&mut exchange.fragments, &self.redactor);
    }

    fn redact_headers<'h>(&self, lists: impl Iterator<Item = &'h mut Headers>) {
        for (name, value) in lists.flatten() {
            if self.redactor.is_secret_header(name) {
                REDACTED.clone_into(value);
            }
        }
    }

    /// A head or tail that came behind a gap, still as JSON.
    fn redact_section(&self, section: &mut serde_json::Value) {
        for key in ["headers", "trailers"] {
            for pair in section.get_mut(key).and_then(|list| list.as_array_mut()).into_iter().flatten() {
                if pair.get(0).and_then(|name| name.as_str()).is_some_and(|name| self.redactor.is_secret_header(name))
                    && let Some(value) = pair.get_mut(1)
                {
                    *value = REDACTED.into();
                }
            }
        }
        if let Some(url) = section.get_mut("url")
            && let Some(redacted) = url.as_str().map(|url| self.redactor.url(url).into_owned())
        {
            *url = redacted.into();
        }
    }
}

/// Undoes a body's encodings, the last applied first: all of them, or none.
fn undo(
    body: &mut Body,
    headers: Option<&Headers>,
    body_enc: &mut Option<String>,
    limit: u64,
    problems: &mut Vec<String>,
) {
    let Content::Bytes(captured) = &body.content else { return };
    if captured.is_empty() {
        return;
    }
    let encodings = encodings(headers, body_enc.as_deref());
    let mut bytes = None;
    for encoding in encodings.iter().rev() {
        match decode(encoding, bytes.as_deref().unwrap_or(captured), limit) {
            Ok(decoded) => bytes = Some(decoded),
            Err(DecodeError::OverLimit) => return problems.push(format!("decode_limit:{}", problem_name(encoding))),
            Err(DecodeError::Undecodable) => return problems.push(format!("decode:{}", problem_name(encoding))),
        }
    }
    if let Some(bytes) = bytes {
        body.captured = Some(Captured { len: captured.len() as u64, crc: crc_hex(captured) });
        body.encoding = Some(encodings.join(", "));
        body.content = Content::Bytes(bytes);
        *body_enc = None;
    }
}

/// What was applied to a body, in order: the headers' encodings, then the emitter's own.
fn encodings(headers: Option<&Headers>, body_enc: Option<&str>) -> Vec<String> {
    headers
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-encoding"))
        .flat_map(|(_, value)| value.split(','))
        .chain(body_enc)
        .map(|encoding| encoding.trim().to_ascii_lowercase())
        .filter(|encoding| !encoding.is_empty() && encoding != "identity")
        .collect()
}

/// Longest name of an encoding in a problem, in characters: the name is whatever a header said.
const MAX_PROBLEM_NAME: usize = 32;

fn problem_name(encoding: &str) -> String {
    encoding.chars().take(MAX_PROBLEM_NAME).collect()
}

#[cfg(test)]
mod tests;
