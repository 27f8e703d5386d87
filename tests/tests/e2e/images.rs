//! Images are imported from layouts and archives, and their configuration counts.

use e2e::{host::Host, image, needs_root, pods};
use serde_json::{Value, json};

#[test]
fn both_kinds_of_source_are_imported_and_run_as_they_say() {
    needs_root!();
    let host = Host::start();
    let says = image::Says {
        working_dir: Some("/data"),
        ..image::Says::default()
    };
    let sources = [
        (
            "layout",
            image::oci_layout(host.directory(), "from-layout:1", says),
        ),
        (
            "archive",
            image::docker_archive(host.directory(), "from-archive:1", says),
        ),
    ];
    for (kind, path) in &sources {
        let imported = host.monopod(&["image", "import", path.to_str().unwrap()]);
        let stdout = String::from_utf8_lossy(&imported.stdout);
        assert!(imported.status.success(), "{kind}: {imported:?}");
        assert!(
            stdout.starts_with("Imported ") && stdout.contains(&format!("from-{kind}:1")),
            "{stdout}"
        );
    }
    let listed = host.monopod(&["image", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed:#}");

    for (kind, _) in &sources {
        let id = format!("/{kind}");
        let mut container = pods::probe_container("c", "");
        container["image"]["id"] = json!(format!("from-{kind}:1"));
        container.as_object_mut().unwrap().remove("exec");
        host.launch(&pods::pod(&id, &[container]));
        // The image's command, directory and environment.
        let report = host.report(&id, "c");
        assert_eq!(report["cwd"], "/data");
        assert!(
            report["env"].to_string().contains("FROM_IMAGE=yes"),
            "{report}"
        );
    }
}

#[test]
fn what_is_no_image_is_refused() {
    needs_root!();
    let host = Host::start();
    let file = host.directory().join("text");
    std::fs::write(&file, "no image").unwrap();
    for path in [file.to_str().unwrap(), "/nonexistent", "relative"] {
        let answer = host.request("POST", "/v2/images", Some(&json!({"path": path})));
        assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
    }
    let listed = host.request("GET", "/v2/images", None).json();
    assert_eq!(listed["images"], json!([]));
}
