//! S3 over HTTPS.

use std::path::Path;

use reassemble_testkit::s3::S3;
use reassemble_testkit::tls;
use serde_json::Value;

use crate::programs::{reassemble, run};
use crate::stored;

#[test]
fn captures_go_to_a_store_whose_certificate_is_trusted_and_to_no_other() {
    let s3 = S3::start_with_tls();
    let dir = tempfile::tempdir().unwrap();
    let logs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/logs");
    let log = logs.join("shop.plain.log");
    let expected: Value = serde_json::from_slice(&std::fs::read(logs.join("expected.json")).unwrap()).unwrap();

    let mut store = reassemble(["--to", "s3://bucket/captures", "--state"]);
    store.arg(dir.path()).arg(&log).env("SSL_CERT_FILE", tls::authority());
    s3.configure(&mut store, "secret");
    let (code, _, said) = run(store);
    assert_eq!(code, Some(0), "{said}");
    let stored = stored::exchanges(&s3.bucket().join("captures"));
    let complete = stored.iter().filter(|exchange| exchange["complete"] == true).count();
    assert_eq!(expected["complete"], complete);

    let mut strange = reassemble(["verify", "--allow-incomplete", "--to", "s3://bucket/captures"]);
    strange.arg(&log).env("SSL_CERT_FILE", tls::server());
    s3.configure(&mut strange, "secret");
    let refused = strange.output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains("certificate"), "{said}");
}
