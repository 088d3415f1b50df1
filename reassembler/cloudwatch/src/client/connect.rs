//! Where the service is, and who asks.

use std::sync::Mutex;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::HttpConnectorSettings;
use aws_types::SdkConfig;
use aws_types::service_config::ServiceConfigKey;

use super::LogsClient;
use crate::error::LogsError;

/// How the service is spoken to; the default is AWS, as environment and profile say.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The region; `None`: from the environment or profile as usual.
    pub region: Option<String>,
    /// The endpoint's URL; `None`: as `AWS_ENDPOINT_URL_CLOUDWATCH_LOGS`, `AWS_ENDPOINT_URL` or the profile say, or else AWS.
    pub endpoint: Option<String>,
    /// Longest time for a connection.
    pub connect_timeout: Duration,
    /// Longest time for one call with its answer.
    pub attempt_timeout: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        let (connect_timeout, attempt_timeout) = (Duration::from_secs(5), Duration::from_secs(30));
        Self { region: None, endpoint: None, connect_timeout, attempt_timeout }
    }
}

impl LogsClient {
    /// A client with region, endpoint and credentials from the usual chain. The service itself is not asked yet.
    ///
    /// # Errors
    /// Where there is no region, or nothing that could give credentials.
    pub async fn connect(config: ClientConfig) -> Result<Self, LogsError> {
        let sdk = reassemble_store::aws::load(config.region.clone()).await;
        Self::from_sdk(config, &sdk)
    }

    /// A client with a given SDK configuration.
    ///
    /// # Errors
    /// As [`LogsClient::connect`].
    pub fn from_sdk(config: ClientConfig, sdk: &SdkConfig) -> Result<Self, LogsError> {
        let endpoint = config.endpoint.or_else(|| configured_endpoint(sdk));
        let region = match (config.region.or_else(|| sdk.region().map(ToString::to_string)), &endpoint) {
            (Some(region), _) => region,
            // Servers beside AWS have no regions, but the signature wants one.
            (None, Some(_)) => "us-east-1".to_owned(),
            (None, None) => {
                return Err(LogsError::Config("no region: set AWS_REGION, or a region in the profile".into()));
            }
        };
        let (fips, dual_stack) = (sdk.use_fips() == Some(true), sdk.use_dual_stack() == Some(true));
        let url = endpoint.unwrap_or_else(|| aws_endpoint(&region, fips, dual_stack));
        let settings = HttpConnectorSettings::builder()
            .connect_timeout(config.connect_timeout.min(config.attempt_timeout))
            .read_timeout(config.attempt_timeout)
            .build();
        let provider = sdk.credentials_provider();
        let provider = provider.ok_or_else(|| LogsError::Config("nothing is set up to give credentials".into()))?;
        Ok(Self {
            connector: reassemble_store::aws::connector(settings, sdk),
            url: format!("{}/", url.trim_end_matches('/')),
            region,
            provider,
            credentials: Mutex::new(None),
            attempt_timeout: config.attempt_timeout,
        })
    }
}

/// The endpoint that environment or profile names, for this service before all services.
fn configured_endpoint(sdk: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id("CloudWatch Logs")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    let own = sdk.service_config().and_then(|config| config.load_config(key));
    own.or_else(|| sdk.endpoint_url().map(str::to_owned))
}

/// Where AWS has the service, by the rules of its endpoint rule set (`logs`, 2014-03-28).
fn aws_endpoint(region: &str, fips: bool, dual_stack: bool) -> String {
    let (single, dual) = match region.split('-').next().unwrap_or_default() {
        "cn" => ("amazonaws.com.cn", "api.amazonwebservices.com.cn"),
        "eusc" => ("amazonaws.eu", "api.amazonwebservices.eu"),
        _ if region.starts_with("us-isob-") => ("sc2s.sgov.gov", "api.aws.scloud"),
        _ if region.starts_with("us-isof-") => ("csp.hci.ic.gov", "api.aws.hci.ic.gov"),
        _ if region.starts_with("eu-isoe-") => ("cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
        _ if region.starts_with("us-iso-") => ("c2s.ic.gov", "api.aws.ic.gov"),
        _ => ("amazonaws.com", "api.aws"),
    };
    let service = match fips {
        // GovCloud's only endpoints are the approved ones, under the ordinary name.
        true if region.starts_with("us-gov-") && !dual_stack => "logs",
        true => "logs-fips",
        false => "logs",
    };
    format!("https://{service}.{region}.{}", if dual_stack { dual } else { single })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_its_own_domain() {
        for (region, fips, dual_stack, want) in [
            ("eu-central-1", false, false, "https://logs.eu-central-1.amazonaws.com"),
            ("us-east-1", true, false, "https://logs-fips.us-east-1.amazonaws.com"),
            ("us-east-1", false, true, "https://logs.us-east-1.api.aws"),
            ("us-gov-west-1", true, false, "https://logs.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", false, false, "https://logs.cn-north-1.amazonaws.com.cn"),
            ("us-iso-east-1", false, false, "https://logs.us-iso-east-1.c2s.ic.gov"),
            ("us-isob-east-1", false, false, "https://logs.us-isob-east-1.sc2s.sgov.gov"),
        ] {
            assert_eq!(aws_endpoint(region, fips, dual_stack), want);
        }
    }
}
