//! Compiled programs in the run directory, one file per key, so that a restarted daemon does not compile again.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use libseccomp::ScmpVersion;
use sha2::{Digest, Sha256};

use super::{Program, SeccompError, profile};

/// A program and the file that holds exactly its instructions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// The program.
    pub program: Program,
    /// `<run dir>/seccomp/<key>.bpf`: the instructions and nothing else.
    pub path: PathBuf,
}

/// The default profile's program for these capabilities (`CAP_…` names), from `<run_dir>/seccomp` or compiled now.
///
/// The key covers everything the program depends on: profile, capabilities, architecture, version of libseccomp and
/// kernel release. A file whose digest (beside it, `<key>.sha256`) or shape is wrong is compiled and written again.
pub fn load_cached(run_dir: &Path, capabilities: &[String]) -> Result<Cached, SeccompError> {
    let directory = run_dir.join("seccomp");
    let mut capabilities = capabilities.to_vec();
    capabilities.sort();
    capabilities.dedup();
    let key = key(&capabilities);
    let path = directory.join(format!("{key}.bpf"));
    let digest_path = directory.join(format!("{key}.sha256"));
    if let Some(program) = read(&path, &digest_path) {
        return Ok(Cached { program, path });
    }
    let program = Program::compile(&capabilities)?;
    fs::create_dir_all(&directory).map_err(|source| SeccompError::Cache {
        path: directory.clone(),
        source,
    })?;
    // In this order: a crash in between leaves a digest that does not match, never one that does.
    write(&directory, &path, program.bytes())?;
    write(&directory, &digest_path, hex(program.bytes()).as_bytes())?;
    Ok(Cached { program, path })
}

fn read(path: &Path, digest_path: &Path) -> Option<Program> {
    let bytes = fs::read(path).ok()?;
    let digest = fs::read_to_string(digest_path).ok()?;
    (digest == hex(&bytes)).then_some(())?;
    Program::from_bytes(bytes)
}

fn write(directory: &Path, path: &Path, contents: &[u8]) -> Result<(), SeccompError> {
    let attempt = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(contents)?;
        file.persist(path).map_err(|refused| refused.error)?;
        Ok(())
    };
    attempt().map_err(|source| SeccompError::Cache {
        path: path.to_path_buf(),
        source,
    })
}

fn key(capabilities: &[String]) -> String {
    let version = ScmpVersion::current()
        .map(|version| format!("{}.{}.{}", version.major, version.minor, version.micro))
        .unwrap_or_default();
    let kernel = rustix::system::uname();
    let parts = [
        profile::TEXT,
        &profile::RULES_VERSION.to_string(),
        &capabilities.join(","),
        std::env::consts::ARCH,
        &version,
        &kernel.release().to_string_lossy(),
    ];
    hex(parts.join("\0").as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_second_load_reads_the_file() {
        let run_dir = tempfile::tempdir().unwrap();
        let first = load_cached(run_dir.path(), &names(&["CAP_KILL", "CAP_CHOWN"])).unwrap();
        assert_eq!(fs::read(&first.path).unwrap(), first.program.bytes());
        // Another valid program under the same key: it is what a second load returns, so it was read, not made.
        let planted = vec![6, 0, 0, 0, 0, 0, 0, 0];
        fs::write(&first.path, &planted).unwrap();
        fs::write(first.path.with_extension("sha256"), hex(&planted)).unwrap();
        let again = load_cached(run_dir.path(), &names(&["CAP_CHOWN", "CAP_KILL"])).unwrap();
        assert_eq!(again.path, first.path);
        assert_eq!(again.program.bytes(), planted);
        let other = load_cached(run_dir.path(), &names(&["CAP_CHOWN"])).unwrap();
        assert_ne!(other.path, first.path);
    }

    #[test]
    fn a_bad_file_is_made_again() {
        let run_dir = tempfile::tempdir().unwrap();
        let good = load_cached(run_dir.path(), &[]).unwrap();
        let digest = good.path.with_extension("sha256");
        let cut = &good.program.bytes()[..good.program.bytes().len() - 3];
        let spoil: [(&str, &dyn Fn()); 5] = [
            ("flipped", &|| fs::write(&good.path, vec![7; 80]).unwrap()),
            ("empty", &|| fs::write(&good.path, []).unwrap()),
            ("missing", &|| fs::remove_file(&good.path).unwrap()),
            ("no digest", &|| fs::remove_file(&digest).unwrap()),
            ("cut, digest right", &|| {
                fs::write(&good.path, cut).unwrap();
                fs::write(&digest, hex(cut)).unwrap();
            }),
        ];
        for (name, spoil) in spoil {
            spoil();
            let again = load_cached(run_dir.path(), &[]).unwrap();
            assert_eq!(again, good, "{name}");
            assert_eq!(
                fs::read(&good.path).unwrap(),
                good.program.bytes(),
                "{name}"
            );
        }
        let left = fs::read_dir(run_dir.path().join("seccomp"))
            .unwrap()
            .count();
        assert_eq!(left, 2, "temporary files were left");
    }
}
