//! Who a container runs as: names looked up in its own root filesystem.
//!
//! The C library is never asked: it would load modules and ask services that the image or the host names.

use std::path::Path;

use thiserror::Error;

use crate::image::{LayeredRoot, LookupError};

/// The most bytes of a passwd or group file.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The highest id (runc: `user.maxID`); higher ones are negative to some programs.
const ID_MAX: u32 = i32::MAX as u32;

/// A user, as a process needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups, ascending; always holds the primary one, because an empty list would inherit the
    /// runtime's.
    pub additional_gids: Vec<u32>,
    /// Home directory; `/` where none is known. Never empty.
    pub home: String,
    /// Login name, where there is one.
    pub name: Option<String>,
}

/// Why there is no such user.
#[derive(Debug, Error)]
pub enum UserError {
    /// The user's name is not listed.
    #[error("find the user: no user '{user}' in {file}")]
    NoUser {
        /// The name.
        user: String,
        /// Where it was looked for.
        file: &'static str,
    },
    /// The group's name is not listed.
    #[error("find the group: no group '{group}' in {file}")]
    NoGroup {
        /// The name.
        group: String,
        /// Where it was looked for.
        file: &'static str,
    },
    /// An id is not usable.
    #[error("use the id {id}: it is beyond {ID_MAX}")]
    OutOfRange {
        /// The id.
        id: String,
    },
    /// The text cannot name a user.
    #[error("understand the user '{text}'")]
    Malformed {
        /// The text.
        text: String,
    },
    /// The files could not be read.
    #[error("read the root filesystem's users")]
    Lookup {
        /// The reason.
        #[from]
        source: LookupError,
    },
}

/// Resolves `user`, `uid`, `user:group` or `uid:gid` against the files of a root filesystem.
pub fn resolve_in(text: &str, root: &LayeredRoot) -> Result<User, UserError> {
    let passwd = root.read(Path::new("/etc/passwd"), FILE_BYTES_MAX)?;
    let group = root.read(Path::new("/etc/group"), FILE_BYTES_MAX)?;
    resolve(text, passwd.as_deref(), group.as_deref())
}

/// Resolves `user`, `uid`, `user:group` or `uid:gid` against the text of `/etc/passwd` and `/etc/group`; an empty text
/// is root.
///
/// A number that nobody has is taken as it is, with group 0 and home `/`; so is `root`. A name that is a number is found as a name
/// first. Supplementary groups are those that list the user, and none where a group is given (as runc and Docker do).
pub fn resolve(text: &str, passwd: Option<&[u8]>, group: Option<&[u8]>) -> Result<User, UserError> {
    let (user, wanted_group) = match text.split_once(':') {
        None => (text, None),
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
    };
    if wanted_group.is_some_and(|group| group.contains(':')) || text.contains(['\n', '\0']) {
        return Err(UserError::Malformed {
            text: text.to_owned(),
        });
    }
    let user = if user.is_empty() { "0" } else { user };
    let account = find_account(user, passwd.unwrap_or_default());
    let (uid, listed_gid) = match (&account, id(user)?) {
        (Some(account), _) => (account.uid, account.gid),
        (None, Some(uid)) => (uid, 0),
        // An image made from scratch lists nobody, and root is who it is everywhere.
        (None, None) if user == "root" => (0, 0),
        (None, None) => {
            return Err(UserError::NoUser {
                user: user.to_owned(),
                file: named_file(passwd, "/etc/passwd", "the image, which has no /etc/passwd"),
            });
        }
    };
    let (gid, mut additional_gids) = match wanted_group {
        Some(wanted) => (find_group(wanted, group)?, Vec::new()),
        None => {
            let name = account.as_ref().map(|account| account.name);
            (listed_gid, memberships(name, group.unwrap_or_default()))
        }
    };
    additional_gids.push(gid);
    additional_gids.sort_unstable();
    additional_gids.dedup();
    let home = account
        .as_ref()
        .map(|account| account.home)
        .filter(|home| home.starts_with('/'));
    Ok(User {
        uid,
        gid,
        additional_gids,
        home: home.unwrap_or("/").to_owned(),
        name: account.map(|account| account.name.to_owned()),
    })
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn find_account<'a>(user: &str, passwd: &'a [u8]) -> Option<Account<'a>> {
    let accounts = || {
        lines(passwd).filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            let uid = fields.nth(1)?.parse().ok().filter(|id| *id <= ID_MAX)?;
            let gid = fields.next()?.parse().ok().filter(|id| *id <= ID_MAX)?;
            let home = fields.nth(1).unwrap_or_default();
            Some(Account {
                name,
                uid,
                gid,
                home,
            })
        })
    };
    accounts()
        .find(|account| account.name == user)
        .or_else(|| accounts().find(|account| user.parse() == Ok(account.uid)))
}

fn find_group(wanted: &str, group: Option<&[u8]>) -> Result<u32, UserError> {
    let named = groups(group.unwrap_or_default()).find(|(name, _, _)| *name == wanted);
    match (named, id(wanted)?) {
        (Some((_, gid, _)), _) | (None, Some(gid)) => Ok(gid),
        (None, None) => Err(UserError::NoGroup {
            group: wanted.to_owned(),
            file: named_file(group, "/etc/group", "the image, which has no /etc/group"),
        }),
    }
}

fn memberships(name: Option<&str>, group: &[u8]) -> Vec<u32> {
    let Some(name) = name else { return Vec::new() };
    groups(group)
        .filter(|(_, _, members)| members.split(',').any(|member| member == name))
        .map(|(_, gid, _)| gid)
        .collect()
}

/// Name, id and members of each group.
fn groups(group: &[u8]) -> impl Iterator<Item = (&str, u32, &str)> {
    lines(group).filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let gid = fields.nth(1)?.parse().ok().filter(|id| *id <= ID_MAX)?;
        Some((name, gid, fields.next().unwrap_or_default()))
    })
}

/// Lines that are text; others name nobody.
fn lines(file: &[u8]) -> impl Iterator<Item = &str> {
    file.split(|byte| *byte == b'\n')
        .filter_map(|line| str::from_utf8(line).ok())
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
}

/// The number that a text is; `None` if it is none.
fn id(text: &str) -> Result<Option<u32>, UserError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse() {
        Ok(id) if id <= ID_MAX => Ok(Some(id)),
        Ok(_) | Err(_) => Err(UserError::OutOfRange {
            id: text.to_owned(),
        }),
    }
}

fn named_file(content: Option<&[u8]>, there: &'static str, missing: &'static str) -> &'static str {
    match (content, there) {
        (None, _) => missing,
        (Some(_), "/etc/passwd") => "the image's /etc/passwd",
        (Some(_), _) => "the image's /etc/group",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n\
        # comment:x:9:9::/c:\n\
        web:x:33:34:Web:/var/www:/bin/false\n\
        broken:x:abc:1::/b:\n\
        \xff\xfe:x:50:50::/bad:\n\
        huge:x:4294967295:1::/h:\n\
        1000:x:7:8:digits:/seven:\n\
        app:x:1000:1001::home:\n\
        short:x:60:61\n";
    const GROUP: &[u8] = b"root:x:0:\nwww:x:34:\naudio:x:29:web,app\nvideo:x:44:other,web\n\
        33:x:77:\nbad:x:nan:web\nadm:x:4:root";

    /// Text, user, group, supplementary groups, home, name.
    type Case<'a> = (&'a str, u32, u32, &'a [u32], &'a str, Option<&'a str>);

    #[test]
    fn users_are_found() {
        let cases: [Case<'_>; 14] = [
            ("", 0, 0, &[0, 4], "/root", Some("root")),
            ("root", 0, 0, &[0, 4], "/root", Some("root")),
            ("0", 0, 0, &[0, 4], "/root", Some("root")),
            ("web", 33, 34, &[29, 34, 44], "/var/www", Some("web")),
            ("33", 33, 34, &[29, 34, 44], "/var/www", Some("web")),
            ("web:", 33, 34, &[29, 34, 44], "/var/www", Some("web")),
            ("web:audio", 33, 29, &[29], "/var/www", Some("web")),
            ("web:5", 33, 5, &[5], "/var/www", Some("web")),
            ("web:33", 33, 77, &[77], "/var/www", Some("web")),
            ("4242", 4242, 0, &[0], "/", None),
            ("4242:4243", 4242, 4243, &[4243], "/", None),
            ("1000", 7, 8, &[8], "/seven", Some("1000")),
            ("app", 1000, 1001, &[29, 1001], "/", Some("app")),
            ("short", 60, 61, &[61], "/", Some("short")),
        ];
        for (text, uid, gid, additional, home, name) in cases {
            let expected = User {
                uid,
                gid,
                additional_gids: additional.to_vec(),
                home: home.to_owned(),
                name: name.map(str::to_owned),
            };
            assert_eq!(
                resolve(text, Some(PASSWD), Some(GROUP)).unwrap(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn without_files_numbers_still_work() {
        let user = resolve("12:34", None, None).unwrap();
        assert_eq!((user.uid, user.gid, user.home.as_str()), (12, 34, "/"));
        for root in ["", "root", "root:0", "0"] {
            let user = resolve(root, None, None).unwrap();
            assert_eq!((user.uid, user.additional_gids), (0, vec![0]), "{root}");
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let (passwd, group) = (Some(PASSWD), Some(GROUP));
        let cases = [
            (
                "nobody",
                passwd,
                group,
                "no user 'nobody' in the image's /etc/passwd",
            ),
            (
                "nobody",
                None,
                None,
                "no user 'nobody' in the image, which has no /etc/passwd",
            ),
            ("broken", passwd, group, "no user 'broken'"),
            ("huge", passwd, group, "no user 'huge'"),
            ("# comment", passwd, group, "no user '# comment'"),
            (
                "web:nogroup",
                passwd,
                group,
                "no group 'nogroup' in the image's /etc/group",
            ),
            (
                "web:nogroup",
                passwd,
                None,
                "no group 'nogroup' in the image, which has no /etc/group",
            ),
            ("4294967295", passwd, group, "4294967295"),
            ("2147483648", passwd, group, "beyond 2147483647"),
            ("1:99999999999", passwd, group, "99999999999"),
            ("-1", passwd, group, "no user '-1'"),
            ("a:b:c", passwd, group, "understand the user"),
            ("a\nb", passwd, group, "understand the user"),
        ];
        for (text, passwd, group, expected) in cases {
            let error = resolve(text, passwd, group).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_root_filesystem_is_never_left() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd.own", root.path().join("etc/passwd")).unwrap();
        let open = || LayeredRoot::open(&[root.path().to_path_buf()]).unwrap();
        let error = resolve_in("nobody", &open()).unwrap_err();
        assert!(
            matches!(error, UserError::NoUser { .. }),
            "the host's file was read"
        );
        std::fs::write(root.path().join("etc/passwd.own"), "nobody:x:5:6::/r:\n").unwrap();
        assert_eq!(resolve_in("nobody", &open()).unwrap().uid, 5);
    }
}
