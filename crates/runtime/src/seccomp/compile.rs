//! From the profile to a BPF program, through libseccomp.

use std::{
    fs::File,
    io::{self, Read, Seek},
};

use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};
use rustix::{
    fs::{MemfdFlags, memfd_create},
    io::Errno,
};

use super::{
    Program, SeccompError,
    profile::{self, Decision},
};

/// `personality`'s arguments that change nothing an attacker wants: PER_LINUX, PER_LINUX32, each with UNAME26, and
/// the query.
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Layout of the program: a balanced tree of system call numbers instead of a list. The kernel runs the program once
/// for every number when it is loaded, so a list costs about ten times as much then.
const BINARY_TREE: u32 = 2;

pub(super) fn compile(capabilities: &[String]) -> Result<Program, SeccompError> {
    let filter = filter(capabilities, BINARY_TREE)?;
    let bytes = export(&filter)?;
    let size = bytes.len();
    Program::from_bytes(bytes).ok_or(SeccompError::Malformed { bytes: size })
}

/// Builds the rules. What the profile does not name is answered with ENOSYS.
pub(super) fn filter(
    capabilities: &[String],
    layout: u32,
) -> Result<ScmpFilterContext, SeccompError> {
    let mut filter = ScmpFilterContext::new(errno(Errno::NOSYS)).map_err(refused("begin"))?;
    for &architecture in companions() {
        filter
            .add_arch(architecture)
            .map_err(refused(format!("add architecture {architecture:?}")))?;
    }
    filter
        .set_ctl_optimize(layout)
        .map_err(refused("choose the layout"))?;
    let decisions = profile::decisions(capabilities, std::env::consts::ARCH);
    for (&name, &decision) in &decisions {
        let action = match (name, decision) {
            ("clone" | "clone3", Decision::Refuse) => continue,
            (_, Decision::Allow) => ScmpAction::Allow,
            (_, Decision::Refuse) => errno(Errno::PERM),
        };
        add(&mut filter, name, action, &[])?;
    }
    // Without the right to make namespaces `clone` is judged by its flags. `clone3` keeps its flags in memory that a
    // filter cannot read, so it answers ENOSYS and C libraries fall back to `clone`.
    if decisions.get("clone") != Some(&Decision::Allow) {
        add_clone(&mut filter)?;
    }
    add_socket(&mut filter)?;
    for value in PERSONALITIES {
        let condition = ScmpArgCompare::new(0, ScmpCompareOp::Equal, value);
        add(&mut filter, "personality", ScmpAction::Allow, &[condition])?;
    }
    Ok(filter)
}

fn add_clone(filter: &mut ScmpFilterContext) -> Result<(), SeccompError> {
    // s390 passes the flags second (linux: CONFIG_CLONE_BACKWARDS2).
    let position = u32::from(cfg!(target_arch = "s390x"));
    let all = profile::NAMESPACE_FLAGS.iter().sum();
    let none = ScmpArgCompare::new(position, ScmpCompareOp::MaskedEqual(all), 0);
    add(filter, "clone", ScmpAction::Allow, &[none])?;
    for flag in profile::NAMESPACE_FLAGS {
        let set = ScmpArgCompare::new(position, ScmpCompareOp::MaskedEqual(flag), flag);
        add(filter, "clone", errno(Errno::PERM), &[set])?;
    }
    Ok(())
}

/// Judges `socket` by its family. A 32-bit program's `socketcall` cannot be judged and is allowed, as in the profiles
/// this one follows.
fn add_socket(filter: &mut ScmpFilterContext) -> Result<(), SeccompError> {
    let family = |operation, value| [ScmpArgCompare::new(0, operation, value)];
    // One range and a few single values: every comparison costs instructions, which cost time at each load.
    let low = profile::REFUSED_FAMILIES[0];
    let range = family(ScmpCompareOp::Less, low);
    add(filter, "socket", ScmpAction::Allow, &range)?;
    let allowed = (low..profile::FIRST_UNKNOWN_FAMILY)
        .filter(|value| !profile::REFUSED_FAMILIES.contains(value));
    for value in allowed {
        let condition = family(ScmpCompareOp::Equal, value);
        add(filter, "socket", ScmpAction::Allow, &condition)?;
    }
    let unsupported = errno(Errno::AFNOSUPPORT);
    for value in profile::REFUSED_FAMILIES {
        let condition = family(ScmpCompareOp::Equal, value);
        add(filter, "socket", unsupported, &condition)?;
    }
    let unknown = family(ScmpCompareOp::GreaterEqual, profile::FIRST_UNKNOWN_FAMILY);
    add(filter, "socket", unsupported, &unknown)
}

/// Adds a rule; a name that this version of the library does not know is left out.
fn add(
    filter: &mut ScmpFilterContext,
    name: &str,
    action: ScmpAction,
    conditions: &[ScmpArgCompare],
) -> Result<(), SeccompError> {
    let Ok(call) = ScmpSyscall::from_name(name) else {
        return Ok(());
    };
    filter
        .add_rule_conditional(action, call, conditions)
        .map_err(refused(format!("add {name}")))?;
    Ok(())
}

/// The architectures whose programs the host also runs.
fn companions() -> &'static [ScmpArch] {
    match std::env::consts::ARCH {
        "x86_64" => &[ScmpArch::X86, ScmpArch::X32],
        "aarch64" => &[ScmpArch::Arm],
        _ => &[],
    }
}

pub(super) fn export(filter: &ScmpFilterContext) -> Result<Vec<u8>, SeccompError> {
    let failed = |source| SeccompError::Export { source };
    let memory = memfd_create("seccomp", MemfdFlags::CLOEXEC)
        .map_err(|source| failed(io::Error::from(source)))?;
    let mut file = File::from(memory);
    filter.export_bpf(&file).map_err(refused("export"))?;
    file.rewind().map_err(failed)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn errno(errno: Errno) -> ScmpAction {
    ScmpAction::Errno(errno.raw_os_error())
}

fn refused(
    step: impl Into<String>,
) -> impl FnOnce(libseccomp::error::SeccompError) -> SeccompError {
    move |source| SeccompError::Library {
        step: step.into(),
        source,
    }
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::{super::machine::*, *};

    const EPERM: u32 = ERRNO | 1;
    const EAFNOSUPPORT: u32 = ERRNO | 97;
    const ENOSYS: u32 = ERRNO | 38;
    const X32: u32 = 0x4000_0000;

    fn capabilities(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Name, capabilities, architecture, number, every argument, answer.
    type Case<'a> = (&'a str, &'a [String], u32, u32, u64, u32);

    #[test]
    fn calls_are_answered_as_the_profile_says() {
        let plain = capabilities(&["CAP_CHOWN", "CAP_SYS_CHROOT"]);
        let admin = capabilities(&["CAP_SYS_ADMIN"]);
        let cases: [Case<'_>; 30] = [
            ("read", &plain, X86_64, 0, 0, ALLOW),
            ("execve", &plain, X86_64, 59, 0, ALLOW),
            ("seccomp", &plain, X86_64, 317, 0, ALLOW),
            ("mount", &plain, X86_64, 165, 0, EPERM),
            ("mount as admin", &admin, X86_64, 165, 0, ALLOW),
            ("unshare", &plain, X86_64, 272, 0, EPERM),
            ("keyctl", &admin, X86_64, 250, 0, EPERM),
            ("add_key", &admin, X86_64, 248, 0, EPERM),
            ("request_key", &admin, X86_64, 249, 0, EPERM),
            ("chroot", &plain, X86_64, 161, 0, ALLOW),
            ("chroot as admin", &admin, X86_64, 161, 0, EPERM),
            ("io_uring_setup", &plain, X86_64, 425, 0, EPERM),
            ("kexec_load", &plain, X86_64, 246, 0, EPERM),
            ("a call of the future", &plain, X86_64, 900, 0, ENOSYS),
            ("clone3", &plain, X86_64, 435, 0, ENOSYS),
            ("clone3 as admin", &admin, X86_64, 435, 0, ALLOW),
            ("clone, thread", &plain, X86_64, 56, 0x003d_0f00, ALLOW),
            ("clone, user ns", &plain, X86_64, 56, 0x1000_0011, EPERM),
            ("clone, mount ns", &plain, X86_64, 56, 0x0002_0011, EPERM),
            ("clone, as admin", &admin, X86_64, 56, 0x1000_0011, ALLOW),
            ("socket, inet", &plain, X86_64, 41, 2, ALLOW),
            ("socket, netlink", &plain, X86_64, 41, 16, ALLOW),
            ("socket, alg", &plain, X86_64, 41, 38, EAFNOSUPPORT),
            ("socket, vsock", &plain, X86_64, 41, 40, EAFNOSUPPORT),
            ("socket, unknown", &plain, X86_64, 41, 99, EAFNOSUPPORT),
            (
                "personality, query",
                &plain,
                X86_64,
                135,
                0xffff_ffff,
                ALLOW,
            ),
            (
                "personality, no aslr",
                &plain,
                X86_64,
                135,
                0x0004_0000,
                ENOSYS,
            ),
            ("i386 read", &plain, I386, 3, 0, ALLOW),
            ("i386 socketcall", &plain, I386, 102, 1, ALLOW),
            ("x32 mount", &plain, X86_64, X32 | 165, 0, EPERM),
        ];
        for (name, capabilities, architecture, number, argument, expected) in cases {
            let program = compile(capabilities).unwrap();
            let answer = run(program.bytes(), architecture, number, argument);
            assert_eq!(answer, expected, "{name}: {answer:#x}");
        }
        let answer = run(compile(&plain).unwrap().bytes(), 0xdead_beef, 0, 0);
        assert_eq!(answer, KILL_THREAD, "an unknown architecture is not let in");
    }

    #[test]
    fn the_tree_answers_as_the_list_does() {
        let held = capabilities(&["CAP_CHOWN"]);
        let list = export(&filter(&held, 1).unwrap()).unwrap();
        let tree = export(&filter(&held, BINARY_TREE).unwrap()).unwrap();
        for architecture in [X86_64, I386] {
            for number in (0..600).chain(X32..X32 + 600) {
                for argument in [0, 1, 12, 38, 50, 0x1000_0000, 0x0002_0000, u64::MAX] {
                    assert_eq!(
                        run(&list, architecture, number, argument),
                        run(&tree, architecture, number, argument),
                        "{architecture:#x} {number} {argument:#x}"
                    );
                }
            }
        }
        let steps = |program: &[u8]| {
            (0..450)
                .map(|number| steps(program, X86_64, number, 0))
                .sum::<usize>()
        };
        assert!(steps(&tree) * 5 < steps(&list), "the tree is not shallow");
    }

    #[test]
    fn compiling_is_deterministic() {
        let one = compile(&capabilities(&["CAP_CHOWN", "CAP_SYS_ADMIN"])).unwrap();
        let other = compile(&capabilities(&["CAP_SYS_ADMIN", "CAP_CHOWN"])).unwrap();
        assert_eq!(one.bytes(), other.bytes());
        assert_ne!(one.bytes(), compile(&[]).unwrap().bytes());
        assert!(one.instructions() < 4096, "{}", one.instructions());
    }
}
