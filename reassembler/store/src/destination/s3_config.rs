//! Which bucket, how it is spoken to, and the SDK client that follows from it.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};

/// The key that objects are encrypted with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KmsKey {
    /// The account's `aws/s3`.
    Default,
    /// A key's id, ARN or alias.
    Id(String),
}

/// Which bucket, and how it is spoken to. [`S3Config::new`] has the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Config {
    /// The bucket.
    pub bucket: String,
    /// What stands before every key, without slashes at its ends; may be empty.
    pub prefix: String,
    /// The region; `None`: from the environment or profile as usual.
    pub region: Option<String>,
    /// The endpoint's URL; `None`: AWS.
    pub endpoint: Option<String>,
    /// The bucket in the path and not in the host name, as most stores beside AWS want it.
    pub path_style: bool,
    /// As S3 names it, for example `STANDARD_IA`.
    pub storage_class: Option<String>,
    /// Encrypt with SSE-KMS.
    pub sse_kms: Option<KmsKey>,
    /// Send checksums only where S3 requires them: some stores refuse the SDK's CRC32.
    pub checksums_when_required: bool,
    /// Put with `If-None-Match: *`.
    pub conditional: bool,
    /// Objects larger than this go in parts.
    pub multipart_bytes: u64,
    /// Size of a part; raised to 5 MiB, and where an object would have too many.
    pub part_bytes: u64,
    /// Longest time for a connection.
    pub connect_timeout: Duration,
    /// Longest time for one request; a hang ends here.
    pub attempt_timeout: Duration,
    /// Longest time for one request with the SDK's own retries.
    pub operation_timeout: Duration,
}

impl S3Config {
    /// A bucket and prefix with the defaults.
    pub fn new(bucket: impl Into<String>, prefix: &str) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: prefix.trim_matches('/').to_owned(),
            region: None,
            endpoint: None,
            path_style: false,
            storage_class: None,
            sse_kms: None,
            checksums_when_required: false,
            conditional: true,
            multipart_bytes: 16 << 20,
            part_bytes: 8 << 20,
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(60),
            operation_timeout: Duration::from_secs(180),
        }
    }
}

/// Region and credentials from the usual chain.
pub(super) async fn load(config: &S3Config) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    let sdk = loader.load().await;
    if sdk.region().is_none() && config.endpoint.is_some() {
        // Stores beside AWS have no regions, but the signature wants one; this is what they take.
        return sdk.into_builder().region(Region::new("us-east-1")).build();
    }
    sdk
}

/// The client.
pub(super) fn client(config: &S3Config, sdk: &SdkConfig) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(config.connect_timeout)
        .operation_attempt_timeout(config.attempt_timeout)
        .operation_timeout(config.operation_timeout);
    let mut builder = aws_sdk_s3::config::Builder::from(sdk)
        .force_path_style(config.path_style)
        .timeout_config(timeouts.build())
        .retry_config(RetryConfig::standard());
    if let Some(endpoint) = &config.endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    if config.checksums_when_required {
        builder = builder
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    }
    Client::from_conf(builder.build())
}
