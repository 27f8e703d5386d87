//! Decisions that look random and can be repeated by their seed.

/// Numbers that look random (Marsaglia's xorshift).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From the environment variable, or the clock; says which seed it is.
    pub fn from_environment(variable: &str) -> Self {
        let time = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let seed = setting(variable, u64::from(time.subsec_nanos()) + time.as_secs());
        eprintln!("{variable}={seed}");
        Self(seed.max(1))
    }

    /// A number from 0 to below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// Another sequence, for a thread of its own.
    pub fn fork(&mut self) -> Self {
        Self(self.below(u64::MAX).max(1))
    }

    /// One of the choices.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }
}

/// A number from the environment.
pub fn setting(variable: &str, default: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}
