//! Images to import: an OCI layout directory and an archive as `docker save` writes it, both with the probe.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// What the image's configuration says: report and hold, perhaps in a directory of its own.
/// What an image says of its process.
#[derive(Clone, Copy, Debug)]
pub struct Says<'a> {
    /// Its command; none where empty.
    pub command: &'a [&'a str],
    /// Where it runs.
    pub working_dir: Option<&'a str>,
}

impl Default for Says<'_> {
    /// Reports and holds.
    fn default() -> Self {
        Self {
            command: &["/probe", "report", ",", "hold"],
            working_dir: None,
        }
    }
}

fn configuration(layer: &[u8], says: Says<'_>) -> Vec<u8> {
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "config": {
            "Cmd": says.command,
            "Env": ["PATH=/bin:/", "FROM_IMAGE=yes"],
            "WorkingDir": says.working_dir,
        },
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
    });
    config.to_string().into_bytes()
}

/// Writes an OCI layout below `directory` that holds one image and gives its path.
pub fn oci_layout(directory: &Path, name: &str, says: Says<'_>) -> PathBuf {
    let layout = directory.join("layout");
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let layer = layer();
    let blob = |bytes: &[u8], media: &str| -> Value {
        let digest = digest(bytes);
        fs::write(layout.join("blobs").join(digest.replace(':', "/")), bytes).unwrap();
        json!({"mediaType": media, "digest": digest, "size": bytes.len()})
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(&configuration(&layer, says), "application/vnd.oci.image.config.v1+json"),
        "layers": [blob(&layer, "application/vnd.oci.image.layer.v1.tar")],
    });
    let mut entry = blob(
        manifest.to_string().as_bytes(),
        "application/vnd.oci.image.manifest.v1+json",
    );
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    layout
}

/// Writes an archive below `directory` that holds one image and gives its path.
pub fn docker_archive(directory: &Path, name: &str, says: Says<'_>) -> PathBuf {
    let path = directory.join("image.tar");
    let layer = layer();
    let configuration = configuration(&layer, says);
    let config_name = format!(
        "{}.json",
        digest(&configuration).trim_start_matches("sha256:")
    );
    let manifest =
        json!([{"Config": config_name, "RepoTags": [name], "Layers": ["layer/layer.tar"]}]);
    let mut archive = Archive::new();
    archive.file("layer/layer.tar", 0o644, &layer);
    archive.file(&config_name, 0o644, &configuration);
    archive.file("manifest.json", 0o644, manifest.to_string().as_bytes());
    fs::File::create(&path)
        .unwrap()
        .write_all(&archive.finish())
        .unwrap();
    path
}

/// The one layer: the probe, users, and files that cannot be run. With busybox where the host has it.
fn layer() -> Vec<u8> {
    let mut layer = Archive::new();
    for (directory, mode) in [
        ("bin", 0o755),
        ("data", 0o777),
        ("etc", 0o755),
        ("tmp", 0o1777),
    ] {
        layer.directory(directory, mode);
    }
    layer.file("probe", 0o755, &fs::read(crate::binary::probe()).unwrap());
    layer.file("not-executable", 0o644, b"just text\n");
    layer.file(
        "etc/passwd",
        0o644,
        b"root:x:0:0::/:/bin/sh\nprobe:x:1234:1234::/data:/bin/sh\n",
    );
    layer.file(
        "etc/group",
        0o644,
        b"root:x:0:\nprobe:x:1234:\nextra:x:4321:probe\n",
    );
    if let Some(busybox) = static_busybox() {
        layer.file("bin/busybox", 0o755, &busybox);
        for applet in ["sh", "sleep", "date", "cat", "echo", "true"] {
            layer.link(&format!("bin/{applet}"), "busybox");
        }
    }
    layer.finish()
}

/// The host's busybox, if it needs no shared libraries.
pub fn static_busybox() -> Option<Vec<u8>> {
    let binary = fs::read("/usr/bin/busybox")
        .or_else(|_| fs::read("/bin/busybox"))
        .ok()?;
    let needs_loader = binary.windows(3).take(4096).any(|window| window == b"ld-");
    (!needs_loader).then_some(binary)
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

struct Archive(tar::Builder<Vec<u8>>);

impl Archive {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn entry(&mut self, path: &str, kind: tar::EntryType, mode: u32, content: &[u8], target: &str) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(content.len() as u64);
        if !target.is_empty() {
            header.set_link_name(target).unwrap();
        }
        self.0.append_data(&mut header, path, content).unwrap();
    }

    fn directory(&mut self, path: &str, mode: u32) {
        self.entry(path, tar::EntryType::Directory, mode, b"", "");
    }

    fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entry(path, tar::EntryType::Regular, mode, content, "");
    }

    fn link(&mut self, path: &str, target: &str) {
        self.entry(path, tar::EntryType::Symlink, 0o777, b"", target);
    }

    fn finish(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}
