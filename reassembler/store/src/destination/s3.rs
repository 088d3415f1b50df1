//! An S3 bucket, or a prefix in one, as destination.
//!
//! A put is conditional (`If-None-Match: *`); where the key exists already (412: often our own put, whose reply was lost) what is there is
//! compared (`s3_compare`). Stores that ignore the condition write the same bytes again, which is harmless; for those that refuse it
//! ([`S3Config::conditional`] off, or so answered) the look comes first. Large objects go in parts, streamed from the file (`s3_send`).
//!
//! The SDK retries a little by itself and puts away connections that failed; endless retry is the uploader's. Credentials that were
//! refused are looked up anew for the next try. Where the clocks differ the SDK signs with the store's time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{ServerSideEncryption, StorageClass};
use tokio::sync::RwLock;

use super::s3_compare::Found;
use super::s3_config::{KmsKey, S3Config, client, load};
use super::s3_faults::{Asked, answer, fault};
use super::s3_send::Refusal;
use super::tries::Tries;
use super::{CheckReport, Doing, PutOutcome, blocking, verify};
use crate::error::{FaultKind, StoreError};
use crate::object::{ObjectKind, SealedObject};

/// The user metadata that holds an object's hash in hex.
pub(super) fn hash_metadata(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Batch => "blake3",
        ObjectKind::Body => "sha256",
    }
}

/// A bucket, or a prefix in one, as destination. Cheap to clone.
#[derive(Debug, Clone)]
pub struct S3Store {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: S3Config,
    client: RwLock<Client>,
    /// Endpoint or region, for people.
    pub(super) place: String,
    /// Credentials came from the usual chain, and are loaded again when they were refused.
    reloads: bool,
    stale: AtomicBool,
    conditional: AtomicBool,
    /// It was said that objects cannot be compared.
    pub(super) told_hidden: AtomicBool,
}

impl S3Store {
    /// A store with region and credentials from the usual chain. Nothing is sent yet, save by the chain itself.
    ///
    /// # Errors
    /// Where there is no region.
    pub fn connect(config: S3Config) -> Doing<'static, Self> {
        Box::pin(async move {
            let sdk = load(&config).await;
            if sdk.region().is_none() {
                return Err(StoreError::Config("no region: set AWS_REGION, or a region in the profile".into()));
            }
            Ok(Self::build(config, &sdk, true))
        })
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
        let (stale, told_hidden) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { shared: Arc::new(Shared { config, client, place, reloads, stale, conditional, told_hidden }) }
    }

    /// The SDK's client, for `lifecycle::apply`.
    pub(crate) async fn client(&self) -> Client {
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
            && (error.kind() == FaultKind::Credentials || matches!(error, StoreError::AccessDenied { .. }))
        {
            // What is denied to these may be allowed to those that somebody has set meanwhile.
            self.shared.stale.store(true, Ordering::Relaxed);
        }
        outcome
    }

    /// A bucket with versions keeps the object as an older one, for its lifecycle rules to expire.
    pub(super) async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let key = self.key(key);
        let mut tries = Tries::default();
        loop {
            let client = self.client().await;
            let Err(error) = client.delete_object().bucket(self.bucket()).key(&key).send().await else {
                return Ok(());
            };
            let is_gone = answer(&error).is_some_and(|answer| answer.status == 404 && answer.code != "NoSuchBucket");
            if is_gone {
                return Ok(());
            }
            tries.again(self.fault(&error, &key, "s3:DeleteObject")).await?;
        }
    }

    async fn put_once(&self, object: &SealedObject) -> Result<PutOutcome, StoreError> {
        let checked = object.clone();
        blocking(move || verify(&checked)).await?;
        let client = self.client().await;
        let key = self.key(&object.key);
        let outcome = self.put_to(&client, object, &key).await;
        if outcome.is_ok() && self.goes_in_parts(object) {
            self.abort_leftovers(&client, &key).await;
        }
        outcome
    }

    async fn put_to(&self, client: &Client, object: &SealedObject, key: &str) -> Result<PutOutcome, StoreError> {
        let conditional = self.shared.conditional.load(Ordering::Relaxed);
        // Parts are dear: where the reply to their completion was lost, here or in an earlier run, they are not sent again.
        let looked = !conditional || self.goes_in_parts(object);
        if looked && self.compare(client, object, key).await? == Found::Same {
            return Ok(PutOutcome::AlreadyStored);
        }
        let mut refused = false;
        if conditional {
            match self.send(client, object, key, true).await {
                Ok(()) => return Ok(PutOutcome::Stored),
                Err(Refusal::Exists) => {
                    if self.compare_existing(client, object, key).await? == Found::Same {
                        return Ok(PutOutcome::AlreadyStored);
                    }
                    // Removed in between, or the store errs: either way a put is due.
                }
                Err(Refusal::NoConditions) => {
                    refused = true;
                    if !looked && self.compare(client, object, key).await? == Found::Same {
                        return Ok(PutOutcome::AlreadyStored);
                    }
                }
                Err(Refusal::Fault(error)) => return Err(error),
            }
        }
        match self.send(client, object, key, false).await {
            Ok(()) => {}
            Err(Refusal::Fault(error)) => return Err(error),
            Err(Refusal::Exists | Refusal::NoConditions) => {
                let detail = "a condition failed that was not set".into();
                return Err(StoreError::Busy { place: self.shared.place.clone(), detail, retry_after: None });
            }
        }
        // Only now is it known that the condition was to blame.
        if refused && self.shared.conditional.swap(false, Ordering::Relaxed) {
            tracing::info!(
                place = self.shared.place,
                "the store knows no conditional puts; objects are looked up first"
            );
        }
        Ok(PutOutcome::Stored)
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
    pub(super) fn target(&self, key: &str) -> String {
        let key = if key.is_empty() { &self.shared.config.prefix } else { key };
        format!("s3://{}/{key}", self.bucket())
    }

    pub(super) fn storage_class(&self) -> Option<StorageClass> {
        self.shared.config.storage_class.as_deref().map(StorageClass::from)
    }

    pub(super) fn encryption(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match &self.shared.config.sse_kms {
            None => (None, None),
            Some(KmsKey::Default) => (Some(ServerSideEncryption::AwsKms), None),
            Some(KmsKey::Id(id)) => (Some(ServerSideEncryption::AwsKms), Some(id.clone())),
        }
    }
}
