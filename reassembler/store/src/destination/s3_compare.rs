//! Is what lies under a key our object? Asked after a 412, before an upload in parts, and before every put to a store that knows no
//! conditions.

use std::sync::atomic::Ordering;

use aws_sdk_s3::Client;
use reassemble_formats::layout::hex;

use super::s3::{S3Store, hash_metadata};
use super::s3_config::overridden;
use super::s3_faults::answer;
use crate::checksum::ContentHash;
use crate::error::StoreError;
use crate::object::SealedObject;

/// What lies under a key. Something else than the object is an error: [`StoreError::Conflict`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The object.
    Same,
    Nothing,
    /// The store does not let us look. An answer without a body does not tell whether for want of a permission or of good credentials;
    /// and without `s3:ListBucket` it is also given where nothing is there.
    Hidden,
}

impl S3Store {
    /// Compares length and hash as the object's metadata has it; where it has none, the bytes.
    pub(super) async fn compare(&self, client: &Client, object: &SealedObject, key: &str) -> Result<Found, StoreError> {
        let head = match client.head_object().bucket(self.bucket()).key(key).send().await {
            Ok(head) => head,
            Err(error) => {
                return match answer(&error).map(|answer| answer.status) {
                    Some(400 | 403) => Ok(Found::Hidden),
                    Some(404) => Ok(Found::Nothing),
                    _ => Err(self.fault(&error, key, "s3:GetObject")),
                };
            }
        };
        if let Some(length) = head.content_length().and_then(|length| u64::try_from(length).ok())
            && length != object.bytes
        {
            return Err(self.conflict(key, format!("{length} bytes, not {}", object.bytes)));
        }
        match head.metadata().and_then(|metadata| metadata.get(hash_metadata(object.kind))) {
            Some(hash) if *hash == hex(&object.hash) => Ok(Found::Same),
            Some(_) => Err(self.conflict(key, "another hash in its metadata".into())),
            None => self.compare_bytes(client, object, key).await,
        }
    }

    /// The same for a key that the store says exists.
    pub(super) async fn compare_existing(
        &self,
        client: &Client,
        object: &SealedObject,
        key: &str,
    ) -> Result<Found, StoreError> {
        match self.compare(client, object, key).await? {
            Found::Hidden => self.compare_bytes(client, object, key).await,
            found => Ok(found),
        }
    }

    async fn compare_bytes(&self, client: &Client, object: &SealedObject, key: &str) -> Result<Found, StoreError> {
        let timeouts = overridden(&self.shared.config, object.bytes);
        let get = client.get_object().bucket(self.bucket()).key(key).customize().config_override(timeouts);
        let mut body = match get.send().await {
            Ok(got) => got.body,
            Err(error) => {
                return match answer(&error) {
                    Some(answer) if answer.status == 404 && answer.code != "NoSuchBucket" => Ok(Found::Nothing),
                    // A role that may put and not get. The key holds the hash of the bytes, and only this layout makes such keys.
                    Some(answer) if answer.status == 403 && matches!(answer.code.as_str(), "AccessDenied" | "") => {
                        if !self.shared.told_hidden.swap(true, Ordering::Relaxed) {
                            tracing::warn!(
                                "what is stored under a key already cannot be compared (the role has no s3:GetObject): it counts as \
                                 stored, because the key holds the hash of its bytes"
                            );
                        }
                        Ok(Found::Same)
                    }
                    _ => Err(self.fault(&error, key, "s3:GetObject")),
                };
            }
        };
        let (mut sum, mut length) = (ContentHash::of(object.kind), 0u64);
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| StoreError::Unreachable {
                place: self.shared.place.clone(),
                detail: format!("the answer was cut: {error}"),
            })?;
            length += piece.len() as u64;
            if length > object.bytes {
                break;
            }
            sum.update(&piece);
        }
        if length == object.bytes && sum.finish() == object.hash {
            return Ok(Found::Same);
        }
        Err(self.conflict(key, "other bytes".into()))
    }

    fn conflict(&self, key: &str, detail: String) -> StoreError {
        StoreError::Conflict { target: self.target(key), detail }
    }
}
