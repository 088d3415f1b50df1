//! Merging the rules into a bucket's own.
//!
//! S3 replaces all rules of a bucket at once, so this reads them, changes those of the same id, and writes them all back: other rules,
//! and the bucket's setting for small objects, go back as they came. Rules of this program for classes no longer in use stay too: what
//! was stored under them still has to expire. S3 has no condition for this write; whoever changes the rules at the same
//! instant may be overwritten.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration,
    LifecycleRule as BucketRule, LifecycleRuleFilter, TransitionDefaultMinimumObjectSize,
};

use super::{Action, LifecycleRule};
use crate::destination::{Doing, S3Store};
use crate::error::StoreError;

/// S3's largest number of rules.
const MAX_RULES: usize = 1_000;

/// What [`apply`] changed, by rule id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Rules that were not there.
    pub added: Vec<String>,
    /// Rules that were there and said something else.
    pub updated: Vec<String>,
    /// Rules that were there already.
    pub unchanged: Vec<String>,
    /// Rules that were left alone.
    pub others: usize,
}

/// Merges rules into those of the store's bucket. Writes nothing where nothing would change.
///
/// # Errors
/// Where the bucket refuses, or would have more than 1,000 rules.
pub fn apply<'a>(store: &'a S3Store, rules: &'a [LifecycleRule]) -> Doing<'a, Applied> {
    Box::pin(merge_into(store, rules))
}

async fn merge_into(store: &S3Store, rules: &[LifecycleRule]) -> Result<Applied, StoreError> {
    let client = store.client().await;
    let (existing, minimum) = match client.get_bucket_lifecycle_configuration().bucket(store.bucket()).send().await {
        Ok(found) => (found.rules.unwrap_or_default(), found.transition_default_minimum_object_size),
        Err(SdkError::ServiceError(error)) if error.err().code() == Some("NoSuchLifecycleConfiguration") => {
            (Vec::new(), None::<TransitionDefaultMinimumObjectSize>)
        }
        Err(error) => return Err(store.fault(&error, "", "s3:GetLifecycleConfiguration")),
    };
    let (merged, applied) = merge(existing, rules)?;
    if applied.added.is_empty() && applied.updated.is_empty() {
        return Ok(applied);
    }
    let configuration = BucketLifecycleConfiguration::builder().set_rules(Some(merged)).build().map_err(invalid)?;
    client
        .put_bucket_lifecycle_configuration()
        .bucket(store.bucket())
        .lifecycle_configuration(configuration)
        .set_transition_default_minimum_object_size(minimum)
        .send()
        .await
        .map_err(|error| store.fault(&error, "", "s3:PutLifecycleConfiguration"))?;
    Ok(applied)
}

fn merge(mut merged: Vec<BucketRule>, rules: &[LifecycleRule]) -> Result<(Vec<BucketRule>, Applied), StoreError> {
    let mut applied = Applied::default();
    for rule in rules {
        let wanted = to_bucket_rule(rule)?;
        match merged.iter_mut().find(|existing| existing.id.as_deref() == Some(&rule.id)) {
            Some(existing) if *existing == wanted => applied.unchanged.push(rule.id.clone()),
            Some(existing) => {
                *existing = wanted;
                applied.updated.push(rule.id.clone());
            }
            None => {
                merged.push(wanted);
                applied.added.push(rule.id.clone());
            }
        }
    }
    if merged.len() > MAX_RULES {
        return Err(StoreError::Config(format!(
            "the bucket would have {} lifecycle rules, and S3 takes {MAX_RULES}: remove some, or use fewer retention classes",
            merged.len()
        )));
    }
    applied.others = merged.len() - rules.len();
    Ok((merged, applied))
}

fn to_bucket_rule(rule: &LifecycleRule) -> Result<BucketRule, StoreError> {
    let days = |days: u32| i32::try_from(days).unwrap_or(i32::MAX);
    let builder = BucketRule::builder()
        .id(&rule.id)
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix(&rule.prefix).build());
    match rule.action {
        Action::ExpireDays(n) => builder.expiration(LifecycleExpiration::builder().days(days(n)).build()),
        Action::AbortMultipartDays(n) => builder.abort_incomplete_multipart_upload(
            AbortIncompleteMultipartUpload::builder().days_after_initiation(days(n)).build(),
        ),
    }
    .build()
    .map_err(invalid)
}

fn invalid(error: aws_sdk_s3::error::BuildError) -> StoreError {
    StoreError::Config(format!("a lifecycle rule cannot be made: {error}"))
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{Tag, Transition, TransitionStorageClass};
    use reassemble_formats::layout::RetentionClass;

    use super::*;
    use crate::lifecycle::rules;

    fn foreign(id: &str) -> BucketRule {
        BucketRule::builder()
            .id(id)
            .status(ExpirationStatus::Disabled)
            .filter(LifecycleRuleFilter::builder().tag(Tag::builder().key("k").value("v").build().unwrap()).build())
            .transitions(Transition::builder().days(40).storage_class(TransitionStorageClass::GlacierIr).build())
            .build()
            .unwrap()
    }

    fn ours(days: &[u32]) -> Vec<LifecycleRule> {
        rules("root", &days.iter().map(|days| RetentionClass::from_days(*days).unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn other_rules_stay_as_they_are() {
        let existing = vec![foreign("a"), foreign("reassemble-of-another-root"), foreign("z")];
        let (merged, applied) = merge(existing.clone(), &ours(&[7, 30])).unwrap();
        assert_eq!(merged[..3], existing[..]);
        assert_eq!(merged.len(), 6);
        assert_eq!((applied.added.len(), applied.others), (3, 3));
    }

    #[test]
    fn applying_again_changes_nothing() {
        let (merged, _) = merge(vec![foreign("a")], &ours(&[7])).unwrap();
        let (again, applied) = merge(merged.clone(), &ours(&[7])).unwrap();
        assert_eq!(again, merged);
        assert!(applied.added.is_empty() && applied.updated.is_empty());
        assert_eq!(applied.unchanged.len(), 2);
    }

    #[test]
    fn a_changed_rule_is_put_right_and_an_unused_class_still_expires() {
        let (mut merged, _) = merge(Vec::new(), &ours(&[7, 30])).unwrap();
        merged[0].status = ExpirationStatus::Disabled;
        let id = merged[0].id.clone().unwrap();
        let (fixed, applied) = merge(merged, &ours(&[7])).unwrap();
        assert_eq!(applied.updated, [id]);
        assert_eq!(fixed.len(), 3);
        assert_eq!(applied.others, 1);
        assert!(fixed.iter().any(|rule| rule.id.as_deref().is_some_and(|id| id.ends_with("expire-30d"))));
    }

    #[test]
    fn more_rules_than_s3_takes_are_refused() {
        let many: Vec<_> = (0..999).map(|i| foreign(&i.to_string())).collect();
        assert!(merge(many.clone(), &ours(&[])).is_ok());
        let error = merge(many, &ours(&[7])).unwrap_err();
        assert!(error.to_string().contains("1001"), "{error}");
    }
}
