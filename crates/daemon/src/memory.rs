//! Keeps the process small: what a password check or a large answer needed for a moment goes back to the system.
#![allow(unsafe_code, reason = "the C library's allocator has no safe interface; all calls to it are here")]

/// How often it is looked at what has been freed.
#[cfg(target_env = "gnu")]
const EVERY: std::time::Duration = std::time::Duration::from_secs(10);
/// So much freed memory is worth giving back, bytes.
#[cfg(target_env = "gnu")]
const WORTH: usize = 4 << 20;

/// Tells the C library's allocator to keep little to itself. By default every freed large block raises the size up to
/// which blocks are kept, so one Argon2 check would cost tens of megabytes for good. To be called before any other thread
/// exists.
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

/// Gives back, whenever the process has little to do, what was freed below something that is still in use: an image that
/// passed through leaves such holes. From here on until the process ends.
pub fn give_back_at_rest() {
    #[cfg(target_env = "gnu")]
    {
        let look = || {
            // What was given back still counts as free, until it is used again.
            let (mut before, mut given) = (busy(), 0);
            loop {
                std::thread::sleep(EVERY);
                let now = busy();
                let rests = now.saturating_sub(before) < EVERY / 20;
                before = now;
                // SAFETY: it only reads the allocator's own state, under its own locks.
                let free = unsafe { nix::libc::mallinfo2() }.fordblks;
                given = free.min(given);
                if rests && free - given > WORTH {
                    // SAFETY: it only gives back pages that nothing is in, under the allocator's own locks.
                    unsafe { nix::libc::malloc_trim(0) };
                    given = free;
                }
            }
        };
        // Without the thread the process is only larger.
        let _ = std::thread::Builder::new().name("holm-memory".into()).stack_size(64 << 10).spawn(look);
    }
}

/// The processor time this process has used.
#[cfg(target_env = "gnu")]
fn busy() -> std::time::Duration {
    use nix::sys::resource::{UsageWho, getrusage};
    let Ok(used) = getrusage(UsageWho::RUSAGE_SELF) else { return std::time::Duration::ZERO };
    let time = |t: nix::sys::time::TimeVal| {
        std::time::Duration::from_micros(u64::try_from(t.tv_sec() * 1_000_000 + t.tv_usec()).unwrap_or(0))
    };
    time(used.user_time()) + time(used.system_time())
}
