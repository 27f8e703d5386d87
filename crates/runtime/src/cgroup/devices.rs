//! Which devices containers may use, and how either version is told. Pure but for the loading.
//!
//! The list is ours, and so is its enforcement on both versions. What libcgroups does with a specification's
//! devices is left unused: it always adds making any device node and `/dev/net/tun` behind our own rules, so that
//! neither can be denied; and on version 2 it sets `RLIMIT_MEMLOCK` to 128 MiB for the creating process, which the
//! payload then has (measured), and which fails without `CAP_SYS_RESOURCE` where the limit was lower. Our program
//! is loaded once per daemon and only attached per container.

use std::fs;

use super::{CgroupError, Cgroups, Mode, relative, write};
use crate::sys::device_filter::{DeviceProgram, Instruction};

/// A character device, or all of a major number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Allowed {
    major: u16,
    minor: Option<u16>,
    /// Whether its node may be made, too.
    make: bool,
}

const fn allowed(major: u16, minor: Option<u16>, make: bool) -> Allowed {
    Allowed { major, minor, make }
}

/// What every container may use (mesos: `cgroups/devices`; runtime-spec: `config-linux.md`, default devices).
/// Nodes that libcontainer makes in the container's `/dev` may be made, and no others. Whiteouts of overlay
/// filesystems are no devices to the kernel.
const ALLOWED: [Allowed; 9] = [
    allowed(1, Some(3), true),  // null
    allowed(1, Some(5), true),  // zero
    allowed(1, Some(7), true),  // full
    allowed(1, Some(8), true),  // random
    allowed(1, Some(9), true),  // urandom
    allowed(5, Some(0), true),  // tty
    allowed(5, Some(1), false), // console
    allowed(5, Some(2), false), // ptmx
    allowed(136, None, false),  // pts
];

/// Enforces the list of allowed devices.
#[derive(Debug)]
pub struct DeviceFilter {
    /// On version 2; version 1 has files instead.
    program: Option<DeviceProgram>,
}

impl Cgroups {
    /// Loads what enforces the device list, once for all containers.
    ///
    /// # Errors
    /// The kernel does not take the program (version 2), or has no devices controller (version 1).
    pub fn device_filter(&self) -> Result<DeviceFilter, CgroupError> {
        let program = match self.mode() {
            Mode::V2 => Some(
                DeviceProgram::load(&program(&ALLOWED))
                    .map_err(|source| CgroupError::DeviceProgram { source })?,
            ),
            Mode::V1 | Mode::Hybrid => {
                self.mount_of("devices")
                    .ok_or_else(|| CgroupError::missing("devices", "/"))?;
                None
            }
        };
        Ok(DeviceFilter { program })
    }

    /// Denies every device that is not allowed to the processes of the cgroup and those below it.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn restrict_devices(&self, path: &str, filter: &DeviceFilter) -> Result<(), CgroupError> {
        let path = relative(path)?;
        if let Some(program) = &filter.program {
            let dir = self.directory(&path.to_string_lossy());
            let attached = fs::File::open(&dir).and_then(|open| program.attach(open));
            return attached
                .map_err(|source| CgroupError::io("attach the device filter to", &dir, source));
        }
        let mount = self.mount_of("devices");
        let dir = mount
            .ok_or_else(|| CgroupError::missing("devices", path))?
            .join(path);
        write(&dir.join("devices.deny"), "a")?;
        let allow = dir.join("devices.allow");
        ALLOWED
            .iter()
            .try_for_each(|device| write(&allow, &rule(device)))
    }
}

/// A rule as version 1 takes it, such as `c 1:3 rwm`.
fn rule(device: &Allowed) -> String {
    let minor = device
        .minor
        .map_or_else(|| "*".to_owned(), |minor| minor.to_string());
    let access = if device.make { "rwm" } else { "rw" };
    format!("c {}:{minor} {access}", device.major)
}

/// `BPF_DEVCG_DEV_CHAR` of `linux/bpf.h`.
const CHARACTER: i32 = 2;
/// `BPF_DEVCG_ACC_MKNOD` of `linux/bpf.h`.
const MAKE: i32 = 1;

const LOAD_WORD: u8 = 0x61;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const COPY: u8 = 0xbc;
const SET: u8 = 0xb7;
const JUMP_IF_NOT: u8 = 0x55;
const EXIT: u8 = 0x95;

const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

const fn instruction(code: u8, registers: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers,
        offset,
        immediate,
    }
}

/// The program: 1 for what is allowed, else 0. It is called with a `struct bpf_cgroup_dev_ctx`: kind (lower half)
/// and access (upper half) in one word, major, minor.
fn program(allowed: &[Allowed]) -> Vec<Instruction> {
    let from_context = CONTEXT << 4;
    let mut program = vec![
        instruction(LOAD_WORD, KIND | from_context, 0, 0),
        instruction(COPY, ACCESS | KIND << 4, 0, 0),
        instruction(AND, KIND, 0, 0xffff),
        instruction(SHIFT_RIGHT, ACCESS, 0, 16),
        instruction(LOAD_WORD, MAJOR | from_context, 4, 0),
        instruction(LOAD_WORD, MINOR | from_context, 8, 0),
    ];
    for device in allowed {
        let conditions = conditions(device);
        let mut left = i16::try_from(conditions.len()).unwrap_or(i16::MAX);
        for mut condition in conditions {
            left -= 1;
            if condition.code == JUMP_IF_NOT {
                // Over the other conditions, and the two instructions that allow.
                condition.offset = left + 2;
            }
            program.push(condition);
        }
        program.extend([instruction(SET, RESULT, 0, 1), instruction(EXIT, 0, 0, 0)]);
    }
    program.extend([instruction(SET, RESULT, 0, 0), instruction(EXIT, 0, 0, 0)]);
    program
}

/// What must hold for a device; the jumps lead nowhere yet.
fn conditions(device: &Allowed) -> Vec<Instruction> {
    let is = |register, value| instruction(JUMP_IF_NOT, register, 0, value);
    let mut conditions = vec![is(KIND, CHARACTER), is(MAJOR, device.major.into())];
    conditions.extend(device.minor.map(|minor| is(MINOR, minor.into())));
    if !device.make {
        conditions.extend([
            instruction(COPY, RESULT | ACCESS << 4, 0, 0),
            instruction(AND, RESULT, 0, MAKE),
            is(RESULT, 0),
        ]);
    }
    conditions
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel would.
    fn decide(program: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> u32 {
        let context = [kind | access << 16, major, minor];
        let mut registers = [0_u32; 6];
        let mut at = 0;
        loop {
            let i = program[at];
            let (to, from) = (usize::from(i.registers & 15), usize::from(i.registers >> 4));
            let constant = u32::try_from(i.immediate).unwrap();
            at += 1;
            match i.code {
                LOAD_WORD => registers[to] = context[usize::try_from(i.offset / 4).unwrap()],
                AND => registers[to] &= constant,
                SHIFT_RIGHT => registers[to] >>= constant,
                COPY => registers[to] = registers[from],
                SET => registers[to] = constant,
                JUMP_IF_NOT if registers[to] != constant => {
                    at += usize::try_from(i.offset).unwrap()
                }
                JUMP_IF_NOT => {}
                EXIT => return registers[0],
                other => panic!("no such instruction: {other:x}"),
            }
        }
    }

    #[test]
    fn the_program_allows_the_list_and_nothing_else() {
        let program = program(&ALLOWED);
        let (make, read, write) = (1, 2, 4);
        let cases = [
            ("read null", 2, read, 1, 3, 1),
            ("write null", 2, write, 1, 3, 1),
            ("make null", 2, make, 1, 3, 1),
            ("a terminal", 2, read | write, 136, 77, 1),
            ("make a terminal", 2, make, 136, 77, 0),
            ("open ptmx", 2, read | write, 5, 2, 1),
            ("make ptmx", 2, make, 5, 2, 0),
            ("the kernel's log", 2, read, 1, 11, 0),
            ("memory", 2, read, 1, 1, 0),
            ("tun", 2, read | write, 10, 200, 0),
            ("make anything", 2, make, 10, 200, 0),
            ("a disk of null's numbers", 1, read, 1, 3, 0),
            ("a disk", 1, make, 254, 0, 0),
        ];
        for (what, kind, access, major, minor, expected) in cases {
            let decided = decide(&program, kind, access, major, minor);
            assert_eq!(decided, expected, "{what}");
        }
    }

    #[test]
    fn rules_are_written_as_the_kernel_takes_them() {
        assert_eq!(rule(&ALLOWED[0]), "c 1:3 rwm");
        assert_eq!(rule(&ALLOWED[8]), "c 136:* rw");
    }
}
