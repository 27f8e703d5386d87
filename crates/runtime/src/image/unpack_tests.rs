//! Layers, honest and hostile, applied to a directory beside a canary that must stay as it is.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, symlink},
    path::{Path, PathBuf},
};

use tar::{EntryType, Header};

use super::{
    as_root,
    tree::OPAQUE,
    unpack::{LeftOut, Limits, Unpacked, unpack},
};

/// A member of a test's archive.
struct Put {
    kind: EntryType,
    path: Vec<u8>,
    link: String,
    data: Vec<u8>,
    mode: u32,
    owner: (u64, u64),
    mtime: u64,
    /// PAX records that precede it.
    records: Vec<(String, Vec<u8>)>,
}

fn put(kind: EntryType, path: &str) -> Put {
    Put {
        kind,
        path: path.as_bytes().to_vec(),
        link: String::new(),
        data: Vec::new(),
        mode: 0o755,
        owner: (0, 0),
        mtime: 1_000,
        records: Vec::new(),
    }
}

fn file(path: &str, data: &str) -> Put {
    Put {
        data: data.as_bytes().to_vec(),
        mode: 0o644,
        ..put(EntryType::Regular, path)
    }
}

fn dir(path: &str) -> Put {
    put(EntryType::Directory, path)
}

fn link(kind: EntryType, path: &str, target: &str) -> Put {
    Put {
        link: target.to_owned(),
        ..put(kind, path)
    }
}

/// Writes headers byte by byte, because no writer makes hostile ones.
fn archive(members: &[Put]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for member in members {
        let mut records = Vec::new();
        for (key, value) in &member.records {
            let body = 3 + key.len() + value.len();
            let mut length = body + 1;
            while length != body + length.to_string().len() {
                length = body + length.to_string().len();
            }
            records.extend(format!("{length} {key}=").into_bytes());
            records.extend(value);
            records.push(b'\n');
        }
        if !records.is_empty() {
            append(
                &mut bytes,
                EntryType::XHeader,
                b"pax",
                &put(EntryType::XHeader, ""),
                &records,
            );
        }
        append(&mut bytes, member.kind, &member.path, member, &member.data);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn append(bytes: &mut Vec<u8>, kind: EntryType, path: &[u8], member: &Put, data: &[u8]) {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    header.as_old_mut().linkname[..member.link.len()].copy_from_slice(member.link.as_bytes());
    header.set_size(data.len() as u64);
    header.set_mode(member.mode);
    header.set_uid(member.owner.0);
    header.set_gid(member.owner.1);
    header.set_mtime(member.mtime);
    header.set_cksum();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
}

/// A directory to unpack into, beside one that must stay as it is.
struct Place {
    base: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("root")).unwrap();
        fs::create_dir(base.path().join("canary")).unwrap();
        fs::write(base.path().join("canary/song"), "alive").unwrap();
        Self { base }
    }

    fn root(&self) -> PathBuf {
        self.base.path().join("root")
    }

    fn canary(&self) -> PathBuf {
        self.base.path().join("canary")
    }

    fn unpack(&self, members: &[Put]) -> Result<Unpacked, String> {
        let limits = Limits {
            entries: 100,
            bytes: 10_000,
        };
        let bytes = archive(members);
        let result = unpack(bytes.as_slice(), &self.root(), limits);
        let intact = fs::read_dir(self.canary()).unwrap().count() == 1
            && fs::read_to_string(self.canary().join("song")).unwrap() == "alive"
            && fs::metadata(self.canary()).unwrap().mode() & 0o7777 == 0o755
            && fs::metadata(self.canary().join("song")).unwrap().nlink() == 1
            && fs::read_dir(self.base.path()).unwrap().count() == 2;
        assert!(intact, "the canary was touched");
        let flat = |error: &dyn std::error::Error| {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(error) = source {
                text.push_str(&format!(": {error}"));
                source = error.source();
            }
            text
        };
        result
            .map(|(unpacked, _)| unpacked)
            .map_err(|error| flat(&error))
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }

    fn stat(&self, path: &str) -> fs::Metadata {
        fs::symlink_metadata(self.root().join(path)).unwrap()
    }
}

fn is_whiteout(metadata: &fs::Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

fn is_opaque(path: &Path) -> bool {
    xattr::get(path, OPAQUE).unwrap() == Some(b"y".to_vec())
}

#[test]
fn hostile_entries_are_refused() {
    if !as_root() {
        return;
    }
    let canary = "/tmp/../../canary";
    let cases: Vec<(&str, Vec<Put>)> = vec![
        ("contains '..'", vec![file("../canary/song", "dead")]),
        ("contains '..'", vec![file("a/../../canary/new", "dead")]),
        ("contains '..'", vec![dir("..")]),
        ("contains '..'", vec![file(canary, "dead")]),
        (
            "contains '..'",
            vec![link(EntryType::Link, "x", "../canary/song")],
        ),
        ("contains '..'", vec![file("../canary/.wh.song", "")]),
        (
            "not in this layer",
            vec![link(EntryType::Link, "x", "/etc/passwd")],
        ),
        (
            "not in this layer",
            vec![link(EntryType::Link, "x", "missing")],
        ),
        (
            "is a directory",
            vec![dir("d"), link(EntryType::Link, "x", "d")],
        ),
        ("is the root", vec![link(EntryType::Link, "x", "/")]),
        (
            "not in this layer",
            vec![file(".wh.a", ""), link(EntryType::Link, "b", "a")],
        ),
        ("replace the root", vec![file(".", "x")]),
        ("replace the root", vec![link(EntryType::Symlink, ".", "/")]),
        ("no directory", vec![file("f", ""), file("f/g", "")]),
        ("without a name", vec![file("a/.wh.", "")]),
        ("without a name", vec![file("a/.wh...", "")]),
        ("without a name", vec![file("a/.wh..", "")]),
        ("inside a whiteout", vec![file(".wh.a/b", "")]),
        ("sparse", vec![put(EntryType::GNUSparse, "s")]),
        ("kind is unknown", vec![put(EntryType::new(b'Q'), "q")]),
        ("more data than", vec![file("big", &"x".repeat(10_001))]),
        (
            "more data than",
            vec![file("a", &"x".repeat(6_000)), file("b", &"x".repeat(6_000))],
        ),
        (
            "more than 100 entries",
            (0..101).map(|n| file(&n.to_string(), "")).collect(),
        ),
        (
            "owner's id",
            vec![Put {
                records: vec![("uid".to_owned(), b"4294967295".to_vec())],
                ..file("f", "")
            }],
        ),
        (
            "zero byte",
            vec![Put {
                records: vec![("path".to_owned(), b"a\0b".to_vec())],
                ..file("f", "")
            }],
        ),
        (
            "contains '..'",
            vec![Put {
                records: vec![("path".to_owned(), b"../canary/song".to_vec())],
                ..file("f", "dead")
            }],
        ),
        (
            "more than 4095",
            vec![Put {
                records: vec![("path".to_owned(), "a/".repeat(3_000).into_bytes())],
                ..file("f", "")
            }],
        ),
        (
            "PAX record",
            vec![Put {
                records: vec![("GNU.sparse.major".to_owned(), b"1".to_vec())],
                ..file("f", "")
            }],
        ),
    ];
    for (expected, members) in cases {
        let names: Vec<_> = members
            .iter()
            .take(3)
            .map(|m| String::from_utf8_lossy(&m.path))
            .collect();
        let error = Place::new()
            .unpack(&members)
            .expect_err(&format!("{names:?}"));
        assert!(error.contains(expected), "{names:?}: {error}");
    }
}

#[test]
fn planted_links_lead_nowhere_else() {
    if !as_root() {
        return;
    }
    let place = Place::new();
    let outside = place.canary();
    let outside = outside.to_str().unwrap();
    let planted = |kind: EntryType, path: &str, target: &str| link(kind, path, target);
    let cases: Vec<Vec<Put>> = vec![
        vec![
            planted(EntryType::Symlink, "e", outside),
            file("e/new", "dead"),
        ],
        vec![planted(EntryType::Symlink, "e", outside), dir("e/new")],
        vec![
            planted(EntryType::Symlink, "e", "../canary"),
            file("e/song", "dead"),
        ],
        vec![
            planted(EntryType::Symlink, "e", "../../../../canary"),
            file("e/.wh.song", ""),
        ],
        vec![
            planted(EntryType::Symlink, "e", "../canary"),
            file("e/.wh..wh.opq", ""),
        ],
        vec![
            planted(EntryType::Symlink, "e", "../canary"),
            planted(EntryType::Link, "x", "e/song"),
        ],
        vec![
            planted(EntryType::Symlink, "a", ".."),
            planted(EntryType::Symlink, "b", "a/canary"),
            file("b/song", "dead"),
        ],
        vec![
            planted(EntryType::Symlink, "e", "/proc/self/root"),
            file("e/tmp/x", "dead"),
        ],
        vec![planted(EntryType::Symlink, "e", "e"), file("e/x", "dead")],
    ];
    for members in cases {
        let place = Place::new();
        let path = String::from_utf8_lossy(&members.last().unwrap().path).into_owned();
        assert!(
            place.unpack(&members).is_err(),
            "{path} -> {}",
            members[0].link
        );
    }
    // These replace the link instead of following it.
    let song = format!("{outside}/song");
    for last in [file("e", "mine"), dir("e"), put(EntryType::Fifo, "e")] {
        place
            .unpack(&[planted(EntryType::Symlink, "e", &song), last])
            .unwrap();
        assert!(!place.stat("e").file_type().is_symlink());
    }
    // Through a link inside the tree, and through one whose target would be outside it, entries land inside.
    let place = Place::new();
    place
        .unpack(&[
            dir("usr/lib"),
            link(EntryType::Symlink, "lib", "usr/lib"),
            link(EntryType::Symlink, "up", "../../../usr"),
            file("lib/a", "a"),
            file("up/lib/b", "b"),
        ])
        .unwrap();
    assert_eq!(
        (place.read("usr/lib/a"), place.read("usr/lib/b")),
        ("a".to_owned(), "b".to_owned())
    );
}

#[test]
fn a_link_to_a_link_does_not_change_its_target() {
    if !as_root() {
        return;
    }
    let place = Place::new();
    let song = place.canary().join("song");
    let members = [
        link(EntryType::Symlink, "s", song.to_str().unwrap()),
        link(EntryType::Link, "h", "s"),
        Put {
            mode: 0o777,
            owner: (5, 5),
            ..link(EntryType::Symlink, "t", song.to_str().unwrap())
        },
    ];
    place.unpack(&members).unwrap();
    assert!(place.stat("h").file_type().is_symlink());
    assert_eq!(place.stat("t").uid(), 5);
    let target = fs::metadata(&song).unwrap();
    assert_eq!((target.uid(), target.mode() & 0o777), (0, 0o644));
}

#[test]
fn metadata_is_taken_over() {
    if !as_root() {
        return;
    }
    let place = Place::new();
    let capability = [
        1, 0, 0, 2, 0x0a, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ]
    .to_vec();
    let record = |key: &str, value: &[u8]| (format!("SCHILY.xattr.{key}"), value.to_vec());
    let members = [
        Put {
            mode: 0o1777,
            owner: (7, 8),
            mtime: 5_000,
            ..dir("d")
        },
        Put {
            mode: 0o4755,
            owner: (1, 2),
            mtime: 6_000,
            ..file("d/suid", "x")
        },
        Put {
            mode: 0o2711,
            ..file("d/sgid", "x")
        },
        Put {
            records: vec![
                record("user.note", b"line\nline"),
                record("security.capability", &capability),
                record("trusted.overlay.redirect", b"/etc"),
                record("trusted.overlay.opaque", b"y"),
                record("user.overlay.opaque", b"y"),
                record("security.selinux", b"label"),
                ("mtime".to_owned(), b"7000.25".to_vec()),
                ("uid".to_owned(), b"3000000".to_vec()),
            ],
            ..file("cap", "x")
        },
        Put {
            mode: 0o600,
            owner: (3, 4),
            ..put(EntryType::Fifo, "pipe")
        },
        Put {
            owner: (5, 6),
            mtime: 8_000,
            ..link(EntryType::Symlink, "s", "/any where/../x")
        },
        file("one", "1"),
        link(EntryType::Link, "./two", "/one"),
        link(EntryType::Link, "one", "one"),
        put(EntryType::Char, "null"),
        put(EntryType::Block, "disk"),
        file("implied/deep/f", "x"),
        file("/absolute", "x"),
        put(EntryType::Regular, "old/"),
    ];
    let unpacked = place.unpack(&members).unwrap();
    let left_out = LeftOut {
        devices: 2,
        attributes: 4,
    };
    assert_eq!((unpacked.entries, unpacked.left_out), (14, left_out));

    let facts = |path: &str| {
        let stat = place.stat(path);
        (stat.mode() & 0o7777, stat.uid(), stat.gid(), stat.mtime())
    };
    assert_eq!(facts("d"), (0o1777, 7, 8, 5_000));
    assert_eq!(facts("d/suid"), (0o4755, 1, 2, 6_000));
    assert_eq!(facts("d/sgid").0, 0o2711);
    assert_eq!(facts("pipe"), (0o600, 3, 4, 1_000));
    assert!(place.stat("pipe").file_type().is_fifo());
    assert_eq!((facts("s").1, facts("s").3), (5, 8_000));
    assert_eq!(
        fs::read_link(place.root().join("s")).unwrap(),
        Path::new("/any where/../x")
    );
    assert_eq!((facts("cap").1, facts("cap").3), (3_000_000, 7_000));
    assert_eq!(place.stat("cap").mtime_nsec(), 250_000_000);
    assert_eq!(place.stat("one").ino(), place.stat("two").ino());
    assert_eq!(facts("implied/deep").0, 0o755);
    assert!(place.stat("old").is_dir());
    assert_eq!(place.read("absolute"), "x");
    assert!(!place.root().join("null").exists() && !place.root().join("disk").exists());
    let attributes: Vec<_> = xattr::list(place.root().join("cap")).unwrap().collect();
    assert_eq!(attributes.len(), 2, "{attributes:?}");
    assert_eq!(
        xattr::get(place.root().join("cap"), "user.note")
            .unwrap()
            .unwrap(),
        b"line\nline"
    );
    assert_eq!(
        xattr::get(place.root().join("cap"), "security.capability")
            .unwrap()
            .unwrap(),
        capability
    );
}

#[test]
fn whiteouts_hide_lower_layers_only() {
    if !as_root() {
        return;
    }
    let place = Place::new();
    let members = [
        file("gone/.wh.a", ""),
        dir("kept"),
        file("kept/mine", "x"),
        file(".wh.kept", ""),
        file("own", "x"),
        file(".wh.own", ""),
        file(".wh.later", ""),
        file("later/f", "x"),
        file(".wh.again", ""),
        file("again", "x"),
        file("opq/.wh..wh.opq", ""),
        file("opq/mine", "x"),
        file(".wh..wh.plnk/1", ""),
        file(".wh..wh.aufs", ""),
    ];
    place.unpack(&members).unwrap();
    assert!(is_whiteout(&place.stat("gone/a")));
    assert_eq!(place.read("kept/mine"), "x");
    assert!(is_opaque(&place.root().join("kept")));
    assert_eq!(place.read("own"), "x");
    assert_eq!(place.read("later/f"), "x");
    assert!(is_opaque(&place.root().join("later")));
    assert_eq!(place.read("again"), "x");
    assert!(is_opaque(&place.root().join("opq")));
    assert_eq!(place.read("opq/mine"), "x");
    let mut names: Vec<_> = fs::read_dir(place.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["again", "gone", "kept", "later", "opq", "own"]);
}

#[test]
fn later_entries_win() {
    if !as_root() {
        return;
    }
    let place = Place::new();
    let members = [
        file("f", "old"),
        file("f", "new"),
        dir("d/sub"),
        file("d/sub/x", "x"),
        file("d", "file now"),
        file("e", "file"),
        dir("e"),
        file("e/inside", "y"),
        Put {
            mode: 0o700,
            ..dir("twice")
        },
        file("twice/stays", "z"),
        Put {
            mode: 0o711,
            ..dir("twice")
        },
        file("h", "1"),
        link(EntryType::Link, "h2", "h"),
        file("h", "2"),
    ];
    place.unpack(&members).unwrap();
    assert_eq!(place.read("f"), "new");
    assert_eq!(place.read("d"), "file now");
    assert_eq!(place.read("e/inside"), "y");
    assert_eq!(place.read("twice/stays"), "z");
    assert_eq!(place.stat("twice").mode() & 0o7777, 0o711);
    assert_eq!(
        (place.read("h"), place.read("h2")),
        ("2".to_owned(), "1".to_owned())
    );
}

#[test]
fn a_link_that_was_there_before_is_not_followed_either() {
    if !as_root() {
        return;
    }
    // Unpacking happens in a new directory, so this cannot be; it shows that the guard does not depend on it.
    let place = Place::new();
    symlink(place.canary(), place.root().join("e")).unwrap();
    assert!(place.unpack(&[file("e/song", "dead")]).is_err());
}
