//! Redaction vectors, and what this crate makes of them.

use reassemble_formats::redact::{BodyKind, Redactor};
use serde::Deserialize;

/// One case of `spec/vectors/redact`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) what: String,
    pub(crate) kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    input: String,
    pub(crate) output: Option<String>,
    #[serde(default)]
    redact_headers: Vec<String>,
    #[serde(default)]
    keep_headers: Vec<String>,
    #[serde(default)]
    redact_names: Vec<String>,
    #[serde(default)]
    keep_names: Vec<String>,
}

impl Case {
    fn redactor(&self) -> Redactor {
        let mut redactor = Redactor::default();
        for name in &self.redact_headers {
            redactor = redactor.header(name);
        }
        for name in &self.keep_headers {
            redactor = redactor.keep_header(name);
        }
        for name in &self.redact_names {
            redactor = redactor.name(name);
        }
        for name in &self.keep_names {
            redactor = redactor.keep_name(name);
        }
        redactor
    }

    /// What may be captured of it.
    pub(crate) fn redacted(&self) -> Option<String> {
        let redactor = self.redactor();
        let body =
            |kind| redactor.body(kind, self.input.as_bytes()).map(|body| String::from_utf8(body.into_owned()).unwrap());
        match &*self.kind {
            "header" => Some(redactor.header_value(&self.name, self.value.as_str().into()).into_owned()),
            "url" => Some(redactor.url(&self.input).into_owned()),
            "json" => body(BodyKind::Json),
            "form" => body(BodyKind::Form),
            other => panic!("kind {other}"),
        }
    }
}
