//! Loading a compiled system call filter (`seccomp(2)`).

use std::io;

/// A filter in the kernel's layout, ready to load.
#[derive(Clone, Debug)]
pub struct Filter {
    instructions: Vec<libc::sock_filter>,
}

impl Filter {
    /// Reads instructions of 8 bytes each in native byte order; `None` unless they are whole and few enough.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (chunks, rest) = bytes.as_chunks::<8>();
        let countable = u16::try_from(chunks.len()).is_ok();
        if chunks.is_empty() || !rest.is_empty() || !countable {
            return None;
        }
        let instructions = chunks.iter().map(instruction).collect();
        Some(Self { instructions })
    }

    /// Puts the filter on this process for good. Needs `no_new_privs` or `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    /// What `seccomp(2)` gives: a program the kernel refuses, or no permission.
    pub fn load(&self) -> io::Result<()> {
        let program = libc::sock_fprog {
            len: u16::try_from(self.instructions.len()).unwrap_or(u16::MAX),
            filter: self.instructions.as_ptr().cast_mut(),
        };
        let mode = libc::SECCOMP_SET_MODE_FILTER;
        // SAFETY: the program points to `len` instructions that outlive the call; the kernel only reads them.
        let loaded = unsafe { libc::syscall(libc::SYS_seccomp, mode, 0_u32, &raw const program) };
        if loaded < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

fn instruction(bytes: &[u8; 8]) -> libc::sock_filter {
    let [code_a, code_b, jt, jf, k_a, k_b, k_c, k_d] = *bytes;
    libc::sock_filter {
        code: u16::from_ne_bytes([code_a, code_b]),
        jt,
        jf,
        k: u32::from_ne_bytes([k_a, k_b, k_c, k_d]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_instructions_are_taken() {
        assert!(Filter::from_bytes(&[]).is_none());
        assert!(Filter::from_bytes(&[0; 12]).is_none());
        assert_eq!(Filter::from_bytes(&[0; 16]).unwrap().instructions.len(), 2);
    }

    #[test]
    fn bytes_keep_their_places() {
        let mut bytes = 6_u16.to_ne_bytes().to_vec();
        bytes.extend([1, 2]);
        bytes.extend(0x7fff_0000_u32.to_ne_bytes());
        let filter = Filter::from_bytes(&bytes).unwrap();
        let first = &filter.instructions[0];
        assert_eq!(
            (first.code, first.jt, first.jf, first.k),
            (6, 1, 2, 0x7fff_0000)
        );
    }
}
