//! How the C library's allocator keeps memory: what is freed on one thread lies in that thread's arena, and a run has threads that hand blocks on.

use std::ffi::c_int;

/// Has so many arenas at most serve all threads and, where `mapped_bytes` is given, blocks from this size on go back to the system when they are freed
/// (the library's own default is larger, and grows as it goes). To be called before any thread is started.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the library has no other way but variables that must be set before the program starts")]
pub fn hold_little(most_arenas: c_int, mapped_bytes: Option<c_int>) {
    // SAFETY: mallopt sets numbers of the allocator's, under its lock; one that it does not know it refuses.
    unsafe {
        nix::libc::mallopt(nix::libc::M_ARENA_MAX, most_arenas);
        if let Some(bytes) = mapped_bytes {
            nix::libc::mallopt(nix::libc::M_MMAP_THRESHOLD, bytes);
        }
    }
}

/// Other libraries have nothing to set.
#[cfg(not(target_env = "gnu"))]
pub fn hold_little(_most_arenas: c_int, _mapped_bytes: Option<c_int>) {}
