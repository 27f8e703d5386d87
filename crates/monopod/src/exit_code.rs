//! What the exit status of `monopod` means to a script.

/// Done as asked.
pub(crate) const OK: u8 = 0;
/// Refused by the daemon, failed, or not reached in time.
pub(crate) const FAILED: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// No daemon answers.
pub(crate) const UNREACHABLE: u8 = 3;
/// The daemon did as asked, but the pod itself ended failed.
pub(crate) const POD_FAILED: u8 = 4;
/// A bug of monopod.
pub(crate) const BUG: u8 = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_rely_on_these_numbers() {
        let codes = [OK, FAILED, USAGE, UNREACHABLE, POD_FAILED, BUG];
        assert_eq!(codes, [0, 1, 2, 3, 4, 255]);
    }
}
