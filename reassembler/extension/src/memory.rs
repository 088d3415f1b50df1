//! How the C library's allocator keeps memory: the function pays for what its extensions hold.

/// Blocks from this size on go back to the system when they are freed. The library's own default, which it raises as it goes unless it is set.
#[cfg(target_env = "gnu")]
const MAPPED_BYTES: std::ffi::c_int = 128 << 10;

/// Has one arena serve all threads, and large blocks go back to the system. Called before any thread is started.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the library has no other way but variables that must be set before the program starts")]
pub(crate) fn hold_little() {
    // SAFETY: mallopt sets two numbers of the allocator's, under its lock; one that it does not know it refuses.
    unsafe {
        nix::libc::mallopt(nix::libc::M_ARENA_MAX, 1);
        nix::libc::mallopt(nix::libc::M_MMAP_THRESHOLD, MAPPED_BYTES);
    }
}

/// Other libraries have nothing to set.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn hold_little() {}
