//! One object's bytes on their way: whole, or in parts where there are many.
//!
//! An upload in parts that fails is aborted. What cannot be aborted, because the process was killed, is removed once the object is there:
//! then nobody needs it, and another instance that is at work on the same key finds the object instead.

use std::fs::File;
use std::path::Path;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reassemble_formats::layout::hex;

use super::blocking;
use super::s3::{S3Store, hash_metadata};
use super::s3_body::file_body;
use super::s3_config::overridden;
use super::s3_faults::answer;
use crate::error::StoreError;
use crate::object::{ObjectKind, SealedObject};

/// S3's largest number of parts.
const MAX_PARTS: u64 = 10_000;
/// S3's smallest part but for the last.
const MIN_PART_BYTES: u64 = 5 << 20;

/// Why a put did not store.
pub(super) enum Refusal {
    /// The key exists.
    Exists,
    /// The store does not know the condition.
    NoConditions,
    Fault(StoreError),
}

impl S3Store {
    pub(super) fn goes_in_parts(&self, object: &SealedObject) -> bool {
        object.bytes > self.shared.config.multipart_bytes
    }

    pub(super) async fn send(
        &self,
        client: &Client,
        object: &SealedObject,
        key: &str,
        conditional: bool,
    ) -> Result<(), Refusal> {
        if self.goes_in_parts(object) {
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
            .metadata(hash_metadata(object.kind), hex(&object.hash))
            .set_storage_class(self.storage_class())
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key)
            .set_if_none_match(conditional.then(|| "*".to_owned()))
            .set_checksum_crc32(self.checksum(object))
            .body(body)
            .customize()
            .config_override(overridden(&self.shared.config, object.bytes))
            .send()
            .await;
        sent.map(drop).map_err(|error| self.refusal(&error, key, conditional))
    }

    /// The CRC-32 that is known since the object was written, for the store to compare with what arrives. The SDK then need not read
    /// the body for one of its own, nor send it in chunks for the sake of a trailer.
    fn checksum(&self, object: &SealedObject) -> Option<String> {
        (!self.shared.config.checksums_when_required).then(|| BASE64_STANDARD.encode(object.crc32.to_be_bytes()))
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
            .metadata(hash_metadata(object.kind), hex(&object.hash))
            .set_storage_class(self.storage_class())
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key)
            .send()
            .await
            .map_err(|error| self.refusal(&error, key, false))?;
        let upload = created.upload_id().unwrap_or_default();
        let outcome = self.send_each_part(client, object, key, upload, conditional).await;
        if outcome.is_err() {
            self.abort(client, key, upload).await;
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
                .customize()
                .config_override(overridden(&self.shared.config, length))
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
            .customize()
            // Joining the parts takes the store a while, more for more of them.
            .config_override(overridden(&self.shared.config, object.bytes))
            .send()
            .await;
        completed.map(drop).map_err(|error| self.refusal(&error, key, conditional))
    }

    /// Removes what uploads of this key by earlier runs left, once the object is there.
    pub(super) async fn abort_leftovers(&self, client: &Client, key: &str) {
        let listed = client.list_multipart_uploads().bucket(self.bucket()).prefix(key).send().await;
        match listed {
            Ok(listed) => {
                let ours = listed.uploads().iter().filter(|upload| upload.key() == Some(key));
                for upload in ours.filter_map(|upload| upload.upload_id()) {
                    self.abort(client, key, upload).await;
                }
            }
            Err(error) => {
                let why = self.fault(&error, key, "s3:ListBucketMultipartUploads");
                tracing::debug!(error = %why, "cannot look for unfinished multipart uploads");
            }
        }
    }

    async fn abort(&self, client: &Client, key: &str, upload: &str) {
        if let Err(error) =
            client.abort_multipart_upload().bucket(self.bucket()).key(key).upload_id(upload).send().await
        {
            // The lifecycle's abort rule takes it away.
            let why = self.fault(&error, key, "s3:AbortMultipartUpload");
            tracing::debug!(error = %why, "cannot abort a multipart upload");
        }
    }

    fn refusal<E>(&self, error: &SdkError<E, HttpResponse>, key: &str, conditional: bool) -> Refusal
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match answer(error) {
            Some(answer) if conditional && answer.status == 412 => Refusal::Exists,
            Some(answer) if conditional && answer.knows_no_conditions() => Refusal::NoConditions,
            _ => Refusal::Fault(self.fault(error, key, "s3:PutObject, and kms:GenerateDataKey where a key is set,")),
        }
    }
}

async fn stream(path: &Path, offset: u64, length: u64) -> Result<ByteStream, StoreError> {
    let opened = path.to_owned();
    let file = blocking(move || File::open(&opened).map_err(StoreError::file("read", &opened))).await?;
    Ok(ByteStream::new(file_body(file, offset, length)))
}

fn content_type(object: &SealedObject) -> &'static str {
    match (object.kind, object.key.rsplit('.').next()) {
        (ObjectKind::Body, _) => "application/octet-stream",
        (ObjectKind::Batch, Some("gz")) => "application/gzip",
        (ObjectKind::Batch, Some("zst")) => "application/zstd",
        (ObjectKind::Batch, _) => "application/x-ndjson",
    }
}
