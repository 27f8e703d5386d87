//! Removing directories that containers wrote to: links are never followed, mounts never entered, and no depth or
//! width of what a container made can use up our stack or descriptors.

use std::{
    ffi::CString,
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, openat2, unlinkat},
    io::Errno,
};

/// A directory being emptied, and those of its own directories that are still to do.
struct Level {
    left: Vec<CString>,
}

/// Removes a directory with all it holds. One that is not there is removed already.
///
/// # Errors
/// The first entry that cannot be removed: `EXDEV` for a mount.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(root) => root,
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTDIR | Errno::LOOP) => return fs::remove_file(path),
        Err(errno) => return Err(errno.into()),
    };
    empty(root)?;
    fs::remove_dir(path)
}

fn empty(root: OwnedFd) -> io::Result<()> {
    let mut levels = vec![unlink_files(&root)?];
    let mut current = root;
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.left.last() {
            current = enter(&current, name)?;
            levels.push(unlink_files(&current)?);
            continue;
        }
        levels.pop();
        let Some(parent) = levels.last_mut() else {
            break;
        };
        let done = parent.left.pop().expect("it was entered by this name");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let up = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
        current = openat2(&current, c"..", flags, Mode::empty(), up)?;
        unlinkat(&current, done.as_c_str(), AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

fn enter(directory: &impl AsFd, name: &CString) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    Ok(openat2(
        directory,
        name.as_c_str(),
        flags,
        Mode::empty(),
        inside,
    )?)
}

/// Removes everything but directories, and lists those.
fn unlink_files(directory: &OwnedFd) -> io::Result<Level> {
    let mut left = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        if entry.file_type() == FileType::Directory {
            left.push(name.to_owned());
            continue;
        }
        match unlinkat(directory, name, AtFlags::empty()) {
            // A filesystem that does not tell types.
            Err(Errno::ISDIR) => left.push(name.to_owned()),
            other => other?,
        }
    }
    Ok(Level { left })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_go_and_what_links_point_to_stays() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "").unwrap();
        let tree = dir.path().join("tree");
        for index in 0..30 {
            fs::create_dir_all(tree.join(format!("wide{index}/inner"))).unwrap();
            fs::write(tree.join(format!("wide{index}/inner/file")), "").unwrap();
        }
        std::os::unix::fs::symlink(&outside, tree.join("wide3/link")).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && outside.join("kept").exists());
        remove_tree(&tree).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&outside, &link).unwrap();
        remove_tree(&link).unwrap();
        assert!(outside.join("kept").exists() && !link.is_symlink());
    }

    #[test]
    fn depth_beyond_any_path_goes_too() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut current = rustix::fs::open(&tree, OFlags::PATH, Mode::empty()).unwrap();
        let name = CString::new("d".repeat(100)).unwrap();
        for _ in 0..1500 {
            rustix::fs::mkdirat(&current, &name, Mode::from_raw_mode(0o700)).unwrap();
            current = rustix::fs::openat(&current, &name, OFlags::PATH, Mode::empty()).unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }
}
