//! Loading a program that decides on device access, and attaching it to a cgroup of version 2 (`bpf(2)`,
//! `BPF_PROG_TYPE_CGROUP_DEVICE`).

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd},
};

/// `BPF_PROG_LOAD` of `linux/bpf.h`.
const PROG_LOAD: libc::c_long = 5;
/// `BPF_PROG_ATTACH` of `linux/bpf.h`.
const PROG_ATTACH: libc::c_long = 8;
/// `BPF_PROG_TYPE_CGROUP_DEVICE` of `linux/bpf.h`.
const TYPE_CGROUP_DEVICE: u32 = 15;
/// `BPF_CGROUP_DEVICE` of `linux/bpf.h`, where a program is attached.
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// `BPF_F_ALLOW_MULTI` of `linux/bpf.h`: programs of cgroups above go on deciding too, and all must agree.
const ALLOW_MULTI: u32 = 2;

/// One instruction in the kernel's layout (`struct bpf_insn`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Class and operation.
    pub code: u8,
    /// Destination register in the lower half, source in the upper one.
    pub registers: u8,
    /// Offset of a jump or of memory.
    pub offset: i16,
    /// Constant.
    pub immediate: i32,
}

/// The members of `union bpf_attr` for `BPF_PROG_LOAD`, as far as they are used.
#[repr(C)]
struct LoadAttributes {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

/// The members of `union bpf_attr` for `BPF_PROG_ATTACH`, as far as they are used.
#[repr(C)]
struct AttachAttributes {
    target: u32,
    program: u32,
    place: u32,
    flags: u32,
}

/// A loaded program. It stays attached where it was attached after this is dropped.
#[derive(Debug)]
pub struct DeviceProgram {
    fd: OwnedFd,
}

impl DeviceProgram {
    /// Loads a program. Kernels from 5.11 charge it to the memory cgroup; no resource limit has to be raised.
    ///
    /// # Errors
    /// What `bpf(2)` gives: a program that the verifier refuses, no permission, a kernel without it.
    pub fn load(instructions: &[Instruction]) -> io::Result<Self> {
        let license = c"Apache-2.0";
        let attributes = LoadAttributes {
            kind: TYPE_CGROUP_DEVICE,
            count: u32::try_from(instructions.len()).unwrap_or(u32::MAX),
            instructions: instructions.as_ptr().addr() as u64,
            license: license.as_ptr().addr() as u64,
            log_level: 0,
            log_size: 0,
            log: 0,
            kernel_version: 0,
            flags: 0,
            name: *b"monopod_devices\0",
        };
        let size = size_of::<LoadAttributes>();
        let pointer = &raw const attributes;
        // SAFETY: the attributes are of the stated size and, like the instructions and the license they point
        // to, outlive the call; the kernel only reads them.
        let fd = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, pointer, size) };
        let fd = i32::try_from(fd).map_err(io::Error::other)?;
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made this descriptor, and nobody else has it. It is close-on-exec.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd })
    }

    /// Attaches it to an open directory of a cgroup: it then decides for every process there and below.
    ///
    /// # Errors
    /// What `bpf(2)` gives: not a cgroup of version 2, a cgroup above that allows no further program.
    pub fn attach(&self, cgroup: impl AsFd) -> io::Result<()> {
        let number = |fd: i32| u32::try_from(fd).map_err(io::Error::other);
        let attributes = AttachAttributes {
            target: number(cgroup.as_fd().as_raw_fd())?,
            program: number(self.fd.as_raw_fd())?,
            place: ATTACH_CGROUP_DEVICE,
            flags: ALLOW_MULTI,
        };
        let size = size_of::<AttachAttributes>();
        let pointer = &raw const attributes;
        // SAFETY: the attributes are of the stated size and outlive the call; the kernel only reads them.
        let attached = unsafe { libc::syscall(libc::SYS_bpf, PROG_ATTACH, pointer, size) };
        if attached < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_the_kernels_sizes() {
        assert_eq!(size_of::<Instruction>(), 8);
        assert_eq!(size_of::<LoadAttributes>(), 64);
        assert_eq!(size_of::<AttachAttributes>(), 16);
    }
}
