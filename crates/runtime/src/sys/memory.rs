//! The process's heap.

/// Gives free heap pages back to the kernel; an executor is idle for most of its life.
pub fn trim() {
    // SAFETY: glibc's allocator may be trimmed at any time; no pointer of ours is affected.
    unsafe { libc::malloc_trim(0) };
}
