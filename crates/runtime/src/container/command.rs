//! Finding a container's command, as a shell would, with messages for people.
//!
//! Runs inside the container, with its credentials: what is asked of the kernel is asked for the user.

use std::{
    ffi::CString,
    fs,
    io::Read as _,
    os::unix::{ffi::OsStringExt as _, fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{Access, AtFlags, CWD, accessat};

/// Finds the file that `name` stands for: itself if it has a slash, else the first that can be executed in the
/// directories of `path`.
pub(super) fn find(name: &str, path: &str) -> Result<PathBuf, String> {
    if name.is_empty() {
        return Err("the command is empty".to_owned());
    }
    if name.contains('/') {
        return check(Path::new(name)).map(|()| name.into());
    }
    let mut refused = None;
    for directory in path.split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        let file = Path::new(directory).join(name);
        match check(&file) {
            Ok(()) => return Ok(file),
            Err(reason) if file.exists() => refused = refused.or(Some(reason)),
            Err(_) => {}
        }
    }
    Err(refused.unwrap_or_else(|| format!("command '{name}' not found in PATH '{path}'")))
}

/// Checks that a file is there, is a file, may be executed, and so may its interpreter if it is a script.
fn check(file: &Path) -> Result<(), String> {
    let shown = file.display();
    let status = fs::metadata(file).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            format!("command '{shown}' does not exist")
        } else {
            format!("command '{shown}' cannot be reached: {error}")
        }
    })?;
    if !status.is_file() {
        return Err(format!("command '{shown}' is not a file"));
    }
    if accessat(CWD, file, Access::EXEC_OK, AtFlags::EACCESS).is_err() {
        return Err(format!("command '{shown}' is not executable"));
    }
    match interpreter(file) {
        Some(interpreter) if !interpreter.exists() => Err(format!(
            "the interpreter '{}' of command '{shown}' does not exist",
            interpreter.display()
        )),
        _ => Ok(()),
    }
}

/// What a script's first line names; `None` for a file that is no script or cannot be read.
fn interpreter(file: &Path) -> Option<PathBuf> {
    let mut start = Vec::new();
    let mut options = fs::OpenOptions::new();
    let open = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(file)
        .ok()?;
    open.take(256).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?;
    let line = line.split(|byte| *byte == b'\n').next()?;
    let word = line
        .split(u8::is_ascii_whitespace)
        .find(|word| !word.is_empty())?;
    Some(std::ffi::OsString::from_vec(word.to_vec()).into())
}

/// A text as the kernel takes it. A definition's texts have no zero in them; one that had is cut there.
pub(super) fn kernel_text(text: &str) -> CString {
    let end = text
        .bytes()
        .position(|byte| byte == 0)
        .unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn finds_or_says_why_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let file = |name: &str, content: &str, mode| {
            fs::write(path.join(name), content).unwrap();
            fs::set_permissions(path.join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        file("run", "", 0o750);
        file("text", "", 0o644);
        file("script", "#! /no/such/shell -e\n", 0o755);
        let root = path.display();
        let search = format!("/nowhere:{root}:");
        let cases = [
            ("run", Ok(format!("{root}/run"))),
            (
                "text",
                Err(format!("command '{root}/text' is not executable")),
            ),
            (
                "absent",
                Err(format!("command 'absent' not found in PATH '{search}'")),
            ),
            ("", Err("the command is empty".to_owned())),
            (
                "/no/such",
                Err("command '/no/such' does not exist".to_owned()),
            ),
            ("/", Err("command '/' is not a file".to_owned())),
            (
                "script",
                Err(format!(
                    "the interpreter '/no/such/shell' of command '{root}/script' does not exist"
                )),
            ),
        ];
        for (name, expected) in cases {
            let found = find(name, &search).map(|file| file.display().to_string());
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn texts_for_the_kernel_end_at_a_zero() {
        assert_eq!(kernel_text("a\0b").to_bytes(), b"a");
        assert_eq!(kernel_text("ab").to_bytes(), b"ab");
    }
}
