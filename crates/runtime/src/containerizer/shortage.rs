//! Shortages of the daemon or the host: of descriptors, of memory. They tell nothing of what could not be looked at, so
//! whoever has to know looks again until they are over.

use std::{error::Error, io, time::Duration};

use rustix::io::Errno;

/// How long is waited at first before another look, and at most: nothing wakes whoever lacks a descriptor.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Whether a shortage is what an error comes from.
pub(super) fn is_shortage(error: &(dyn Error + 'static)) -> bool {
    let errno = match error.downcast_ref::<io::Error>() {
        Some(error) => Errno::from_io_error(error),
        None => error.downcast_ref::<Errno>().copied(),
    };
    let short = matches!(
        errno,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN)
    );
    short || error.source().is_some_and(is_shortage)
}

/// Looks until no shortage keeps it from seeing. Blocks as long as that takes.
pub(super) fn outlast<T, E: Error + 'static>(
    mut look: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let mut wait = FIRST_WAIT;
    loop {
        match look() {
            Err(error) if is_shortage(&error) => {
                std::thread::sleep(wait);
                wait = LONGEST_WAIT.min(wait * 2);
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::JournalError;

    #[test]
    fn shortages_are_outlasted_and_other_errors_told() {
        let mut errors = vec![Errno::ACCESS, Errno::NFILE, Errno::MFILE];
        let result = outlast(|| -> Result<(), _> {
            Err(JournalError::File {
                action: "read",
                path: "/j".into(),
                source: errors
                    .pop()
                    .expect("it stops at the first that is none")
                    .into(),
            })
        });
        assert!(matches!(result, Err(JournalError::File { source, .. })
            if source.kind() == io::ErrorKind::PermissionDenied));
        assert!(errors.is_empty());
        assert!(is_shortage(&Errno::NOMEM));
        assert!(!is_shortage(&io::Error::other("nothing")));
    }
}
