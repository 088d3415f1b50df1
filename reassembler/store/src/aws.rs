//! What every call to AWS goes through, S3's, the credential chain's and those of inputs alike: the HTTP client, where region and
//! credentials come from, and how much of a service's words is passed on.
//!
//! The client is what the SDK would make by itself, save that rustls computes with ring. The SDK's own choice, AWS-LC, is larger by two
//! megabytes, most of them one cipher unrolled for AVX-512. It trusts the certificates that the machine trusts (`SSL_CERT_FILE`,
//! `SSL_CERT_DIR`) or its program brings along, and goes through the proxies that the environment names.

use std::pin::Pin;
use std::sync::OnceLock;

use aws_config::SdkConfig;
#[cfg(feature = "chain")]
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::config::{SharedAsyncSleep, SharedHttpClient};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::HttpConnectorSettings;

/// So much of a service's words is passed on.
const MAX_DETAIL_CHARS: usize = 300;

/// What the program brings along, in PEM.
static TRUSTED: OnceLock<Vec<u8>> = OnceLock::new();

/// Has every client of this process trust these certificates alone, in PEM, and not look for the machine's. Reading those takes tens of
/// milliseconds where a program gets a small part of a processor. Counts where it is called first, and before any client is made.
pub fn trust_only(certificates: Vec<u8>) {
    TRUSTED.get_or_init(|| certificates);
}

/// Carries single requests, on connections that it keeps and of which it lets those go that failed. `sdk` has the clock of the time-outs.
pub fn connector(settings: HttpConnectorSettings, sdk: &SdkConfig) -> Connector {
    connector_with(Some(settings), sdk.sleep_impl())
}

/// A client with connections of its own; clones share them.
pub(crate) fn https_client() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        connector_with(settings.cloned(), components.and_then(|components| components.sleep_impl()))
    })
}

fn connector_with(settings: Option<HttpConnectorSettings>, sleep: Option<SharedAsyncSleep>) -> Connector {
    let mut connector = ConnectorBuilder::default()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .proxy_config(ProxyConfig::from_env());
    let trusted = TRUSTED.get().map(|pem| TrustStore::empty().with_pem_certificate(pem.as_slice()));
    if let Some(Ok(context)) = trusted.map(|trusted| TlsContext::builder().with_trust_store(trusted).build()) {
        connector = connector.tls_context(context);
    }
    connector.set_connector_settings(settings);
    connector.set_sleep_impl(sleep);
    connector.build()
}

/// Region (but for one that is given) and credentials, from the usual chain: environment, profile, role.
///
/// Boxed for the binary's size, as [`crate::Doing`] is.
#[cfg(feature = "chain")]
pub fn load(region: Option<String>) -> Pin<Box<dyn Future<Output = SdkConfig> + Send>> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(https_client());
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    Box::pin(loader.load())
}

/// Region (but for one that is given) and credentials, from what Lambda gives its programs.
#[cfg(not(feature = "chain"))]
pub fn load(region: Option<String>) -> Pin<Box<dyn Future<Output = SdkConfig> + Send>> {
    Box::pin(std::future::ready(lambda::load(region, |name| std::env::var(name).ok())))
}

/// What AWS gives to what runs in Lambda: variables, and with SnapStart an endpoint of the environment's that knows the credentials (Lambda Developer
/// Guide, "Defined runtime environment variables" and "Using SnapStart"). The variables of endpoints are those of the SDK (AWS SDKs and Tools
/// Reference Guide, "Service-specific endpoints").
#[cfg(any(test, not(feature = "chain")))]
mod lambda {
    use aws_config::ecs::EcsCredentialsProvider;
    use aws_config::environment::EnvironmentVariableCredentialsProvider;
    use aws_config::meta::credentials::CredentialsProviderChain;
    use aws_config::provider_config::ProviderConfig;
    use aws_config::{BehaviorVersion, Region, SdkConfig};
    use aws_credential_types::provider::SharedCredentialsProvider;
    use aws_sdk_s3::config::{IdentityCache, SharedAsyncSleep};
    use aws_smithy_async::rt::sleep::TokioSleep;

    use super::https_client;

    pub(super) fn load(region: Option<String>, variable: impl Fn(&str) -> Option<String>) -> SdkConfig {
        let first = |names: &[&str]| names.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
        let client = https_client();
        let sleep = SharedAsyncSleep::new(TokioSleep::new());
        let provider = ProviderConfig::empty().with_http_client(client.clone()).with_sleep_impl(sleep.clone());
        let container = EcsCredentialsProvider::builder().configure(&provider).build();
        let environment = EnvironmentVariableCredentialsProvider::new();
        let chain = CredentialsProviderChain::first_try("Environment", environment).or_else("Container", container);
        let mut sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(client)
            .sleep_impl(sleep)
            .identity_cache(IdentityCache::lazy().build())
            .credentials_provider(SharedCredentialsProvider::new(chain))
            .region(region.or_else(|| first(&["AWS_REGION", "AWS_DEFAULT_REGION"])).map(Region::new));
        sdk.set_endpoint_url(first(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]));
        sdk.set_use_fips(first(&["AWS_USE_FIPS_ENDPOINT"]).map(|value| value.eq_ignore_ascii_case("true")));
        sdk.build()
    }
}

/// A service's words as a terminal and a log can bear them: cut to 300 characters, each control character a space.
pub fn shown(words: &str) -> String {
    words.chars().take(MAX_DETAIL_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_lambda_say_where_the_bucket_is() {
        let variables = |name: &str| {
            let value = match name {
                "AWS_REGION" => "eu-north-1",
                "AWS_ENDPOINT_URL_S3" => "",
                "AWS_ENDPOINT_URL" => "http://localstack:4566",
                "AWS_USE_FIPS_ENDPOINT" => "TRUE",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let sdk = lambda::load(None, variables);
        assert_eq!(sdk.region().map(ToString::to_string).as_deref(), Some("eu-north-1"));
        assert_eq!(sdk.endpoint_url(), Some("http://localstack:4566"));
        assert_eq!((sdk.use_fips(), sdk.use_dual_stack()), (Some(true), None));
        let sdk = lambda::load(Some("us-east-2".into()), variables);
        assert_eq!(sdk.region().map(ToString::to_string).as_deref(), Some("us-east-2"));
        assert_eq!(lambda::load(None, |_| None).region(), None);
    }

    #[test]
    fn a_services_words_are_cut_and_control_nothing() {
        assert_eq!(shown("not\u{1b}[31m\r\nyou\u{9b}"), "not [31m  you ");
        assert_eq!(shown(&"é".repeat(301)), "é".repeat(300));
    }
}
