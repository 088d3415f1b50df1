//! The HTTP client below the SDK, S3's and the credential chain's alike: what the SDK would make by itself, save that rustls computes with
//! ring. The SDK's own choice, AWS-LC, is larger by two megabytes, most of them one cipher unrolled for AVX-512.
//!
//! It trusts the certificates that the machine trusts (`SSL_CERT_FILE`, `SSL_CERT_DIR`), or those that its program brings along, and goes
//! through the proxies that the environment names.

use std::sync::OnceLock;

use aws_sdk_s3::config::SharedHttpClient;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, ConnectorBuilder};

/// What the program brings along, in PEM.
static TRUSTED: OnceLock<Vec<u8>> = OnceLock::new();

/// Has every client of this process trust these certificates alone, in PEM, and not look for the machine's. Reading those takes tens of
/// milliseconds where a program gets a small part of a processor. Counts where it is called first, and before any client is made.
pub fn trust_only(certificates: Vec<u8>) {
    TRUSTED.get_or_init(|| certificates);
}

/// A client with connections of its own; clones share them.
pub(super) fn https_client() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector = ConnectorBuilder::default()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .proxy_config(ProxyConfig::from_env());
        let trusted = TRUSTED.get().map(|pem| TrustStore::empty().with_pem_certificate(pem.as_slice()));
        if let Some(Ok(context)) = trusted.map(|trusted| TlsContext::builder().with_trust_store(trusted).build()) {
            connector = connector.tls_context(context);
        }
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.build()
    })
}
