//! The layer's zip file, as any packer makes it: that of `samples/aws/layer/build`, which packs closer, is smaller.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Bytes of a zip file with the binary where a layer has its extensions.
///
/// # Errors
/// Where `zip` is missing or fails.
pub fn zip_bytes(binary: &Path) -> Result<u64> {
    let dir = tempfile::tempdir().context("failed to make a folder")?;
    let (layer, zip) = (dir.path().join("layer"), dir.path().join("layer.zip"));
    fs::create_dir_all(layer.join("extensions")).context("failed to make the layer's folder")?;
    fs::copy(binary, layer.join("extensions/reassemble-extension")).context("failed to copy the extension")?;
    let made = Command::new("zip").args(["-q", "-9", "-X", "-r"]).arg(&zip).arg(".").current_dir(&layer).status();
    let made = made.context("failed to start zip: apt-get install zip")?;
    ensure!(made.success(), "zip ended with {made}");
    Ok(fs::metadata(&zip).context("failed to look at the zip file")?.len())
}
