//! The build script of binaries whose size counts. Has the linker keep one of several functions that came out alike, where it can: a tenth of a
//! megabyte.

use std::env;
use std::path::Path;
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";

fn main() {
    println!("cargo:rerun-if-changed=../link.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|have| have == value);
    if is("PROFILE", "release") && is("TARGET", TARGET) && links_with_lld() {
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    }
}

/// Whether rustc links with the lld of its own, as it does for this target where nobody says otherwise. Another linker may not know the
/// option.
fn links_with_lld() -> bool {
    let unset = |name: &str| env::var_os(name).is_none_or(|value| value.is_empty());
    if !(unset("CARGO_ENCODED_RUSTFLAGS") && unset("RUSTC_LINKER")) {
        return false;
    }
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    Command::new(rustc).arg("--print=sysroot").output().is_ok_and(|printed| {
        let sysroot = String::from_utf8_lossy(&printed.stdout);
        Path::new(sysroot.trim_end()).join("lib/rustlib").join(TARGET).join("bin/gcc-ld/ld.lld").exists()
    })
}
