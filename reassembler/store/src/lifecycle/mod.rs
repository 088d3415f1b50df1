//! The lifecycle of a bucket: each retention class expires by one rule, and multipart uploads that were never ended go.
//!
//! The rules are pure data, rendered for S3's API and for Terraform, or merged into a bucket's own by [`apply`]. A rule is known by its
//! id, which starts with [`ID_PREFIX`] and holds a mark of the root, so that several roots in one bucket do not meet. Rules filter by
//! prefix, never by tag: some stores drop tag filters, and a rule for some objects would become one for all.
//!
//! In a bucket with versioning S3 keeps what expires as a noncurrent version; how long is for a rule of the bucket's owner to say.

mod apply;

use std::collections::BTreeSet;
use std::fmt::Write;

use reassemble_formats::layout::RetentionClass;
use serde_json::json;

pub use self::apply::{Applied, apply};

/// How the ids of all rules of this program start.
pub const ID_PREFIX: &str = "reassemble-";

/// Days after which a multipart upload that was never ended goes. Longer than any retry of one takes.
pub const ABORT_DAYS: u32 = 3;

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Objects expire after so many days.
    ExpireDays(u32),
    /// Multipart uploads that are not ended are aborted after so many days.
    AbortMultipartDays(u32),
}

/// One lifecycle rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleRule {
    /// Its id in the bucket.
    pub id: String,
    /// The keys that it is for.
    pub prefix: String,
    /// What happens to them.
    pub action: Action,
}

/// The rules for the classes in use under a root (the destination's prefix; may be empty), in order of days, the abort rule last.
pub fn rules(root: &str, classes: &[RetentionClass]) -> Vec<LifecycleRule> {
    let root = root.trim_matches('/');
    let (mark, folder) = match root {
        "" => (String::new(), String::new()),
        root => (format!("{:08x}-", crc32fast::hash(root.as_bytes())), format!("{root}/")),
    };
    let classes: BTreeSet<RetentionClass> = classes.iter().copied().collect();
    let expire = classes.into_iter().map(|class| LifecycleRule {
        id: format!("{ID_PREFIX}{mark}expire-{class}"),
        prefix: format!("{folder}retention={class}/"),
        action: Action::ExpireDays(class.days()),
    });
    let abort = LifecycleRule {
        id: format!("{ID_PREFIX}{mark}abort-multipart"),
        prefix: folder.clone(),
        action: Action::AbortMultipartDays(ABORT_DAYS),
    };
    expire.chain([abort]).collect()
}

/// The rules as `aws s3api put-bucket-lifecycle-configuration --lifecycle-configuration` takes them.
pub fn to_json(rules: &[LifecycleRule]) -> String {
    let rules: Vec<_> = rules
        .iter()
        .map(|rule| {
            let mut value = json!({ "ID": rule.id, "Status": "Enabled", "Filter": { "Prefix": rule.prefix } });
            match rule.action {
                Action::ExpireDays(days) => value["Expiration"] = json!({ "Days": days }),
                Action::AbortMultipartDays(days) => {
                    value["AbortIncompleteMultipartUpload"] = json!({ "DaysAfterInitiation": days });
                }
            }
            value
        })
        .collect();
    let mut text = format!("{:#}", json!({ "Rules": rules }));
    text.push('\n');
    text
}

/// The rules as a Terraform resource. It owns all rules of its bucket, so those of others have to stand in it too.
pub fn to_terraform(bucket: &str, rules: &[LifecycleRule]) -> String {
    let mut text = format!(
        "# This resource owns all lifecycle rules of the bucket: add those of others here, or use `reassemble lifecycle --apply`.\n\
         resource \"aws_s3_bucket_lifecycle_configuration\" \"reassemble\" {{\n  bucket = {}\n",
        quoted(bucket)
    );
    for rule in rules {
        let action = match rule.action {
            Action::ExpireDays(days) => format!("expiration {{\n      days = {days}\n    }}"),
            Action::AbortMultipartDays(days) => {
                format!("abort_incomplete_multipart_upload {{\n      days_after_initiation = {days}\n    }}")
            }
        };
        // Writing to a String cannot fail.
        let _infallible = write!(
            text,
            "\n  rule {{\n    id     = {}\n    status = \"Enabled\"\n\n    filter {{\n      prefix = {}\n    }}\n\n    {action}\n  }}\n",
            quoted(&rule.id),
            quoted(&rule.prefix)
        );
    }
    text.push_str("}\n");
    text
}

/// A string literal of HCL; `${` and `%{` would begin a template.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '{' if out.ends_with('$') => out.push_str("${"),
            '{' if out.ends_with('%') => out.push_str("%{"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(days: &[u32]) -> Vec<RetentionClass> {
        days.iter().map(|days| RetentionClass::from_days(*days).unwrap()).collect()
    }

    #[test]
    fn json_is_what_the_api_takes() {
        assert_eq!(
            to_json(&rules("prod/captures", &classes(&[30, 7, 30]))),
            r#"{
  "Rules": [
    {
      "ID": "reassemble-955e56d8-expire-7d",
      "Status": "Enabled",
      "Filter": {
        "Prefix": "prod/captures/retention=7d/"
      },
      "Expiration": {
        "Days": 7
      }
    },
    {
      "ID": "reassemble-955e56d8-expire-30d",
      "Status": "Enabled",
      "Filter": {
        "Prefix": "prod/captures/retention=30d/"
      },
      "Expiration": {
        "Days": 30
      }
    },
    {
      "ID": "reassemble-955e56d8-abort-multipart",
      "Status": "Enabled",
      "Filter": {
        "Prefix": "prod/captures/"
      },
      "AbortIncompleteMultipartUpload": {
        "DaysAfterInitiation": 3
      }
    }
  ]
}
"#
        );
    }

    #[test]
    fn terraform_is_a_resource() {
        assert_eq!(
            to_terraform("captures", &rules("", &classes(&[30]))),
            r#"# This resource owns all lifecycle rules of the bucket: add those of others here, or use `reassemble lifecycle --apply`.
resource "aws_s3_bucket_lifecycle_configuration" "reassemble" {
  bucket = "captures"

  rule {
    id     = "reassemble-expire-30d"
    status = "Enabled"

    filter {
      prefix = "retention=30d/"
    }

    expiration {
      days = 30
    }
  }

  rule {
    id     = "reassemble-abort-multipart"
    status = "Enabled"

    filter {
      prefix = ""
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 3
    }
  }
}
"#
        );
    }

    #[test]
    fn strings_of_terraform_open_no_template() {
        assert_eq!(quoted(r#"a"b\c${d}%{e}{f}$g"#), r#""a\"b\\c$${d}%%{e}{f}$g""#);
    }
}
