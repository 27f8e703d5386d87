//! Whether the wall clock can be believed.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use super::{Finding, Place};

/// A file may be this much newer than now without a reason to wonder.
const LEEWAY: Duration = Duration::from_secs(60);

/// Looks at the clock.
pub(super) fn check(place: &Place) -> Vec<Finding> {
    let program = Path::new("/proc/self/exe");
    let database = place.state_dir.join("monopod.db");
    vec![
        synchronised(),
        newer("clock", program, "this program was built"),
        newer("clock and state", &database, "the database was written"),
    ]
}

fn synchronised() -> Finding {
    let check = "clock's source";
    match runtime::sys::clock::is_synchronised() {
        Ok(true) => Finding::ok(check, "synchronised"),
        Ok(false) => Finding::warn(
            check,
            "nothing keeps it right",
            "run an NTP client such as systemd-timesyncd or chrony, unless the host's hypervisor does",
        ),
        Err(error) => Finding::unchecked(check, error.to_string()),
    }
}

/// What was written cannot have been written later than now.
fn newer(check: &'static str, path: &Path, what: &str) -> Finding {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    let Ok(modified) = modified else {
        return Finding::unchecked(check, format!("{} is not there", path.display()));
    };
    match modified.duration_since(SystemTime::now()) {
        Ok(ahead) if ahead > LEEWAY => Finding::warn(
            check,
            format!("{what} {} s in the future", ahead.as_secs()),
            "set the clock; it was stepped back, or was wrong before",
        ),
        Ok(_) | Err(_) => Finding::ok(check, format!("is later than when {what}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    #[test]
    fn a_file_of_the_future_is_noticed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(newer("c", file.path(), "it was made").verdict, Verdict::Ok);
        let future = SystemTime::now() + Duration::from_secs(3600);
        file.as_file().set_modified(future).unwrap();
        assert_eq!(
            newer("c", file.path(), "it was made").verdict,
            Verdict::Warn
        );
        let missing = newer("c", Path::new("/nonexistent"), "it was made");
        assert_eq!(missing.verdict, Verdict::Unchecked);
    }
}
