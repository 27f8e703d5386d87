//! The delegated part of the cgroup tree.

use std::{fs, path::Path};

use tracing::debug;

use super::KeeperError;
use crate::cgroup::{Cgroups, Mode};

/// Where the keeper itself is, below the delegated root.
const KEEPER: &str = "keeper";

/// Where systemd puts the processes of `ExecReload=` and `ExecStop=` of a unit with `Delegate=`.
const CONTROL: &str = ".control";

/// Where pods are, below the delegated root.
const PODS: &str = "pods";

/// The cgroup that systemd delegated, relative to the mount point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subtree {
    root: String,
}

impl Subtree {
    /// The subtree below a root.
    #[cfg(test)]
    pub(super) fn at(root: &str) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Where pods are.
    pub fn pods(&self) -> String {
        format!("{}/{PODS}", self.root)
    }

    /// Moves this process below the cgroup it is in, and gives the pods' cgroup every controller there is.
    pub(super) fn take(cgroups: &Cgroups) -> Result<Self, KeeperError> {
        if cgroups.mode() != Mode::V2 {
            let mode = cgroups.mode().as_str();
            return Err(KeeperError::Mode { mode });
        }
        let subtree = own_root()?;
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let own = cgroups.directory(&format!("{}/{KEEPER}", subtree.root));
        make(&own)?;
        cgroups.join(&format!("{}/{KEEPER}", subtree.root), pid)?;
        subtree.make_pods(cgroups)?;
        Ok(subtree)
    }

    fn make_pods(&self, cgroups: &Cgroups) -> Result<(), KeeperError> {
        let root = cgroups.directory(&self.root);
        let pids = own_procs(&root)?;
        if !pids.is_empty() {
            let path = self.root.clone();
            return Err(KeeperError::Crowded { path, pids });
        }
        let pods = cgroups.directory(&self.pods());
        make(&pods)?;
        enable_all(&root)?;
        enable_all(&pods)?;
        Ok(cgroups.create_parent(&self.pods())?)
    }
}

/// The cgroup that this process was started in, whatever part of it the process is in now.
fn own_root() -> Result<Subtree, KeeperError> {
    let path = Path::new("/proc/self/cgroup");
    let text = fs::read_to_string(path).map_err(KeeperError::io("read", path))?;
    parse_root(&text)
        .map(|root| Subtree { root })
        .ok_or(KeeperError::NotDelegated)
}

fn parse_root(text: &str) -> Option<String> {
    let own = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let parts = [KEEPER, CONTROL].map(|name| format!("/{name}"));
    let root = parts
        .iter()
        .find_map(|part| own.strip_suffix(part.as_str()));
    let root = root.unwrap_or(own);
    (!root.is_empty()).then(|| root.to_owned())
}

fn make(dir: &Path) -> Result<(), KeeperError> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(KeeperError::io("make", dir)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Processes of this very cgroup, not of those below it.
fn own_procs(dir: &Path) -> Result<Vec<i32>, KeeperError> {
    let file = dir.join("cgroup.procs");
    let text = fs::read_to_string(&file).map_err(KeeperError::io("read", &file))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// Enables what can be enabled. What cannot is no failure here: a limit that needs it will name it.
fn enable_all(dir: &Path) -> Result<(), KeeperError> {
    let list = dir.join("cgroup.controllers");
    let control = dir.join("cgroup.subtree_control");
    let available = fs::read_to_string(&list).map_err(KeeperError::io("read", &list))?;
    for controller in available.split_whitespace() {
        if let Err(error) = fs::write(&control, format!("+{controller}")) {
            debug!(controller, cgroup = %dir.display(), %error, "a controller cannot be enabled");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found_from_every_place_in_it() {
        let unit = "system.slice/monopod-pods.service";
        for place in ["", "/keeper", "/.control"] {
            let text = format!("0::/{unit}{place}\n");
            assert_eq!(parse_root(&text).as_deref(), Some(unit), "{place}");
        }
        let hybrid = "4:memory:/x\n0::/a.service/keeper\n";
        assert_eq!(parse_root(hybrid).as_deref(), Some("a.service"));
        for nothing in ["0::/\n", "4:memory:/x\n", ""] {
            assert_eq!(parse_root(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn other_processes_in_the_root_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.procs"), "12\n34\n").unwrap();
        assert_eq!(own_procs(dir.path()).unwrap(), [12, 34]);
    }
}
