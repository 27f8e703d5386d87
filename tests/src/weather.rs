//! Bad weather for one daemon: a file of rules for the library that is preloaded into it (`weather/weather.c`), and
//! small filesystems.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::mount::{MountFlags, mount};

use crate::binary;

/// The rules of one daemon. Without rules the weather is fine.
#[derive(Debug)]
pub struct Weather {
    rules: PathBuf,
}

impl Weather {
    /// Weather whose rules are in this directory.
    pub fn new(directory: &Path) -> Self {
        Self {
            rules: directory.join("weather"),
        }
    }

    /// What the daemon's environment needs.
    pub fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [
            ("LD_PRELOAD", binary::weather().to_owned()),
            ("WEATHER", self.rules.clone()),
        ]
    }

    /// From now on these rules hold, each `CALL PATH SKIP COUNT EFFECT`; see the library. They count from zero.
    pub fn set(&self, rules: &[&str]) {
        let fresh = self.rules.with_extension("new");
        fs::write(&fresh, rules.join("\n") + "\n").unwrap();
        fs::rename(&fresh, &self.rules).unwrap();
    }

    /// Fine weather.
    pub fn clear(&self) {
        self.set(&[]);
    }

    /// Every call that was hit so far: the call and its file.
    pub fn hits(&self) -> Vec<String> {
        let hits = fs::read_to_string(self.rules.with_extension("hits")).unwrap_or_default();
        hits.lines().map(str::to_owned).collect()
    }
}

/// Mounts a filesystem of so many KiB at a directory, which is made; it goes with the test's `Host`.
pub fn small_filesystem(path: &Path, kib: u32, inodes: u32) {
    fs::create_dir_all(path).unwrap();
    let options = format!("size={kib}k,nr_inodes={inodes},mode=700");
    let options = std::ffi::CString::new(options).unwrap();
    mount(
        "tmpfs",
        path,
        "tmpfs",
        MountFlags::empty(),
        Some(options.as_c_str()),
    )
    .unwrap();
}

/// A file that takes all room there is, until it is dropped.
#[derive(Debug)]
pub struct Ballast(PathBuf);

impl Ballast {
    /// Fills the filesystem of this directory to the last byte.
    pub fn fill(directory: &Path) -> Self {
        use std::io::Write as _;
        let path = directory.join("ballast");
        let mut file = fs::File::create(&path).unwrap();
        let chunk = [0_u8; 4096];
        while file.write_all(&chunk).is_ok() {}
        Self(path)
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
