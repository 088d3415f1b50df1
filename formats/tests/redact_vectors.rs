//! Runs `spec/vectors/redact`: what headers, URLs and bodies lose, and what they keep.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "vectors/redact.rs"]
mod redact;

use std::{fs, path::Path};

use redact::Case;

#[test]
fn every_vector_is_redacted_as_it_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("spec/vectors/redact/vectors.json");
    let cases: Vec<Case> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert!(cases.len() > 50, "{} cases", cases.len());
    for case in cases {
        assert_eq!(case.redacted(), case.output, "{}: {}", case.kind, case.what);
    }
}
