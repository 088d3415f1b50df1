//! `reassemble lifecycle`: the bucket's rules for the retention classes, printed or applied.

use std::fmt::Write as _;

use reassemble_formats::layout::RetentionClass;
use reassemble_pipeline::config::{DestinationConfig, Retention, S3Options};
use reassemble_store::lifecycle::{self, Applied, LifecycleRule};
use reassemble_store::{S3Config, S3Store};

use crate::failure::Failure;
use crate::options::args::{LifecycleArgs, LifecycleFormat};
use crate::options::config;
use crate::options::layers::Resolved;
use crate::report::printable::{counted, printable};
use crate::shell::print;

/// Prints or applies the rules, and returns the exit code.
pub(crate) fn perform(resolved: &Resolved, options: &LifecycleArgs) -> Result<u8, Failure> {
    let destination = config::destination(resolved)?;
    let DestinationConfig::S3 { bucket, prefix, options: s3 } = &destination else {
        return Err(Failure::Usage(format!(
            "directories have no lifecycle: {} is {}; with --to s3://bucket/prefix there are rules to show, \
             and in a directory `find … -path '*/retention=7d/*' -mtime +7 -delete` does it",
            resolved.name_of("to"),
            resolved.settings.destination.to,
        )));
    };
    let rules = rules(prefix, &config::retention(resolved))?;
    if !options.apply {
        let text = match options.format {
            LifecycleFormat::Json => lifecycle::to_json(&rules),
            LifecycleFormat::Terraform => lifecycle::to_terraform(bucket, &rules),
        };
        print(&text)?;
        return Ok(0);
    }
    let applied = apply(bucket, prefix, s3, &rules)?;
    print(&told(bucket, &applied))?;
    Ok(0)
}

/// A rule for each class, and one for uploads.
fn rules(prefix: &str, retention: &Retention) -> Result<Vec<LifecycleRule>, Failure> {
    let days = [retention.normal_days, retention.errors_days, retention.incomplete_days];
    let class =
        |days| RetentionClass::from_days(days).ok_or_else(|| Failure::Usage(format!("{days} days are no retention")));
    let classes = days.into_iter().map(class).collect::<Result<Vec<_>, _>>()?;
    Ok(lifecycle::rules(prefix, &classes))
}

/// Merges the rules into the bucket's.
fn apply(bucket: &str, prefix: &str, options: &S3Options, rules: &[LifecycleRule]) -> Result<Applied, Failure> {
    // Rules are no objects: what concerns their storage does not matter here.
    let config = S3Config {
        region: options.region.clone(),
        endpoint: options.endpoint.clone(),
        path_style: options.path_style,
        checksums_when_required: options.checksums_when_required,
        ..S3Config::new(bucket, prefix)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Running(format!("cannot start a runtime: {error}")))?;
    let merged = runtime.block_on(async { lifecycle::apply(&S3Store::connect(config).await?, rules).await });
    merged.map_err(|error| Failure::Running(error.to_string()))
}

/// What changed, a line each.
fn told(bucket: &str, applied: &Applied) -> String {
    let mut text = String::new();
    for (word, ids) in [("added", &applied.added), ("updated", &applied.updated), ("unchanged", &applied.unchanged)] {
        for id in ids {
            // Writing to a String does not fail.
            writeln!(text, "{word:<9}  {}", printable(id)).ok();
        }
    }
    let others = counted(u64::try_from(applied.others).unwrap_or(u64::MAX), "other rule");
    writeln!(text, "bucket {}: {others} left alone", printable(bucket)).ok();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_changed_and_what_did_not() {
        let applied = Applied {
            added: vec!["reassemble-expire-30d".to_owned()],
            updated: Vec::new(),
            unchanged: vec!["reassemble-abort-multipart".to_owned()],
            others: 2,
        };
        assert_eq!(
            told("logs", &applied),
            "added      reassemble-expire-30d\nunchanged  reassemble-abort-multipart\nbucket logs: 2 other rules left alone\n"
        );
    }
}
