//! S3 over HTTPS: the server shows a certificate of an authority that only tests know.
//!
//! `tls/` holds that authority's certificate, and the server's for 127.0.0.1 with its key. They end in a hundred years; the authority's
//! own key is kept nowhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::programs::{reassemble, run};
use crate::s3::S3;
use crate::stored;

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/end_to_end/tls").join(name)
}

/// What answers with the server's certificate.
pub(crate) fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(here("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(here("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Arc::new(config).into()
}

#[test]
fn captures_go_to_a_store_whose_certificate_is_trusted_and_to_no_other() {
    let s3 = S3::start_with_tls();
    let dir = tempfile::tempdir().unwrap();
    let logs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/logs");
    let log = logs.join("shop.plain.log");
    let expected: Value = serde_json::from_slice(&std::fs::read(logs.join("expected.json")).unwrap()).unwrap();

    let mut store = reassemble(["--to", "s3://bucket/captures", "--state"]);
    store.arg(dir.path()).arg(&log).env("SSL_CERT_FILE", here("authority.pem"));
    s3.configure(&mut store, "secret");
    let (code, _, said) = run(store);
    assert_eq!(code, Some(0), "{said}");
    let stored = stored::exchanges(&s3.bucket().join("captures"));
    let complete = stored.iter().filter(|exchange| exchange["complete"] == true).count();
    assert_eq!(expected["complete"], complete);

    let mut strange = reassemble(["verify", "--allow-incomplete", "--to", "s3://bucket/captures"]);
    strange.arg(&log).env("SSL_CERT_FILE", here("server.pem"));
    s3.configure(&mut strange, "secret");
    let refused = strange.output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains("certificate"), "{said}");
}
