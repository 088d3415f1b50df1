//! HTTPS with a certificate of an authority that only tests know.
//!
//! `tls/` holds that authority's certificate, and the server's for 127.0.0.1 with its key. They end in a hundred years; the authority's
//! own key is kept nowhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tls").join(name)
}

/// The authority's certificate: who trusts it trusts the server.
pub fn authority() -> PathBuf {
    file("authority.pem")
}

/// The server's own certificate, which is no authority's.
pub fn server() -> PathBuf {
    file("server.pem")
}

/// What answers with the server's certificate.
pub fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(server()).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Arc::new(config).into()
}
