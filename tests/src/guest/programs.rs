//! Programs of this workspace that run inside a guest.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use super::{Guest, Outcome};
use crate::binary;

/// Where test programs are put.
const PLACE: &str = "/usr/local/lib/monopod-tests";

/// Without what only debuggers need, which is most of it.
fn stripped(program: &Path, directory: &Path) -> PathBuf {
    let target = directory.join(program.file_name().unwrap());
    let status = Command::new("strip")
        .arg("-o")
        .arg(&target)
        .arg(program)
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "strip {} failed",
        program.display()
    );
    target
}

/// A test binary of this package that cargo built beside the one that runs: the newest of that name.
///
/// # Panics
/// There is none: the whole package was not built.
pub fn test_binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let modified = |path: &Path| {
        path.metadata()
            .and_then(|meta| meta.modified())
            .unwrap_or(SystemTime::UNIX_EPOCH)
    };
    fs::read_dir(own.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let file = path.file_name().unwrap().to_string_lossy();
            let hash = file
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('-'));
            hash.is_some_and(|hash| hash.chars().all(|c| c.is_ascii_hexdigit()))
        })
        .max_by_key(|path| modified(path))
        .unwrap_or_else(|| {
            panic!("the tests {name} are not built: cargo test --workspace --no-run")
        })
}

impl Guest {
    /// Copies a program without its debugging information.
    ///
    /// # Panics
    /// It cannot.
    #[track_caller]
    pub fn put_program(&self, program: &Path, path: &str) {
        self.put(&stripped(program, self.directory()), path, 0o755);
    }

    /// Runs a test binary of this package inside the guest, as root, on the `monopod` under test.
    ///
    /// Its tests find `monopod` and the probe by `MONOPOD_BIN` and `MONOPOD_PROBE` and run one after another.
    ///
    /// # Panics
    /// It takes longer than `limit`.
    #[track_caller]
    pub fn run_tests(&self, name: &str, arguments: &[&str], limit: Duration) -> Outcome {
        let [monopod, probe, tests] =
            ["monopod", "probe", name].map(|program| format!("{PLACE}/{program}"));
        self.put_program(binary::monopod(), &monopod);
        self.put_program(binary::probe(), &probe);
        self.put_program(&test_binary(name), &tests);
        let environment = [
            format!("MONOPOD_BIN={monopod}"),
            format!("MONOPOD_PROBE={probe}"),
        ];
        let mut command = vec!["env", &environment[0], &environment[1]];
        command.extend(["MONOPOD_TEST_STRICT=1", "RUST_BACKTRACE=0"]);
        command.extend([tests.as_str(), "--test-threads", "1"]);
        command.extend(arguments);
        let outcome = self.try_run(&command, limit);
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}
