//! The repository says what is true of it.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect(path)
}

#[test]
fn the_architecture_names_every_crate_and_files_that_exist() {
    let page = read("docs/ARCHITECTURE.md");
    for entry in std::fs::read_dir(root().join("crates")).expect("crates") {
        let name = entry.expect("an entry").file_name();
        let row = format!("| `{}` |", name.to_string_lossy());
        assert!(
            page.contains(&row),
            "docs/ARCHITECTURE.md has no row for crate {name:?}"
        );
    }
    let paths = page
        .split('`')
        .filter(|text| text.starts_with("crates/") && text.ends_with(".rs"));
    let mut count = 0;
    for path in paths {
        assert!(
            root().join(path).is_file(),
            "docs/ARCHITECTURE.md names {path}"
        );
        count += 1;
    }
    assert_eq!(count, 5, "five files follow a pod");
    assert!(page.lines().count() < 300);
}

#[test]
fn every_target_of_the_makefile_that_is_told_about_exists() {
    let makefile = read("Makefile");
    for page in ["README.md", "CONTRIBUTING.md", "docs/ARCHITECTURE.md"] {
        let text = read(page);
        for (index, _) in text.match_indices("make ") {
            let word = text[index + 5..]
                .split(|c: char| !c.is_ascii_lowercase() && c != '-')
                .next();
            let word = word.unwrap_or_default();
            let marked = text[..index].ends_with('`') || text[..index].ends_with("    ");
            assert!(
                !marked || makefile.contains(&format!("\n{word}:")),
                "{page} tells of `make {word}`"
            );
        }
    }
}
