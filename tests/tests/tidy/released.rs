//! Which files never change again? Migrations that have been released: a database somewhere has
//! run them, and will not run them again.
//!
//! The list has the form that `sha256sum` prints, so a release adds to it with
//! `sha256sum crates/*/migrations/….sql >> tests/tests/tidy/released-migrations.sha256`.

use sha2::{Digest, Sha256};

/// The list of released files.
pub(crate) const GOLDEN: &str = include_str!("released-migrations.sha256");

/// Released files that have changed or are gone.
pub(crate) fn breaches(golden: &str, read: impl Fn(&str) -> Option<Vec<u8>>) -> Vec<String> {
    let why = "it has been released: databases have run it. Write a new migration instead";
    golden
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .filter_map(|line| {
            let (hash, path) = line.split_once("  ")?;
            match read(path) {
                None => Some(format!("{path} is gone\n  {why}")),
                Some(bytes) if sha256(&bytes) != hash => Some(format!("{path} differs\n  {why}")),
                Some(_same) => None,
            }
        })
        .collect()
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_changed_or_missing_migration_is_seen() {
    // sha256sum of "abc"
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let golden = format!("# a comment\n\n{hash}  a.sql\n");
    assert!(breaches(&golden, |_path| Some(b"abc".to_vec())).is_empty());
    let changed = breaches(&golden, |_path| Some(b"abd".to_vec()));
    assert!(changed[0].starts_with("a.sql differs"), "{changed:?}");
    let gone = breaches(&golden, |_path| None);
    assert!(gone[0].starts_with("a.sql is gone"), "{gone:?}");
}
