//! What happens to an exchange between the assembler and the store: secrets are redacted, the retention class chosen, and the bodies'
//! encodings undone ([`bodies`]).

pub(crate) mod bodies;
mod decode;
mod loose_heads;

use std::borrow::Cow;

use reassemble_formats::exchange::{Exchange, Headers};
use reassemble_formats::layout::RetentionClass;
use reassemble_formats::redact::{REDACTED, Redactor};

use crate::config::{ProcessConfig, Retention};

/// Processes exchanges by one configuration. The same exchange always comes out the same.
#[derive(Debug)]
pub(crate) struct Processor {
    redactor: Redactor,
    decode_limit_bytes: Option<u64>,
    decode_incomplete: bool,
    inline_bytes: u64,
    normal: RetentionClass,
    errors: RetentionClass,
    incomplete: RetentionClass,
}

/// Status from which an exchange belongs to the class of errors.
const ERROR_STATUS: u64 = 500;

impl Processor {
    /// A processor that leaves bodies of up to `inline_bytes` within their lines; nothing where a retention is out of its bounds.
    pub(crate) fn new(config: &ProcessConfig, retention: Retention, inline_bytes: u64) -> Option<Self> {
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
            decode_incomplete: config.decode_incomplete,
            inline_bytes,
            normal: RetentionClass::from_days(retention.normal_days)?,
            errors: RetentionClass::from_days(retention.errors_days)?,
            incomplete: RetentionClass::from_days(retention.incomplete_days)?,
        })
    }

    /// What was applied to a part's body and is to be undone, in order.
    pub(crate) fn encodings(
        &self,
        complete: bool,
        headers: Option<&Headers<'_>>,
        body_enc: Option<&str>,
    ) -> Vec<String> {
        let decodes = self.decode_limit_bytes.is_some() && (complete || self.decode_incomplete);
        if decodes { encodings(headers, body_enc) } else { Vec::new() }
    }

    /// Whether an exchange is stored with its bodies as they were captured, and within its line.
    pub(crate) fn leaves_bodies(&self, exchange: &Exchange<'_>) -> bool {
        let request = exchange.request.as_ref().map(|it| (&it.body, it.headers.as_ref(), it.body_enc.as_deref()));
        let response = exchange.response.as_ref().map(|it| (&it.body, it.headers.as_ref(), it.body_enc.as_deref()));
        [request, response].into_iter().flatten().all(|(body, headers, body_enc)| {
            let len = body.content.len();
            len <= self.inline_bytes && (len == 0 || self.encodings(exchange.complete, headers, body_enc).is_empty())
        })
    }

    /// Largest body that stays within its exchange's line, in bytes.
    pub(crate) fn inline_bytes(&self) -> u64 {
        self.inline_bytes
    }

    /// Largest body that decoding may give, in bytes.
    pub(crate) fn decode_limit_bytes(&self) -> u64 {
        self.decode_limit_bytes.unwrap_or_default()
    }

    /// How long an exchange is kept.
    pub(crate) fn class(&self, exchange: &Exchange<'_>) -> RetentionClass {
        if !exchange.complete {
            self.incomplete
        } else if exchange.status_code().is_some_and(|status| status >= ERROR_STATUS) {
            self.errors
        } else {
            self.normal
        }
    }

    /// Blots an exchange's secrets out.
    pub(crate) fn redact(&self, exchange: &mut Exchange<'_>) {
        if let Some(request) = &mut exchange.request {
            self.redact_headers(request.headers.iter_mut().chain(&mut request.trailers));
            if let Some(url) = &mut request.url
                && let Cow::Owned(redacted) = self.redactor.url(url)
            {
                *url = redacted.into();
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

    fn redact_headers<'h, 'e: 'h>(&self, lists: impl Iterator<Item = &'h mut Headers<'e>>) {
        for (name, value) in lists.flatten() {
            if self.redactor.is_secret_header(name) {
                *value = REDACTED.into();
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

/// What was applied to a body, in order: the headers' encodings, then the emitter's own.
fn encodings(headers: Option<&Headers<'_>>, body_enc: Option<&str>) -> Vec<String> {
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

#[cfg(test)]
mod tests;
