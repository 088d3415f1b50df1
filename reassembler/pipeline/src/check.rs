//! `--check`: whether inputs, state and destination are good, before anything runs.

use std::path::Path;

use reassemble_sources::{InputId, WholeFile};

use crate::builder::connect;
use crate::config::{Config, DestinationConfig};
use crate::log_groups;
use crate::objects::look;
use crate::process::Processor;
use crate::run::RunError;
use crate::state_dir;

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct Check {
    /// What it is.
    pub what: String,
    /// What was found: good, with a remark; or what is wrong, and what to do.
    pub result: Result<String, String>,
}

/// Looks at everything that a run would need.
pub fn check(config: &Config) -> Vec<Check> {
    let mut checks = Vec::new();
    let retention = Processor::new(&config.process, config.store.retention, config.store.inline_body_bytes);
    checks.push(Check {
        what: "configuration".into(),
        result: retention.map(|_| "good".into()).ok_or_else(|| RunError::Retention.to_string()),
    });
    for path in config.input.files.iter().filter(|path| *path != Path::new("-")) {
        let opened = WholeFile::open(InputId(0), path, config.input.max_line_bytes);
        checks.push(Check {
            what: format!("file {}", path.display()),
            result: opened
                .map(|file| format!("{} bytes", file.progress().total_bytes))
                .map_err(|error| error.to_string()),
        });
    }
    for objects in &config.input.objects {
        checks.push(Check { what: format!("objects {objects}"), result: look(objects) });
    }
    checks.extend(config.input.follow.iter().map(|pattern| followed(pattern)));
    checks.extend(config.input.cloudwatch.iter().flat_map(log_groups::check));
    checks.push(state(config));
    checks.push(destination(&config.store.to));
    checks
}

/// What a pattern matches now. Nothing is no fault: it is waited for.
fn followed(pattern: &str) -> Check {
    let result = match reassemble_sources::matches(pattern) {
        Err(error) => Err(error.to_string()),
        Ok(paths) if paths.is_empty() => Ok("matches nothing yet, and is waited for".into()),
        Ok(paths) => {
            let refused = paths.iter().find_map(|path| std::fs::File::open(path).err().map(|error| (path, error)));
            match refused {
                Some((path, error)) => Err(format!("cannot read {}: {error}", path.display())),
                None => Ok(format!("matches {} file{}", paths.len(), if paths.len() == 1 { "" } else { "s" })),
            }
        }
    };
    Check { what: format!("follow {pattern}"), result }
}

fn state(config: &Config) -> Check {
    let dir = config.store.state.clone().unwrap_or_else(|| state_dir::root(&config.store.to));
    // The nearest folder that exists decides whether the rest can be made.
    let existing = dir.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let existing = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
    let writable = nix::unistd::access(existing, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK);
    let result = match writable {
        Ok(()) if existing.is_dir() => Ok("writable".into()),
        Ok(()) => Err(format!("{} is no directory; name another with --state", existing.display())),
        Err(error) => Err(format!("cannot write in {}: {error}; name another with --state", existing.display())),
    };
    Check { what: format!("state {}", dir.display()), result }
}

fn destination(to: &DestinationConfig) -> Check {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let what = match to {
        DestinationConfig::Dir(path) => format!("destination {}", path.display()),
        DestinationConfig::S3 { bucket, prefix, .. } => format!("destination s3://{bucket}/{prefix}"),
    };
    let result = match runtime {
        Err(error) => Err(format!("cannot start a runtime: {error}")),
        Ok(runtime) => runtime.block_on(async {
            let destination = connect(to).await.map_err(|error| error.to_string())?;
            let report = destination.check().await.map_err(|error| error.to_string())?;
            Ok(report.left_behind.map_or_else(|| "good".to_owned(), |left| format!("good; left behind: {left}")))
        }),
    };
    Check { what, result }
}
