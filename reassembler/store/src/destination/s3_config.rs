//! Which bucket, how it is spoken to, and the SDK client that follows from it.

use std::time::Duration;

use aws_config::{Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig};

use crate::aws::{self, https_client};

/// How long a body may stand still.
const STALL: Duration = Duration::from_secs(20);

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
    /// Objects larger than this go in parts. Of a whole object the CRC-32 is known; of a part the SDK computes one while it sends, in chunks
    /// that it signs one by one where there is no TLS, which costs more CPU than all else of an upload.
    pub multipart_bytes: u64,
    /// Size of a part; raised to 5 MiB, and where an object would have too many.
    pub part_bytes: u64,
    /// Longest time for a connection.
    pub connect_timeout: Duration,
    /// Longest time for one request, beside what its body takes at 64 KiB a second; a hang ends here.
    pub attempt_timeout: Duration,
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
            multipart_bytes: 80 << 20,
            part_bytes: 8 << 20,
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(30),
        }
    }
}

/// Region and credentials from the usual chain.
pub(super) async fn load(config: &S3Config) -> SdkConfig {
    let sdk = aws::load(config.region.clone()).await;
    if sdk.region().is_none() && config.endpoint.is_some() {
        // Stores beside AWS have no regions, but the signature wants one; this is what they take.
        return sdk.into_builder().region(Region::new("us-east-1")).build();
    }
    sdk
}

/// What a connection carries at least: what is slower is taken for a hang.
pub(super) const LEAST_BYTES_PER_S: u64 = 64 << 10;

/// Attempts that an operation has time for. The SDK makes a third of what fails fast; a hang is told sooner.
const ATTEMPTS: u32 = 2;
/// What the SDK waits between attempts, at most: an answer must not be hidden by the time-out behind it.
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(10);

/// The time-outs of a request with so long a body.
fn timeouts(config: &S3Config, body_bytes: u64) -> TimeoutConfig {
    let attempt = config.attempt_timeout + Duration::from_millis(body_bytes.saturating_mul(1000) / LEAST_BYTES_PER_S);
    TimeoutConfig::builder()
        .connect_timeout(config.connect_timeout.min(config.attempt_timeout))
        .operation_attempt_timeout(attempt)
        .operation_timeout(attempt * ATTEMPTS + BETWEEN_ATTEMPTS)
        .build()
}

/// What differs for one request with a body.
pub(super) fn overridden(config: &S3Config, body_bytes: u64) -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::config::Builder::new().timeout_config(timeouts(config, body_bytes))
}

/// The client.
pub(super) fn client(config: &S3Config, sdk: &SdkConfig) -> Client {
    // A body of which not a byte is taken, or given, ends much sooner than its time-out.
    let stalls = StalledStreamProtectionConfig::enabled().grace_period(config.attempt_timeout.min(STALL)).build();
    let mut builder = aws_sdk_s3::config::Builder::from(sdk)
        .force_path_style(config.path_style)
        .timeout_config(timeouts(config, 0))
        .stalled_stream_protection(stalls)
        .retry_config(RetryConfig::standard());
    if sdk.http_client().is_none() {
        builder = builder.http_client(https_client());
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_outs_grow_with_what_is_sent() {
        let config = S3Config::new("b", "");
        assert_eq!(timeouts(&config, 0).operation_attempt_timeout(), Some(Duration::from_secs(30)));
        assert_eq!(timeouts(&config, 16 << 20).operation_attempt_timeout(), Some(Duration::from_secs(30 + 256)));
        assert_eq!(timeouts(&config, 16 << 20).operation_timeout(), Some(Duration::from_secs(2 * (30 + 256) + 10)));
    }
}
