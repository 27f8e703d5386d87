//! The image that guests start from, as the recipe `tests/guest/image` makes it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What the recipe ends with where a guest cannot be had.
const UNAVAILABLE: i32 = 77;

/// A built image.
#[derive(Clone, Debug)]
pub struct Image {
    directory: PathBuf,
}

/// The Debian that guests run.
pub fn suite() -> String {
    std::env::var("MONOPOD_GUEST_SUITE").unwrap_or_else(|_| "trixie".to_owned())
}

impl Image {
    /// The image of [`suite`], which is built if there is none yet; `None`, said loudly, where it cannot be had.
    ///
    /// That is no failure even in strict mode: `make test` installs as root what is missing, so what is left is a
    /// host that has no root or no package registry.
    ///
    /// # Panics
    /// The recipe fails.
    pub fn find_or_build() -> Option<Self> {
        let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest/image");
        let output = Command::new(&recipe)
            .arg(suite())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", recipe.display()));
        if output.status.code() == Some(UNAVAILABLE) {
            eprintln!(
                "SKIPPED: every test in a guest, for the reason above. They pass without having tested anything."
            );
            return None;
        }
        assert!(
            output.status.success(),
            "{}: {}",
            recipe.display(),
            output.status
        );
        let path = String::from_utf8_lossy(&output.stdout);
        Some(Self {
            directory: PathBuf::from(path.trim_end()),
        })
    }

    /// The kernel.
    pub(super) fn kernel(&self) -> PathBuf {
        self.directory.join("vmlinux")
    }

    /// What mounts the root file system.
    pub(super) fn initrd(&self) -> PathBuf {
        self.directory.join("initrd")
    }

    /// The root file system.
    pub(super) fn root(&self) -> PathBuf {
        self.directory.join("root.img")
    }
}
