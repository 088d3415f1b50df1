//! The HTTP client below the SDK, S3's and the credential chain's alike: what the SDK would make by itself, save that rustls computes with
//! ring. The SDK's own choice, AWS-LC, is larger by two megabytes, most of them one cipher unrolled for AVX-512.
//!
//! It trusts the certificates that the machine trusts (`SSL_CERT_FILE`, `SSL_CERT_DIR`), and goes through the proxies that the environment
//! names.

use aws_sdk_s3::config::SharedHttpClient;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, ConnectorBuilder};

/// A client with connections of its own; clones share them.
pub(super) fn https_client() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector = ConnectorBuilder::default()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.build()
    })
}
