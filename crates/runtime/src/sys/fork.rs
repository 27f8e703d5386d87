//! Forking and leaving a forked child, for a process with one thread.

use std::{fs, io, marker::PhantomData};

use nix::unistd::{ForkResult, Pid};

/// Proof that this process had one thread when it was made; nothing in the executor makes a second one.
///
/// libcontainer forks without exec, and the child of a process with threads may not even allocate.
#[derive(Debug)]
pub struct SingleThreaded(PhantomData<*const ()>);

impl SingleThreaded {
    /// Counts the threads.
    ///
    /// # Errors
    /// If there is more than one, or `/proc` cannot be read.
    pub fn prove() -> io::Result<Self> {
        match fs::read_dir("/proc/self/task")?.count() {
            1 => Ok(Self(PhantomData)),
            count => Err(io::Error::other(format!("the process has {count} threads"))),
        }
    }
}

/// Duplicates this process. The child must leave by [`leave`] or by exec.
///
/// # Errors
/// What `fork(2)` gives: no memory, too many processes.
pub fn fork(_proof: &SingleThreaded) -> nix::Result<Option<Pid>> {
    // SAFETY: the proof says that no other thread exists that could hold a lock, so the child may run any code.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}

/// Ends this process at once: no destructor and no exit handler of the parent's copies runs.
pub fn leave(code: i32) -> ! {
    // SAFETY: `_exit` takes any number and does not return.
    unsafe { libc::_exit(code) }
}

/// Empties the environment, so that nothing of the daemon's is seen or honoured (such as `LISTEN_FDS`).
pub fn clear_environment(_proof: &SingleThreaded) {
    // SAFETY: the proof says that no other thread can be reading the environment.
    unsafe { libc::clearenv() };
}
