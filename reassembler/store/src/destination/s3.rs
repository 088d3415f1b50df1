//! An S3 bucket, or a prefix in one, as destination.
//!
//! A put is conditional (`If-None-Match: *`); where the key exists already (412: often our own put, whose reply was lost) a HEAD compares
//! length and SHA-256. Stores that ignore the condition write the same bytes again, which is harmless; for those that refuse it
//! ([`S3Config::conditional`] off, or 501 answered) the HEAD comes first. Large objects go in parts, streamed from the file; an upload
//! that fails is aborted.
//!
//! The SDK retries a little by itself and puts away connections that failed; endless retry is the uploader's.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, ServerSideEncryption, StorageClass};
use reassemble_formats::layout::hex;
use tokio::sync::RwLock;

use super::s3_config::{KmsKey, S3Config, client, load};
use super::s3_faults::{Asked, answer, fault};
use super::{CheckReport, PutOutcome, blocking, verify};
use crate::error::{FaultKind, StoreError};
use crate::object::{ObjectKind, SealedObject};

/// S3's largest number of parts.
const MAX_PARTS: u64 = 10_000;
/// S3's smallest part but for the last.
const MIN_PART_BYTES: u64 = 5 << 20;
/// The user metadata that holds an object's SHA-256 in hex.
const SHA256_METADATA: &str = "sha256";

/// A bucket, or a prefix in one, as destination. Cheap to clone.
#[derive(Debug, Clone)]
pub struct S3Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: S3Config,
    client: RwLock<Client>,
    /// Endpoint or region, for people.
    place: String,
    /// Credentials came from the usual chain, and are loaded again when they were refused.
    reloads: bool,
    stale: AtomicBool,
    conditional: AtomicBool,
}

/// Why a put did not store.
enum Refusal {
    /// The key exists.
    Exists,
    /// The store does not know the condition.
    NoConditions,
    Fault(StoreError),
}

impl S3Store {
    /// A store with region and credentials from the usual chain. Nothing is sent yet, save by the chain itself.
    ///
    /// # Errors
    /// Where there is no region.
    pub async fn connect(config: S3Config) -> Result<Self, StoreError> {
        let sdk = load(&config).await;
        if sdk.region().is_none() {
            return Err(StoreError::Config("no region: set AWS_REGION, or a region in the profile".into()));
        }
        Ok(Self::build(config, &sdk, true))
    }

    /// A store with a given SDK configuration.
    pub fn from_sdk(config: S3Config, sdk: &SdkConfig) -> Self {
        Self::build(config, sdk, false)
    }

    fn build(config: S3Config, sdk: &SdkConfig, reloads: bool) -> Self {
        let region = || sdk.region().map_or_else(|| "AWS".to_owned(), |region| format!("S3 in {region}"));
        let place = config.endpoint.clone().unwrap_or_else(region);
        let client = RwLock::new(client(&config, sdk));
        let conditional = AtomicBool::new(config.conditional);
        let stale = AtomicBool::new(false);
        Self { shared: Arc::new(Shared { config, client, place, reloads, stale, conditional }) }
    }

    /// The SDK's client, for `lifecycle::apply`.
    pub async fn client(&self) -> Client {
        self.shared.client.read().await.clone()
    }

    /// The bucket.
    pub fn bucket(&self) -> &str {
        &self.shared.config.bucket
    }

    pub(super) fn describe(&self) -> String {
        self.target("")
    }

    pub(super) async fn put(&self, object: &SealedObject) -> Result<PutOutcome, StoreError> {
        self.renew().await;
        let outcome = self.put_once(object).await;
        if let Err(error) = &outcome
            && error.kind() == FaultKind::Credentials
        {
            self.shared.stale.store(true, Ordering::Relaxed);
        }
        outcome
    }

    async fn put_once(&self, object: &SealedObject) -> Result<PutOutcome, StoreError> {
        let checked = object.clone();
        blocking(move || verify(&checked)).await?;
        let client = self.client().await;
        let key = self.key(&object.key);
        if self.shared.conditional.load(Ordering::Relaxed) {
            match self.send(&client, object, &key, true).await {
                Ok(()) => return Ok(PutOutcome::Stored),
                Err(Refusal::Exists) => {
                    return self.compare(&client, object, &key, true).await.map(|_| PutOutcome::AlreadyStored);
                }
                Err(Refusal::NoConditions) => {
                    tracing::info!(
                        place = self.shared.place,
                        "the store knows no conditional puts; objects are looked up first"
                    );
                    self.shared.conditional.store(false, Ordering::Relaxed);
                }
                Err(Refusal::Fault(error)) => return Err(error),
            }
        }
        if self.compare(&client, object, &key, false).await? {
            return Ok(PutOutcome::AlreadyStored);
        }
        match self.send(&client, object, &key, false).await {
            Ok(()) => Ok(PutOutcome::Stored),
            Err(Refusal::Exists | Refusal::NoConditions) => Err(StoreError::Busy {
                place: self.shared.place.clone(),
                detail: "a condition failed that was not set".into(),
            }),
            Err(Refusal::Fault(error)) => Err(error),
        }
    }

    async fn send(&self, client: &Client, object: &SealedObject, key: &str, conditional: bool) -> Result<(), Refusal> {
        if object.bytes > self.shared.config.multipart_bytes {
            self.send_parts(client, object, key, conditional).await
        } else {
            self.send_whole(client, object, key, conditional).await
        }
    }

    async fn send_whole(
        &self,
        client: &Client,
        object: &SealedObject,
        key: &str,
        conditional: bool,
    ) -> Result<(), Refusal> {
        let body = stream(&object.path, 0, object.bytes).await.map_err(Refusal::Fault)?;
        let (encryption, kms_key) = self.encryption();
        let sent = client
            .put_object()
            .bucket(self.bucket())
            .key(key)
            .content_type(content_type(object))
            .metadata(SHA256_METADATA, hex(&object.sha256))
            .set_storage_class(self.storage_class())
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key)
            .set_if_none_match(conditional.then(|| "*".to_owned()))
            .body(body)
            .send()
            .await;
        sent.map(drop).map_err(|error| self.refusal(&error, key, conditional))
    }

    async fn send_parts(
        &self,
        client: &Client,
        object: &SealedObject,
        key: &str,
        conditional: bool,
    ) -> Result<(), Refusal> {
        let (encryption, kms_key) = self.encryption();
        let created = client
            .create_multipart_upload()
            .bucket(self.bucket())
            .key(key)
            .content_type(content_type(object))
            .metadata(SHA256_METADATA, hex(&object.sha256))
            .set_storage_class(self.storage_class())
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key)
            .send()
            .await
            .map_err(|error| self.refusal(&error, key, false))?;
        let upload = created.upload_id().unwrap_or_default();
        let outcome = self.send_each_part(client, object, key, upload, conditional).await;
        if outcome.is_err()
            && let Err(error) =
                client.abort_multipart_upload().bucket(self.bucket()).key(key).upload_id(upload).send().await
        {
            // The lifecycle's abort rule takes it away.
            tracing::debug!(error = %self.fault(&error, key, "s3:AbortMultipartUpload"), "cannot abort a multipart upload");
        }
        outcome
    }

    async fn send_each_part(
        &self,
        client: &Client,
        object: &SealedObject,
        key: &str,
        upload: &str,
        conditional: bool,
    ) -> Result<(), Refusal> {
        let part_bytes = self.shared.config.part_bytes.max(MIN_PART_BYTES).max(object.bytes.div_ceil(MAX_PARTS));
        let (mut parts, mut offset, mut number) = (Vec::new(), 0, 1);
        while offset < object.bytes {
            let length = part_bytes.min(object.bytes - offset);
            let body = stream(&object.path, offset, length).await.map_err(Refusal::Fault)?;
            let part = client
                .upload_part()
                .bucket(self.bucket())
                .key(key)
                .upload_id(upload)
                .part_number(number)
                .body(body)
                .send()
                .await
                .map_err(|error| self.refusal(&error, key, false))?;
            let done = CompletedPart::builder()
                .part_number(number)
                .set_e_tag(part.e_tag)
                .set_checksum_crc32(part.checksum_crc32)
                .set_checksum_crc64_nvme(part.checksum_crc64_nvme);
            parts.push(done.build());
            offset += length;
            number += 1;
        }
        let completed = client
            .complete_multipart_upload()
            .bucket(self.bucket())
            .key(key)
            .upload_id(upload)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .set_if_none_match(conditional.then(|| "*".to_owned()))
            .send()
            .await;
        completed.map(drop).map_err(|error| self.refusal(&error, key, conditional))
    }

    /// Compares what lies under the key: true where it is this object, false where nothing is there, which after a 412 (`exists`) means
    /// that it was removed in between.
    async fn compare(
        &self,
        client: &Client,
        object: &SealedObject,
        key: &str,
        exists: bool,
    ) -> Result<bool, StoreError> {
        let head = match client.head_object().bucket(self.bucket()).key(key).send().await {
            Ok(head) => head,
            Err(error) => {
                return match answer(&error).map(|answer| answer.status) {
                    // Without s3:GetObject the key has to do: it holds the hash of the bytes, and only this layout makes it.
                    Some(403) => Ok(exists),
                    Some(404) if exists => {
                        let detail = "the object vanished while it was looked at".into();
                        Err(StoreError::Busy { place: self.shared.place.clone(), detail })
                    }
                    Some(404) => Ok(false),
                    _ => Err(self.fault(&error, key, "s3:GetObject")),
                };
            }
        };
        let length = head.content_length().and_then(|length| u64::try_from(length).ok());
        let sha256 = head.metadata().and_then(|metadata| metadata.get(SHA256_METADATA));
        if length == Some(object.bytes) && sha256.is_some_and(|sha256| *sha256 == hex(&object.sha256)) {
            return Ok(true);
        }
        let detail = match (length, sha256) {
            (Some(length), _) if length != object.bytes => format!("{length} bytes, not {}", object.bytes),
            (_, Some(_)) => "another SHA-256 in its metadata".to_owned(),
            (_, None) => "no SHA-256 in its metadata".to_owned(),
        };
        Err(StoreError::Conflict { target: self.target(key), detail })
    }

    /// Looks at the bucket, then begins a multipart upload and aborts it: that needs what a put needs, and leaves no object and no
    /// version.
    pub(super) async fn check(&self) -> Result<CheckReport, StoreError> {
        self.renew().await;
        let client = self.client().await;
        if let Err(error) = client.head_bucket().bucket(self.bucket()).send().await {
            let status = answer(&error).map(|answer| answer.status);
            // Without s3:ListBucket, or for a store's reasons that only an answer with a body tells, the trial below says more.
            if !matches!(status, Some(400 | 403)) {
                return Err(self.fault(&error, "", "s3:ListBucket"));
            }
        }
        let key = self.key(&format!("reassemble-check-{}", std::process::id()));
        let (encryption, kms_key) = self.encryption();
        let created = client
            .create_multipart_upload()
            .bucket(self.bucket())
            .key(&key)
            .set_storage_class(self.storage_class())
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key)
            .send()
            .await
            .map_err(|error| self.fault(&error, &key, "s3:PutObject"))?;
        let upload = created.upload_id().unwrap_or_default();
        let aborted = client.abort_multipart_upload().bucket(self.bucket()).key(&key).upload_id(upload).send().await;
        let left_behind = aborted.err().map(|error| {
            let why = self.fault(&error, &key, "s3:AbortMultipartUpload");
            format!("an unfinished multipart upload of {} without data ({why})", self.target(&key))
        });
        Ok(CheckReport { left_behind })
    }

    /// Loads credentials again where they were refused since.
    async fn renew(&self) {
        if self.shared.reloads && self.shared.stale.swap(false, Ordering::Relaxed) {
            let sdk = load(&self.shared.config).await;
            *self.shared.client.write().await = client(&self.shared.config, &sdk);
        }
    }

    fn refusal<E>(&self, error: &SdkError<E, HttpResponse>, key: &str, conditional: bool) -> Refusal
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match answer(error) {
            Some(answer) if conditional && answer.status == 412 => Refusal::Exists,
            Some(answer) if conditional && answer.code == "NotImplemented" => Refusal::NoConditions,
            _ => Refusal::Fault(self.fault(error, key, "s3:PutObject, and kms:GenerateDataKey where a key is set,")),
        }
    }

    pub(crate) fn fault<E>(&self, error: &SdkError<E, HttpResponse>, key: &str, needs: &'static str) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        fault(error, Asked { bucket: self.bucket(), place: &self.shared.place, target: self.target(key), needs })
    }

    pub(super) fn unreachable(&self, detail: String) -> StoreError {
        StoreError::Unreachable { place: self.shared.place.clone(), detail }
    }

    pub(super) fn key(&self, key: &str) -> String {
        match self.shared.config.prefix.as_str() {
            "" => key.to_owned(),
            prefix => format!("{prefix}/{key}"),
        }
    }

    /// A whole key's URL; the destination's own for an empty one.
    fn target(&self, key: &str) -> String {
        let key = if key.is_empty() { &self.shared.config.prefix } else { key };
        format!("s3://{}/{key}", self.bucket())
    }

    fn storage_class(&self) -> Option<StorageClass> {
        self.shared.config.storage_class.as_deref().map(StorageClass::from)
    }

    fn encryption(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match &self.shared.config.sse_kms {
            None => (None, None),
            Some(KmsKey::Default) => (Some(ServerSideEncryption::AwsKms), None),
            Some(KmsKey::Id(id)) => (Some(ServerSideEncryption::AwsKms), Some(id.clone())),
        }
    }
}

async fn stream(path: &Path, offset: u64, length: u64) -> Result<ByteStream, StoreError> {
    let body = ByteStream::read_from().path(path).offset(offset).length(Length::Exact(length)).build().await;
    body.map_err(|error| StoreError::file("read", path)(std::io::Error::other(error)))
}

fn content_type(object: &SealedObject) -> &'static str {
    match (object.kind, object.key.rsplit('.').next()) {
        (ObjectKind::Body, _) => "application/octet-stream",
        (ObjectKind::Batch, Some("gz")) => "application/gzip",
        (ObjectKind::Batch, Some("zst")) => "application/zstd",
        (ObjectKind::Batch, _) => "application/x-ndjson",
    }
}
