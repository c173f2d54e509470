//! Advice to the system's allocator.

/// Asks glibc to keep memory that was freed instead of returning it to the system.
///
/// A training step allocates and frees the same hundred megabytes again and again; without this, the system clears each page
/// anew every time, which takes a quarter of a step.
pub fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const GIB: i32 = 1 << 30;
        // SAFETY: `mallopt` takes plain numbers and may be called at any time; no other thread runs yet.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, GIB);
            libc::mallopt(libc::M_TOP_PAD, GIB / 16);
        }
    }
}
