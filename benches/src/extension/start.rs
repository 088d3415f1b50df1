//! From the start of the extension's process until it is registered and subscribed, beside a process that does nothing.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reassemble_testkit::lambda::platform::{Options, Platform};

/// Two processes, one right behind the other.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// From the start to the end of `/bin/true`.
    pub nothing: Duration,
    /// From the start of the extension to its subscription.
    pub subscribed: Duration,
}

/// Starts both once. The extension's store is never asked: it has nothing to store.
///
/// # Errors
/// Where one does not start, or fails.
pub fn once(binary: &Path) -> Result<Start> {
    let dir = tempfile::tempdir().context("failed to make a folder")?;
    let platform = Platform::start(Options::default());
    let began = Instant::now();
    let nothing = Command::new("/bin/true").env_clear().stdin(Stdio::null()).stdout(Stdio::null()).status();
    let took = began.elapsed();
    ensure!(nothing.context("failed to start /bin/true")?.success(), "/bin/true failed");
    let began = Instant::now();
    let mut extension = platform.start_extension(binary, dir.path(), |command| {
        command.env("REASSEMBLE_TO", "s3://nobody").env("REASSEMBLE_STATE", dir.path().join("state"));
        command.envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")]);
    });
    let subscribed = platform.subscribed_at() - began;
    platform.idle();
    platform.shut_down("spindown");
    let status = extension.ended();
    ensure!(status.success(), "the extension ended with {status}: {}", extension.words());
    Ok(Start { nothing: took, subscribed })
}
