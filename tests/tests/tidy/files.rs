//! Which files are checked? All text files of the project, as (path from the root, text).

use std::fs;
use std::path::Path;

/// A text file of the project.
pub(crate) struct File {
    /// Its path from the root, with `/`.
    pub(crate) path: String,
    /// What is in it.
    pub(crate) text: String,
}

/// What people write; not what tools write (`Cargo.lock`).
const KINDS: [&str; 6] = ["rs", "sql", "toml", "md", "sh", "run"];

/// All text files, in the order of their paths.
pub(crate) fn all() -> Vec<File> {
    let mut paths = Vec::new();
    walk(xtask::run::root(), &mut paths);
    paths.sort();
    assert!(paths.len() > 20, "the walk found nothing: {paths:?}");
    paths
        .into_iter()
        .map(|path| File {
            text: read(&path),
            path,
        })
        .collect()
}

/// The text of one file.
pub(crate) fn read(path: &str) -> String {
    let bytes = bytes(path).unwrap_or_else(|| panic!("{path} can not be read"));
    String::from_utf8(bytes).unwrap_or_else(|_| panic!("{path} is not text"))
}

/// The content of one file; `None` when it is not there.
pub(crate) fn bytes(path: &str) -> Option<Vec<u8>> {
    fs::read(xtask::run::root().join(path)).ok()
}

/// Whether a program has this text in it.
pub(crate) fn holds(program: &Path, text: &str) -> bool {
    let bytes = fs::read(program).unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn walk(folder: &Path, paths: &mut Vec<String>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !["target", ".git"].contains(&name.as_ref()) {
                walk(&path, paths);
            }
        } else if KINDS.contains(&name.rsplit('.').next().unwrap_or_default()) {
            let inside = path.strip_prefix(xtask::run::root()).expect("below the root");
            paths.push(inside.to_string_lossy().into_owned());
        }
    }
}
