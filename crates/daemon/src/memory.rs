//! Keeps the process small: what a password check or a large answer needed for a moment goes back to the system.
#![allow(unsafe_code, reason = "mallopt has no safe wrapper; it is called once, before any other thread exists")]

/// Tells the C library's allocator to keep little to itself. By default every freed large block raises the size up to
/// which blocks are kept, so one Argon2 check would cost tens of megabytes for good.
pub fn keep_small() {
    #[cfg(target_env = "gnu")]
    {
        use nix::libc;
        // SAFETY: plain numbers, and no other thread runs yet. A refusal leaves the default in force.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
            libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 20);
            libc::mallopt(libc::M_ARENA_MAX, 2);
        }
    }
}
