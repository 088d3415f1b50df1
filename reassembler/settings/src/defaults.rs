//! Defaults that hold in every program, as one would write them. Those of one program alone stand where it declares its settings.

/// Of `timeout`.
pub const TIMEOUT: &str = "60s";
/// Of `batch-bytes`.
pub const BATCH_BYTES: &str = "64MiB";
/// Of `compression`.
pub const COMPRESSION: &str = "gzip";
/// Of `s3-checksums`.
pub const S3_CHECKSUMS: &str = "always";
/// Of `retention`.
pub const RETENTION: &str = "30d";
/// Of `retention-errors`.
pub const RETENTION_ERRORS: &str = "90d";
/// Of `retention-incomplete`.
pub const RETENTION_INCOMPLETE: &str = "7d";
/// Of `decode-limit`.
pub const DECODE_LIMIT: &str = "8MiB";
/// Of `inline-body`.
pub const INLINE_BODY: &str = "1MiB";
/// Of `log-level`.
pub const LOG_LEVEL: &str = "info";
