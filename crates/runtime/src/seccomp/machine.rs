//! A machine for seccomp programs, so that tests can ask a filter without loading it (linux:
//! `Documentation/networking/filter.rst`, `kernel/seccomp.c`).

pub(super) const X86_64: u32 = 0xc000_003e;
pub(super) const I386: u32 = 0x4000_0003;
pub(super) const ALLOW: u32 = 0x7fff_0000;
pub(super) const ERRNO: u32 = 0x0005_0000;
pub(super) const KILL_THREAD: u32 = 0;

/// The filter's answer to a call whose six arguments are all `argument`.
pub(super) fn run(program: &[u8], architecture: u32, number: u32, argument: u64) -> u32 {
    execute(program, architecture, number, argument).0
}

/// How many instructions the answer takes.
pub(super) fn steps(program: &[u8], architecture: u32, number: u32, argument: u64) -> usize {
    execute(program, architecture, number, argument).1
}

fn execute(program: &[u8], architecture: u32, number: u32, argument: u64) -> (u32, usize) {
    let mut data = Vec::new();
    data.extend(number.to_ne_bytes());
    data.extend(architecture.to_ne_bytes());
    data.extend(0u64.to_ne_bytes());
    for _ in 0..6 {
        data.extend(argument.to_ne_bytes());
    }
    let word = |at: usize| u32::from_ne_bytes(data[at..at + 4].try_into().unwrap());
    let (mut accumulator, mut memory) = (0u32, [0u32; 16]);
    let mut next = 0;
    for step in 1.. {
        let at = &program[next * 8..next * 8 + 8];
        let code = u16::from_ne_bytes([at[0], at[1]]);
        let (when, otherwise) = (usize::from(at[2]), usize::from(at[3]));
        let k = u32::from_ne_bytes(at[4..8].try_into().unwrap());
        next += 1;
        let mut jump = |taken: bool| next += if taken { when } else { otherwise };
        match code {
            0x20 => accumulator = word(k as usize),
            0x60 => accumulator = memory[k as usize],
            0x02 => memory[k as usize] = accumulator,
            0x54 => accumulator &= k,
            0x05 => next += k as usize,
            0x15 => jump(accumulator == k),
            0x25 => jump(accumulator > k),
            0x35 => jump(accumulator >= k),
            0x45 => jump(accumulator & k != 0),
            0x06 => return (k, step),
            other => panic!("instruction {other:#x} is not known"),
        }
    }
    unreachable!("every program ends with an answer")
}
