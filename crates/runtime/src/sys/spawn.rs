//! Starting an executor from the many-threaded daemon: `posix_spawn(3)`, which runs no code of ours between fork
//! and exec.

use std::{
    ffi::{CStr, c_char, c_int},
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
    ptr,
};

use rustix::io::fcntl_dupfd_cloexec;

/// From this number on, descriptors are kept out of the way of those that the child gets.
const OUT_OF_THE_WAY: RawFd = 16;

/// A program to start in a session of its own, with an empty environment, default signals, no signal blocked, and
/// `/dev/null` as standard input and output.
#[derive(Debug)]
pub(crate) struct Spawn<'a> {
    /// Path of the program.
    pub(crate) program: &'a CStr,
    /// All arguments, the program's own name first.
    pub(crate) arguments: &'a [&'a CStr],
    /// Becomes descriptor 2.
    pub(crate) stderr: BorrowedFd<'a>,
    /// Become descriptors 3, 4 and so on. All others must be close-on-exec.
    pub(crate) inherited: &'a [BorrowedFd<'a>],
}

impl Spawn<'_> {
    /// Starts the program; gives its process id. The caller waits for it.
    ///
    /// # Errors
    /// The program cannot be executed, or the system is out of something.
    pub(crate) fn start(&self) -> io::Result<i32> {
        // Copies with high numbers: the child's copying onto 2, 3, 4 must not overwrite one still to be copied.
        let away = |fd: &BorrowedFd<'_>| fcntl_dupfd_cloexec(fd, OUT_OF_THE_WAY);
        let stderr = away(&self.stderr)?;
        let inherited: Vec<OwnedFd> = self
            .inherited
            .iter()
            .map(away)
            .collect::<rustix::io::Result<_>>()?;
        let mut actions = FileActions::new()?;
        actions.open_null(0)?;
        actions.open_null(1)?;
        actions.duplicate(stderr.as_raw_fd(), 2)?;
        for (number, fd) in (3..).zip(&inherited) {
            actions.duplicate(fd.as_raw_fd(), number)?;
        }
        let attributes = Attributes::fresh()?;
        spawn(self, &actions, &attributes)
    }
}

fn spawn(spawn: &Spawn<'_>, actions: &FileActions, attributes: &Attributes) -> io::Result<i32> {
    let mut arguments: Vec<*mut c_char> = spawn
        .arguments
        .iter()
        .map(|argument| argument.as_ptr().cast_mut())
        .collect();
    arguments.push(ptr::null_mut());
    let environment: [*mut c_char; 1] = [ptr::null_mut()];
    let mut pid = 0;
    // SAFETY: the program and every argument are C strings that outlive the call, both arrays end with a null
    // pointer, actions and attributes are initialised (their constructors), and the call changes none of them.
    let result = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            spawn.program.as_ptr(),
            &raw const actions.0,
            &raw const attributes.0,
            arguments.as_ptr(),
            environment.as_ptr(),
        )
    };
    check(result).map(|()| pid)
}

struct FileActions(libc::posix_spawn_file_actions_t);

impl FileActions {
    fn new() -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: the pointer is valid for writing the structure.
        check(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: initialised by the call that just succeeded.
        Ok(Self(unsafe { actions.assume_init() }))
    }

    fn open_null(&mut self, number: RawFd) -> io::Result<()> {
        // SAFETY: the structure is initialised; the path is a constant C string, which the call copies.
        check(unsafe {
            libc::posix_spawn_file_actions_addopen(
                &raw mut self.0,
                number,
                c"/dev/null".as_ptr(),
                libc::O_RDWR,
                0,
            )
        })
    }

    fn duplicate(&mut self, from: RawFd, to: RawFd) -> io::Result<()> {
        // SAFETY: the structure is initialised; the numbers are used in the child only.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(&raw mut self.0, from, to) })
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: initialised by the constructor and destroyed only here.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    /// A new session, every signal at its default, none blocked.
    fn fresh() -> io::Result<Self> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the pointer is valid for writing the structure.
        check(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: initialised by the call that just succeeded.
        let mut attributes = Self(unsafe { attributes.assume_init() });
        let (all, none) = signal_sets();
        // SAFETY: both structures are initialised.
        check(unsafe {
            libc::posix_spawnattr_setsigdefault(&raw mut attributes.0, &raw const all)
        })?;
        // SAFETY: both structures are initialised.
        check(unsafe { libc::posix_spawnattr_setsigmask(&raw mut attributes.0, &raw const none) })?;
        let flags = libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETSIGMASK | SETSID;
        let flags = i16::try_from(flags).expect("the flags are below 256");
        // SAFETY: the structure is initialised.
        check(unsafe { libc::posix_spawnattr_setflags(&raw mut attributes.0, flags) })?;
        Ok(attributes)
    }
}

/// A session of its own (glibc 2.26 and musl: `spawn.h`; not in POSIX, nor in every version of the libc crate).
const SETSID: c_int = 0x80;

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised by the constructor and destroyed only here.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}

/// Every signal, and none. Every bit is set by hand: `sigfillset` leaves out the two signals that glibc keeps for
/// itself, and `posix_spawn` then has the child ignore them.
fn signal_sets() -> (libc::sigset_t, libc::sigset_t) {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut none = MaybeUninit::uninit();
    // SAFETY: the pointer is valid for writing one set, which is an array of integers.
    unsafe { ptr::write_bytes(all.as_mut_ptr(), 0xff, 1) };
    // SAFETY: the pointer is valid for writing the set; the call cannot fail.
    unsafe { libc::sigemptyset(none.as_mut_ptr()) };
    // SAFETY: every byte was written above.
    let all = unsafe { all.assume_init() };
    // SAFETY: emptied above.
    let none = unsafe { none.assume_init() };
    (all, none)
}

fn check(result: c_int) -> io::Result<()> {
    match result {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read as _, Seek as _},
        os::fd::AsFd as _,
    };

    use rustix::process::{Pid, WaitOptions, waitpid};

    use super::*;

    #[test]
    fn the_child_gets_the_descriptors_and_nothing_else() {
        let mut output = tempfile::tempfile().unwrap();
        let given = [
            File::open("/etc/hostname").unwrap(),
            File::open("/etc/passwd").unwrap(),
        ];
        let script = c"readlink /proc/self/fd/3 /proc/self/fd/4 >&2; env >&2; \
                       test $$ = $(cut -d' ' -f6 /proc/$$/stat) && echo leader >&2; \
                       grep -E 'SigBlk|SigIgn' /proc/self/status >&2";
        let pid = Spawn {
            program: c"/bin/sh",
            arguments: &[c"sh", c"-c", script],
            stderr: output.as_fd(),
            inherited: &[given[0].as_fd(), given[1].as_fd()],
        }
        .start()
        .unwrap();
        let status = waitpid(Pid::from_raw(pid), WaitOptions::empty())
            .unwrap()
            .unwrap()
            .1;
        let mut text = String::new();
        output.rewind().unwrap();
        output.read_to_string(&mut text).unwrap();
        assert_eq!(status.exit_status(), Some(0), "{text}");
        assert!(text.starts_with("/etc/hostname\n/etc/passwd\n"), "{text}");
        assert!(text.contains("leader") && !text.contains("CARGO"), "{text}");
        assert_eq!(text.matches("0000000000000000").count(), 2, "{text}");
    }

    #[test]
    fn a_missing_program_is_an_error_here() {
        let null = File::open("/dev/null").unwrap();
        let error = Spawn {
            program: c"/no/such/program",
            arguments: &[c"x"],
            stderr: null.as_fd(),
            inherited: &[],
        }
        .start()
        .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
