//! `/proc/self/mountinfo`, read as `proc_pid_mountinfo(5)` describes it. Parsing is pure.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// One mount, the members that are of use here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountEntry {
    /// Path inside the filesystem that is the mount's root.
    pub root: PathBuf,
    /// Where it is mounted, as seen from this process.
    pub mount_point: PathBuf,
    /// Options of the mount, such as `nosuid`.
    pub options: Vec<String>,
    /// Type of the filesystem.
    pub fs_type: String,
    /// Options of the filesystem, such as a cgroup hierarchy's controllers.
    pub super_options: Vec<String>,
}

/// Reads the mounts of this process's mount namespace, in the order in which they were made.
///
/// # Errors
/// What reading the file gave.
pub fn read() -> io::Result<Vec<MountEntry>> {
    Ok(parse(&fs::read("/proc/self/mountinfo")?))
}

/// Reads the file's content; lines that do not have the documented shape are left out.
pub fn parse(content: &[u8]) -> Vec<MountEntry> {
    content
        .split(|byte| *byte == b'\n')
        .filter_map(parse_line)
        .collect()
}

fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let root = fields.nth(3)?;
    let mount_point = fields.next()?;
    let options = fields.next()?;
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let fs_type = fields.next()?;
    let super_options = fields.nth(1)?;
    Some(MountEntry {
        root: unescape(root),
        mount_point: unescape(mount_point),
        options: list(options),
        fs_type: String::from_utf8_lossy(fs_type).into_owned(),
        super_options: list(super_options),
    })
}

fn list(field: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(field)
        .split(',')
        .map(str::to_owned)
        .collect()
}

/// Blanks and backslashes are written as three octal digits behind a backslash.
fn unescape(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let escaped = (*first == b'\\').then(|| octal(tail)).flatten();
        path.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    PathBuf::from(OsString::from_vec(path))
}

fn octal(tail: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(tail.get(..3)?).ok()?;
    u8::from_str_radix(digits, 8).ok()
}

impl MountEntry {
    /// Whether the mount point is `path` or above it.
    pub fn covers(&self, path: &Path) -> bool {
        path.starts_with(&self.mount_point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_documented_lines() {
        let text = b"27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n\
            36 35 98:0 /mnt1 /a\\040b\\134c rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n\
            40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
            short line\n";
        let entries = parse(text);
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[0].mount_point, Path::new("/"));
        assert_eq!(entries[1].root, Path::new("/mnt1"));
        assert_eq!(entries[1].mount_point, Path::new("/a b\\c"));
        assert_eq!(entries[1].fs_type, "ext3");
        assert_eq!(entries[2].super_options, ["rw", "name=systemd"]);
        assert!(entries[0].covers(Path::new("/x")) && !entries[1].covers(Path::new("/x")));
    }

    #[test]
    fn this_process_has_a_root_mount() {
        let entries = read().unwrap();
        assert!(
            entries
                .iter()
                .any(|entry| entry.mount_point == Path::new("/"))
        );
    }
}
