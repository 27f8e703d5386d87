//! The store, fed with small images of all formats.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::*;

/// A compression.
type Packing<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

/// Files of a source, by name.
type Files = BTreeMap<String, Vec<u8>>;

fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, data) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, path, data.as_bytes())
            .unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn config(layers: &[&[u8]], architecture: &str, cmd: &str) -> Vec<u8> {
    let diff_ids: Vec<_> = layers
        .iter()
        .map(|layer| Digest::of(layer).to_string())
        .collect();
    serde_json::to_vec(&json!({
        "architecture": architecture, "os": "linux",
        "config": {"Cmd": [cmd], "Env": ["PATH=/bin"], "User": "web"},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }))
    .unwrap()
}

fn host() -> &'static str {
    candidate::host_architectures()[0]
}

/// Adds a blob and tells its descriptor.
fn add_blob(files: &mut Files, kind: &str, bytes: Vec<u8>) -> Value {
    let digest = Digest::of(&bytes);
    let descriptor = json!({"mediaType": kind, "digest": digest.to_string(), "size": bytes.len()});
    files.insert(format!("blobs/sha256/{}", digest.hex()), bytes);
    descriptor
}

/// Adds an image's blobs and tells its manifest's descriptor. Layers are stored as `packed` makes them.
fn add_oci(
    files: &mut Files,
    layers: &[&[u8]],
    architecture: &str,
    packed: impl Fn(&[u8]) -> Vec<u8>,
) -> Value {
    let config = config(layers, architecture, architecture);
    let config = add_blob(files, "application/vnd.oci.image.config.v1+json", config);
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| {
            add_blob(
                files,
                "application/vnd.oci.image.layer.v1.tar",
                packed(layer),
            )
        })
        .collect();
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers,
        "mediaType": "application/vnd.oci.image.manifest.v1+json"});
    let manifest = serde_json::to_vec(&manifest).unwrap();
    add_blob(
        files,
        "application/vnd.oci.image.manifest.v1+json",
        manifest,
    )
}

fn with(mut descriptor: Value, member: &str, value: Value) -> Value {
    descriptor[member] = value;
    descriptor
}

fn ref_name(name: &str) -> Value {
    json!({"org.opencontainers.image.ref.name": name})
}

fn add_index(files: &mut Files, manifests: &[Value]) {
    let index = json!({"schemaVersion": 2, "manifests": manifests});
    files.insert("index.json".to_owned(), serde_json::to_vec(&index).unwrap());
    files.insert(
        "oci-layout".to_owned(),
        br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
    );
}

fn docker_save(layers: &[&[u8]], tags: &Value) -> Files {
    let config = config(layers, host(), "docker");
    let name = format!("{}.json", Digest::of(&config).hex());
    let mut files = Files::from([(name.clone(), config)]);
    let mut names = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let file = format!("{number}/layer.tar");
        files.insert(file.clone(), layer.to_vec());
        names.push(file);
    }
    let manifest = json!([{"Config": name, "RepoTags": tags, "Layers": names}]);
    files.insert(
        "manifest.json".to_owned(),
        serde_json::to_vec(&manifest).unwrap(),
    );
    files
}

struct Fixture {
    base: tempfile::TempDir,
    store: ImageStore,
}

impl Fixture {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        let store = ImageStore::open(&base.path().join("images")).unwrap();
        Self { base, store }
    }

    fn directory(&self, files: &Files) -> PathBuf {
        let root = self.base.path().join("layout");
        let _absent = fs::remove_dir_all(&root);
        for (name, bytes) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        root
    }

    fn archive(&self, files: &Files, packed: impl Fn(&[u8]) -> Vec<u8>) -> PathBuf {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            builder
                .append_data(&mut header, name, bytes.as_slice())
                .unwrap();
        }
        let path = self.base.path().join("image.tar");
        fs::write(&path, packed(&builder.into_inner().unwrap())).unwrap();
        path
    }

    fn import(&self, source: &Path, name: Option<&str>) -> Result<Vec<ImportedImage>, String> {
        self.store
            .import(source, name, &mut |_| ())
            .map_err(|error| chain(&error))
    }

    fn left_in(&self, directory: &str) -> usize {
        fs::read_dir(self.base.path().join("images").join(directory))
            .unwrap()
            .count()
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

#[test]
fn every_format_gives_the_same_layers() {
    if !as_root() {
        return;
    }
    let base = tar_of(&[("etc/passwd", "web:x:33:34::/w:/bin/sh\n"), ("bin/a", "1")]);
    let top = tar_of(&[("bin/.wh.a", ""), ("bin/b", "2")]);
    let layers: [&[u8]; 2] = [&base, &top];
    let plain = |bytes: &[u8]| bytes.to_vec();
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    let packings: [(&str, Packing); 3] = [("tar", &plain), ("gzip", &gzip), ("zstd", &zstd)];
    let mut first: Option<Image> = None;
    for (name, packed) in packings {
        let mut oci = Files::new();
        let manifest = add_oci(&mut oci, &layers, host(), packed);
        add_index(
            &mut oci,
            &[with(manifest, "annotations", ref_name("app:1"))],
        );
        let docker = docker_save(&layers, &json!(["app:1"]));
        let fixture = Fixture::new();
        let sources = [
            ("oci", fixture.directory(&oci)),
            ("oci-archive", fixture.archive(&oci, plain)),
            ("oci-archive packed", fixture.archive(&oci, packed)),
            ("docker", fixture.archive(&docker, packed)),
        ];
        for (number, (kind, _)) in sources.iter().enumerate() {
            // Archives share a path: write the one that is meant.
            let path = match number {
                0 => sources[0].1.clone(),
                1 => fixture.archive(&oci, plain),
                2 => fixture.archive(&oci, packed),
                _ => fixture.archive(&docker, packed),
            };
            let imported = fixture.import(&path, None).unwrap();
            assert_eq!(imported.len(), 1, "{name} {kind}");
            assert_eq!(imported[0].name, "docker.io/library/app:1");
            assert_eq!(
                imported[0].new_layers,
                if number == 0 { 2 } else { 0 },
                "{name} {kind}"
            );
        }
        let image = fixture.store.resolve("app:1").unwrap().unwrap();
        assert_eq!(image.config.cmd, ["docker"]);
        let read = |layer: &Path, file: &str| fs::read_to_string(layer.join(file)).unwrap();
        assert_eq!(read(&image.layers[0], "bin/b"), "2");
        assert_eq!(read(&image.layers[1], "bin/a"), "1");
        let root = LayeredRoot::open(&image.layers).unwrap();
        assert!(
            root.entry(Path::new("/bin/a")).unwrap().is_none(),
            "the whiteout hides it"
        );
        assert_eq!(crate::user::resolve_in("web", &root).unwrap().gid, 34);
        assert_eq!(
            (fixture.left_in("layers"), fixture.left_in("scratch")),
            (2, 0)
        );
        if let Some(first) = &first {
            assert_eq!(image.id, first.id);
        }
        first = Some(image);
    }
}

#[test]
fn images_are_found_by_all_their_names() {
    if !as_root() {
        return;
    }
    let fixture = Fixture::new();
    let layer = tar_of(&[("a", "1")]);
    let mut files = Files::new();
    let manifest = add_oci(&mut files, &[&layer], host(), gzip);
    let digest = manifest["digest"].as_str().unwrap().to_owned();
    add_index(
        &mut files,
        &[with(manifest, "annotations", ref_name("latest"))],
    );
    let imported = fixture
        .import(&fixture.directory(&files), Some("quay.io/me/app"))
        .unwrap();
    let id = imported[0].id.to_string();
    let cases = [
        ("quay.io/me/app", true),
        ("quay.io/me/app:latest", true),
        (&format!("quay.io/me/app@{digest}"), true),
        (&format!("quay.io/me/app:gone@{digest}"), true),
        (&digest, true),
        (&id, true),
        ("quay.io/me/app:2", false),
        ("me/app", false),
        ("app", false),
        ("latest", false),
        (&format!("me/app@{digest}"), false),
        (&format!("quay.io/me/app@sha256:{}", "0".repeat(64)), false),
    ];
    for (reference, found) in cases {
        let image = fixture.store.resolve(reference).unwrap();
        assert_eq!(image.is_some(), found, "{reference}");
    }
    assert!(fixture.store.resolve("UPPER").is_err());
    let list = fixture.store.list().unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(
        (list[0].reference.as_str(), list[0].bytes),
        ("quay.io/me/app", 1)
    );
    // A name moves to the newer image.
    let newer = tar_of(&[("a", "2")]);
    let archive = fixture.archive(
        &docker_save(&[&newer], &json!(["quay.io/me/app", "b:1"])),
        gzip,
    );
    assert_eq!(fixture.import(&archive, None).unwrap().len(), 2);
    assert_ne!(
        fixture
            .store
            .resolve("quay.io/me/app")
            .unwrap()
            .unwrap()
            .id
            .to_string(),
        id
    );
    assert_eq!(fixture.store.list().unwrap().len(), 2);
}

#[test]
fn the_hosts_platform_is_chosen() {
    if !as_root() {
        return;
    }
    let platform = |architecture: &str| json!({"os": "linux", "architecture": architecture});
    let layer = tar_of(&[("a", "1")]);
    let other = tar_of(&[("a", "other")]);
    for nested in [false, true] {
        let fixture = Fixture::new();
        let mut files = Files::new();
        let foreign = add_oci(&mut files, &[&other], "mips", gzip);
        let own = add_oci(&mut files, &[&layer], host(), gzip);
        let mut manifests = vec![
            with(foreign, "platform", platform("mips")),
            with(own, "platform", platform(host())),
        ];
        if nested {
            let index = json!({"schemaVersion": 2, "manifests": manifests});
            let index = serde_json::to_vec(&index).unwrap();
            manifests = vec![add_blob(
                &mut files,
                "application/vnd.oci.image.index.v1+json",
                index,
            )];
        }
        let named: Vec<_> = manifests
            .into_iter()
            .map(|m| with(m, "annotations", ref_name("app")))
            .collect();
        add_index(&mut files, &named);
        let imported = fixture.import(&fixture.directory(&files), None).unwrap();
        assert_eq!(imported.len(), 1);
        let image = fixture.store.resolve("app").unwrap().unwrap();
        assert_eq!(image.config.cmd, [host()]);
        if nested {
            let index = named[0]["digest"].as_str().unwrap();
            assert!(
                fixture
                    .store
                    .resolve(&format!("app@{index}"))
                    .unwrap()
                    .is_some()
            );
        }
    }
}

#[test]
fn bad_sources_say_what_is_wrong() {
    if !as_root() {
        return;
    }
    let layer = tar_of(&[("a", "1")]);
    let honest = |name: &str| {
        let mut files = Files::new();
        let manifest = add_oci(&mut files, &[&layer], host(), gzip);
        add_index(&mut files, &[with(manifest, "annotations", ref_name(name))]);
        files
    };
    let find = |files: &Files, part: &str| {
        let has = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(part);
        files
            .iter()
            .find(|(name, bytes)| name.starts_with("blobs") && has(bytes))
            .unwrap()
            .0
            .clone()
    };
    let manifest = find(&honest("a"), "\"layers\":[");
    let config = find(&honest("a"), "diff_ids");
    let blob = find(&honest("a"), "\u{1f}");
    let changed = |name: &str| {
        let mut files = honest("a");
        files.get_mut(name).unwrap().push(b' ');
        files
    };
    let without = |name: &str| {
        let mut files = honest("a");
        files.remove(name);
        files
    };
    let docker = docker_save(&[&layer], &json!(["a"]));
    let docker_with = |name: &str, bytes: &[u8]| {
        let mut files = docker.clone();
        files.insert(name.to_owned(), bytes.to_vec());
        files
    };
    let mut foreign = Files::new();
    let descriptor = add_oci(&mut foreign, &[&layer], "mips", gzip);
    add_index(&mut foreign, &[descriptor]);
    let mut lying = docker.clone();
    lying.insert("0/layer.tar".to_owned(), tar_of(&[("a", "2")]));
    let mut hostile = Files::new();
    let escape = {
        let mut bytes = tar_of(&[("xx/song", "dead")]);
        bytes[..2].copy_from_slice(b"..");
        // The checksum's six octal digits.
        let sum: u32 = (0..512)
            .map(|at| {
                if (148..156).contains(&at) {
                    32
                } else {
                    u32::from(bytes[at])
                }
            })
            .sum();
        bytes[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        bytes
    };
    let descriptor = add_oci(&mut hostile, &[&escape], host(), gzip);
    add_index(
        &mut hostile,
        &[with(descriptor, "annotations", ref_name("a"))],
    );
    let by_digest = format!("a@sha256:{}", "0".repeat(64));
    let cases: Vec<(&str, Files, Option<&str>, Vec<&str>)> = vec![
        (
            "manifest changed",
            changed(&manifest),
            None,
            vec![&manifest, "its digest is sha256:"],
        ),
        (
            "config changed",
            changed(&config),
            None,
            vec![&config, "its digest is"],
        ),
        (
            "layer changed",
            changed(&blob),
            None,
            vec![&blob, "its digest is"],
        ),
        (
            "layer is not its diff id",
            lying,
            None,
            vec!["0/layer.tar", "its digest is"],
        ),
        (
            "manifest missing",
            without(&manifest),
            None,
            vec!["find", &manifest],
        ),
        ("layer missing", without(&blob), None, vec!["find", &blob]),
        (
            "no image",
            Files::from([("x".to_owned(), vec![1])]),
            None,
            vec!["neither manifest.json nor index.json"],
        ),
        (
            "bad json",
            docker_with("manifest.json", b"[{"),
            None,
            vec!["understand", "manifest.json"],
        ),
        (
            "skopeo dir",
            docker_with("manifest.json", b"{}"),
            None,
            vec!["skopeo's dir: format"],
        ),
        (
            "too large",
            docker_with("manifest.json", &vec![b' '; (8 << 20) + 1]),
            None,
            vec!["more than 8388608 bytes"],
        ),
        (
            "other platform",
            foreign,
            Some("a"),
            vec!["linux/mips", "this host runs linux/"],
        ),
        (
            "no name",
            docker_save(&[&layer], &Value::Null),
            None,
            vec!["no name of its own"],
        ),
        (
            "bad name in it",
            honest("Not A Name"),
            None,
            vec!["'Not A Name'"],
        ),
        ("bad name", honest("a"), Some("B"), vec!["'B'"]),
        (
            "digest as name",
            honest("a"),
            Some(by_digest.as_str()),
            vec!["not a digest"],
        ),
        (
            "hostile layer",
            hostile,
            None,
            vec!["unpack", "'../song'", "contains '..'"],
        ),
    ];
    for (case, files, name, parts) in cases {
        let fixture = Fixture::new();
        let error = fixture
            .import(&fixture.directory(&files), name)
            .expect_err(case);
        for part in parts {
            assert!(error.contains(part), "{case}: {error}");
        }
        let left = (
            fixture.left_in("layers"),
            fixture.left_in("scratch"),
            fixture.left_in("names"),
        );
        assert_eq!(left, (0, 0, 0), "{case}");
    }
    let fixture = Fixture::new();
    let text = fixture.base.path().join("text");
    fs::write(&text, "this is a text of no interest").unwrap();
    assert!(
        fixture
            .import(&text, None)
            .unwrap_err()
            .contains("read the archive")
    );
    assert!(
        fixture
            .import(Path::new("/nowhere/x.tar"), None)
            .unwrap_err()
            .contains("/nowhere/x.tar")
    );
    assert!(
        fixture
            .import(Path::new("/dev/null"), None)
            .unwrap_err()
            .contains("neither a directory nor a file")
    );
}

#[test]
fn several_images_keep_their_names() {
    if !as_root() {
        return;
    }
    let fixture = Fixture::new();
    let (one, two) = (tar_of(&[("a", "1")]), tar_of(&[("a", "2")]));
    let mut files = Files::new();
    let first = add_oci(&mut files, &[&one], host(), gzip);
    let second = add_oci(&mut files, &[&one, &two], host(), gzip);
    add_index(
        &mut files,
        &[
            with(first, "annotations", ref_name("a:1")),
            with(
                second,
                "annotations",
                json!({"io.containerd.image.name": "docker.io/library/b:2",
                "org.opencontainers.image.ref.name": "2"}),
            ),
        ],
    );
    let layout = fixture.directory(&files);
    let error = fixture.import(&layout, Some("c")).unwrap_err();
    assert!(
        error.contains("the 2 images") && error.contains("a:1"),
        "{error}"
    );
    let mut steps = Vec::new();
    let imported = fixture
        .store
        .import(&layout, None, &mut |step| steps.push(format!("{step:?}")))
        .unwrap();
    let names: Vec<_> = imported.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, ["docker.io/library/a:1", "docker.io/library/b:2"]);
    let kinds: Vec<_> = steps
        .iter()
        .map(|step| step.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["Unpacking", "Named", "Present", "Unpacking", "Named"]
    );
}

#[test]
fn links_in_an_archive_lead_to_shared_layers() {
    if !as_root() {
        return;
    }
    let fixture = Fixture::new();
    let layer = tar_of(&[("a", "1")]);
    let files = docker_save(&[&layer, &layer], &json!(["a"]));
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in &files {
        let mut header = tar::Header::new_gnu();
        if name == "1/layer.tar" {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            builder
                .append_link(&mut header, name, "../0/layer.tar")
                .unwrap();
        } else {
            header.set_size(bytes.len() as u64);
            builder
                .append_data(&mut header, name, bytes.as_slice())
                .unwrap();
        }
    }
    let path = fixture.base.path().join("linked.tar");
    fs::write(&path, builder.into_inner().unwrap()).unwrap();
    let imported = fixture.import(&path, None).unwrap();
    assert_eq!((imported[0].layers, imported[0].new_layers), (2, 1));
    // overlayfs takes no directory twice.
    assert_eq!(fixture.store.resolve("a").unwrap().unwrap().layers.len(), 1);
}

#[test]
fn what_a_crash_left_is_removed_and_never_trusted() {
    if !as_root() {
        return;
    }
    let fixture = Fixture::new();
    let images = fixture.base.path().join("images");
    let layer = tar_of(&[("a", "1")]);
    let leftover = images.join("scratch/.tmpdead");
    fs::create_dir_all(leftover.join("fs/deep")).unwrap();
    let busy = images.join("scratch/.tmpbusy");
    fs::create_dir(&busy).unwrap();
    let lock = fs::File::open(&busy).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let store = ImageStore::open(&images).unwrap();
    assert!(!leftover.exists());
    assert!(busy.exists(), "somebody works in it");
    drop(lock);
    ImageStore::open(&images).unwrap();
    assert!(!busy.exists());

    fixture
        .import(
            &fixture.archive(&docker_save(&[&layer], &json!(["a"])), gzip),
            None,
        )
        .unwrap();
    let image = store.resolve("a").unwrap().unwrap();
    let blob = images.join("blobs").join(image.id.hex());
    let good = fs::read(&blob).unwrap();
    fs::write(&blob, "{}").unwrap();
    assert!(chain(&store.resolve("a").unwrap_err()).contains("another digest"));
    fs::write(&blob, good).unwrap();
    let locks = LayerLocks::hold(&image.layers).unwrap();
    let directory = fs::File::open(image.layers[0].parent().unwrap()).unwrap();
    let exclusive = || {
        rustix::fs::flock(
            &directory,
            rustix::fs::FlockOperation::NonBlockingLockExclusive,
        )
    };
    assert!(exclusive().is_err(), "a layer in use is locked");
    drop(locks);
    assert!(exclusive().is_ok());
    drop(directory);
    fs::remove_dir_all(image.layers[0].parent().unwrap()).unwrap();
    assert!(LayerLocks::hold(&image.layers).is_err(), "it is gone");
    assert!(chain(&store.resolve("a").unwrap_err()).contains("the layer is not there"));
}

#[test]
fn lookups_see_what_overlayfs_would_show() {
    if !as_root() {
        return;
    }
    let base = tempfile::tempdir().unwrap();
    let make = |layer: &str, files: &[(&str, &str)]| {
        let root = base.path().join(layer);
        fs::create_dir(&root).unwrap();
        let archive = tar_of(files);
        unpack::unpack(archive.as_slice(), &root, Limits::default()).unwrap();
        root
    };
    let lower = make(
        "lower",
        &[
            ("d/low", "l"),
            ("o/low", "l"),
            ("f", "l"),
            ("r/x", "l"),
            ("e/passwd", "l"),
            ("t/x", "l"),
        ],
    );
    let upper = make(
        "upper",
        &[
            ("d/up", "u"),
            ("o/.wh..wh.opq", ""),
            ("o/up", "u"),
            (".wh.f", ""),
            ("r", "file"),
            ("t/.wh.x", ""),
        ],
    );
    let links = [
        ("abs", "/e/passwd"),
        ("rel", "../../../e/passwd"),
        ("loop", "loop"),
        ("dir", "d/../e"),
        ("out", "/etc/hostname"),
    ];
    for (name, target) in links {
        std::os::unix::fs::symlink(target, upper.join(name)).unwrap();
    }
    let root = LayeredRoot::open(&[upper, lower]).unwrap();
    let cases = [
        ("/d/low", Some("l")),
        ("d/up", Some("u")),
        ("/d/../d/./up", Some("u")),
        ("/../../d/up", Some("u")),
        ("/o/low", None),
        ("/o/up", Some("u")),
        ("/f", None),
        ("/r", Some("file")),
        ("/r/x", None),
        ("/t/x", None),
        ("/abs", Some("l")),
        ("/rel", Some("l")),
        ("/dir/passwd", Some("l")),
        ("/out", None),
        ("/d", None),
        ("/missing/x", None),
    ];
    for (path, expected) in cases {
        let found = root.read(Path::new(path), 10).unwrap();
        assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{path}");
    }
    assert!(matches!(
        root.entry(Path::new("/d")).unwrap(),
        Some(Entry::Directory)
    ));
    assert!(matches!(
        root.read(Path::new("loop"), 10),
        Err(LookupError::Links { .. })
    ));
    assert!(matches!(
        root.read(Path::new("r"), 3),
        Err(LookupError::TooLarge { .. })
    ));
}

#[test]
fn an_opaque_root_hides_all_lower_layers() {
    if !as_root() {
        return;
    }
    let fixture = Fixture::new();
    let (lower, upper) = (
        tar_of(&[("a", "1")]),
        tar_of(&[(".wh..wh.opq", ""), ("b", "2")]),
    );
    let archive = fixture.archive(&docker_save(&[&lower, &upper], &json!(["a"])), gzip);
    assert_eq!(fixture.import(&archive, None).unwrap()[0].layers, 2);
    let image = fixture.store.resolve("a").unwrap().unwrap();
    assert_eq!(image.layers.len(), 1);
    assert!(image.layers[0].join("b").exists());
}
