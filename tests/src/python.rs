//! Throw-away Python environments with clients that were written for Marathon, from the Python package registry.
//!
//! They are built once beside the tests' binaries and kept.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use nix::fcntl::{Flock, FlockArg};

/// What the DC/OS command line needs beside itself: its own pins are older than any Python of today.
const BESIDE_DCOS: [&str; 14] = [
    "pkginfo==1.2.1",
    "sseclient==0.0.19",
    "docopt==0.6.2",
    "pager==3.3",
    "prettytable==0.7.2",
    "retrying==1.3.3",
    "toml<1",
    "cryptography",
    "jsonschema<3",
    "PyJWT<2",
    "pygments<3",
    "requests<3",
    "six<2",
    "urllib3<3",
];

/// Names that Python 3.10 moved and the command line still looks for in their old place.
const MOVED_NAMES: &str = "\
import collections, collections.abc
for n in ('Mapping', 'MutableMapping', 'Sequence', 'Iterable', 'Callable'):
    if not hasattr(collections, n):
        setattr(collections, n, getattr(collections.abc, n))
";

/// An environment; programs are in its `bin`.
#[derive(Debug)]
pub struct Environment(PathBuf);

impl Environment {
    /// The DC/OS command line of this version.
    ///
    /// # Errors
    /// Why it cannot be had here.
    pub fn dcos(version: &str) -> Result<Self, String> {
        Self::build(&format!("dcos-{version}"), |environment| {
            environment.pip(&["setuptools<66", "wheel"])?;
            let (program, commands) = (format!("dcos=={version}"), format!("dcoscli=={version}"));
            let without_pins = ["--no-build-isolation", "--no-deps", &program, &commands];
            environment.pip(&[&without_pins[..], &BESIDE_DCOS[..6]].concat())?;
            environment.pip(&BESIDE_DCOS[6..])?;
            environment.add_moved_names()
        })
    }

    /// Packages as they are.
    ///
    /// # Errors
    /// Why they cannot be had here.
    pub fn of(name: &str, packages: &[&str]) -> Result<Self, String> {
        Self::build(name, |environment| environment.pip(packages))
    }

    /// A program in it.
    pub fn program(&self, name: &str) -> PathBuf {
        self.0.join("bin").join(name)
    }

    fn build(name: &str, fill: impl Fn(&Self) -> Result<(), String>) -> Result<Self, String> {
        let executable = std::env::current_exe().map_err(|error| error.to_string())?;
        let target = executable.ancestors().nth(2).unwrap_or(&executable);
        let environment = Self(target.join("python").join(name));
        fs::create_dir_all(target.join("python")).map_err(|error| error.to_string())?;
        // Other test processes want it, too.
        let lock = fs::File::create(target.join("python").join(format!("{name}.lock")));
        let lock = lock.map_err(|error| error.to_string())?;
        let _lock =
            Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error.to_string())?;
        let complete = environment.0.join("complete");
        if complete.exists() {
            return Ok(environment);
        }
        let _ = fs::remove_dir_all(&environment.0);
        run(Command::new("python3")
            .args(["-m", "venv"])
            .arg(&environment.0))?;
        fill(&environment)?;
        fs::write(complete, "").map_err(|error| error.to_string())?;
        Ok(environment)
    }

    fn pip(&self, arguments: &[&str]) -> Result<(), String> {
        let mut command = Command::new(self.program("pip"));
        command.args(["install", "--quiet", "--disable-pip-version-check"]);
        run(command.args(arguments))
    }

    fn add_moved_names(&self) -> Result<(), String> {
        let site = "import sysconfig; print(sysconfig.get_path('purelib'))";
        let output = Command::new(self.program("python"))
            .args(["-c", site])
            .output();
        let output = output.map_err(|error| error.to_string())?;
        let directory = String::from_utf8_lossy(&output.stdout);
        let file = Path::new(directory.trim()).join("sitecustomize.py");
        fs::write(file, MOVED_NAMES).map_err(|error| error.to_string())
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last: Vec<_> = said.lines().rev().take(3).collect();
    Err(format!("{command:?}: {}", last.join(" / ")))
}

/// The environment, or the end of the test, loudly.
#[macro_export]
macro_rules! python {
    ($environment:expr) => {
        match $environment {
            Ok(environment) => environment,
            Err(reason) => $crate::skip!(format!("no Python packages can be had: {reason}")),
        }
    };
}
