//! Can this version go on with what earlier ones stored? Histories that each version has written
//! are kept in `tests/golden`, and are loaded and replayed.
//!
//! A version's folder holds the rows of both stores after the same [`story`], and `outcomes.txt`:
//! how each execution stands, and what becomes of it. How to add one is in `CONTRIBUTING.md`.

mod form;
mod replay;
mod story;

use std::path::PathBuf;

use system_tests::place::{Kind, Place};

/// What a version has left behind.
struct Version {
    /// Its folder.
    folder: &'static str,
    /// The migrations that made its tables.
    sqlite: &'static [&'static str],
    postgres: &'static [&'static str],
}

/// The newest one is last: it is what this program writes.
const VERSIONS: [Version; 2] = [
    Version {
        folder: "v1",
        sqlite: &["crates/store-sqlite/migrations/0001_init.sql"],
        postgres: &["crates/store-postgres/migrations/0001_init.sql"],
    },
    Version {
        folder: "v2",
        sqlite: &[
            "crates/store-sqlite/migrations/0001_init.sql",
            "crates/store-sqlite/migrations/0002_vocabulary.sql",
        ],
        postgres: &[
            "crates/store-postgres/migrations/0001_init.sql",
            "crates/store-postgres/migrations/0002_vocabulary.sql",
        ],
    },
];

/// Name of a new folder: the tests write what they get there, and fail.
const WRITE: &str = "KEYSTEP_WRITE_GOLDEN";

impl Version {
    fn newest() -> &'static Self {
        &VERSIONS[VERSIONS.len() - 1]
    }

    fn rows_file(kind: Kind) -> &'static str {
        match kind {
            Kind::Sqlite => "sqlite.sql",
            Kind::Postgres => "postgres.sql",
        }
    }

    /// A store as this version left it.
    fn load(&self, kind: Kind) -> Place {
        let place = Place::empty(kind);
        let migrations = match kind {
            Kind::Sqlite => self.sqlite,
            Kind::Postgres => {
                place.load("CREATE SCHEMA {schema}");
                self.postgres
            }
        };
        for migration in migrations {
            place.load(&text(xtask::run::root().join(migration)));
        }
        place.load(&text(file(self.folder, Self::rows_file(kind))));
        place
    }
}

fn file(folder: &str, name: &str) -> PathBuf {
    let golden = xtask::run::root().join("tests/golden");
    golden.join(folder).join(name)
}

fn text(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Writes a new golden file if that is asked for.
///
/// # Panics
/// When it was: whoever asked is to look at it and commit it.
fn write_if_asked(name: &str, content: &str) {
    if let Ok(folder) = std::env::var(WRITE) {
        let path = file(&folder, name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, content).expect("written");
        panic!(
            "written: look at {} and run again without {WRITE}",
            path.display()
        );
    }
}
