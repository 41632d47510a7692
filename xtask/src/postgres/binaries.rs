//! Where are PostgreSQL's server programs? In the folder the user names, else on the path, else
//! where Debian puts them (its packages keep them off the path).

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The variable that names the folder of the server's programs, before all other places.
pub const VARIABLE: &str = "KEYSTEP_PG_BIN";

/// What a server needs: make a cluster, run it, start and stop it.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_ctl"];

/// A folder that holds all programs of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    bin: PathBuf,
    version: String,
}

impl Binaries {
    /// Asks the server in this folder for its version.
    ///
    /// # Errors
    /// When it can not be run.
    pub fn at(bin: PathBuf) -> Result<Self> {
        let server = bin.join("postgres");
        let output = Command::new(&server)
            .arg("--version")
            .output()
            .with_context(|| format!("could not run {}", server.display()))?;
        let version = version(&String::from_utf8_lossy(&output.stdout));
        Ok(Self { bin, version })
    }

    /// The folder.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// The version as the server calls itself.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether `pg_stat_statements` is installed, which some builds leave out.
    pub fn has_statistics(&self) -> bool {
        let near = ["lib", "lib/postgresql", "lib/pgsql", "lib64/pgsql"];
        near.iter().any(|folder| {
            let library = self.bin.join("..").join(folder).join("pg_stat_statements");
            library.with_extension("so").exists() || library.with_extension("dylib").exists()
        })
    }
}

/// The places to look in, in this order.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// A variable's name and the folder it holds.
    pub named: Option<(&'static str, PathBuf)>,
    /// The search path.
    pub path: OsString,
    /// A folder with one subfolder for each version.
    pub versions: PathBuf,
}

impl Places {
    /// The places of this machine.
    pub fn here() -> Self {
        let named = [VARIABLE, "PG_BIN"]
            .into_iter()
            .find_map(|name| Some((name, PathBuf::from(std::env::var_os(name)?))));
        Self {
            named,
            path: std::env::var_os("PATH").unwrap_or_default(),
            versions: PathBuf::from("/usr/lib/postgresql"),
        }
    }
}

/// The folder of the server's programs, if one of the places has them all.
///
/// # Errors
/// When the user names a folder that does not have them: nothing else is tried then.
pub fn find(places: &Places) -> Result<Option<PathBuf>> {
    if let Some((variable, bin)) = &places.named {
        if let Some(program) = missing(bin) {
            bail!("{variable} is {}, but there is no {program}", bin.display());
        }
        return Ok(Some(bin.clone()));
    }
    let on_path = std::env::split_paths(&places.path).flat_map(|folder| {
        // A link on the path may stand for the folder that has the other programs too.
        let linked = fs::canonicalize(folder.join("pg_ctl")).ok();
        let real = linked.and_then(|file| Some(file.parent()?.to_path_buf()));
        real.into_iter().chain([folder])
    });
    Ok(on_path
        .chain(newest_first(&places.versions))
        .find(|bin| missing(bin).is_none()))
}

fn missing(bin: &Path) -> Option<&'static str> {
    PROGRAMS.into_iter().find(|name| !bin.join(name).is_file())
}

/// `15/bin`, `9.6/bin`, …: the folders whose names are versions, the newest first.
fn newest_first(versions: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(versions).into_iter().flatten().flatten();
    let mut found: Vec<(Vec<u32>, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let numbers: Result<Vec<u32>, _> = name.split('.').map(str::parse).collect();
            Some((numbers.ok()?, entry.path().join("bin")))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_version, bin)| bin).collect()
}

/// `PostgreSQL 15.18` out of `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn version(line: &str) -> String {
    let number = line.split(')').nth(1).and_then(|rest| {
        let mut words = rest.split_whitespace();
        words.next()
    });
    format!("PostgreSQL {}", number.unwrap_or("of unknown version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with files of these names, in a temporary tree.
    fn folder(root: &Path, at: &str, programs: &[&str]) -> PathBuf {
        let bin = root.join(at);
        fs::create_dir_all(&bin).expect("a folder");
        for program in programs {
            fs::write(bin.join(program), "").expect("a file");
        }
        bin
    }

    fn tree() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    #[test]
    fn a_folder_that_the_user_names_comes_first_and_must_be_complete() {
        let tree = tree();
        let bin = folder(tree.path(), "mine", &PROGRAMS);
        let other = folder(tree.path(), "path", &PROGRAMS);
        let mut places = Places {
            named: Some((VARIABLE, bin.clone())),
            path: other.into_os_string(),
            ..Places::default()
        };
        assert_eq!(find(&places).expect("complete"), Some(bin.clone()));

        fs::remove_file(bin.join("initdb")).expect("removed");
        let error = find(&places).expect_err("incomplete").to_string();
        assert!(error.contains(VARIABLE) && error.contains("no initdb"), "{error}");

        places.named = Some(("PG_BIN", tree.path().join("nowhere")));
        assert!(find(&places).is_err_and(|error| error.to_string().contains("PG_BIN")));
    }

    #[test]
    fn a_link_on_the_path_leads_to_the_folder_with_the_programs() {
        let tree = tree();
        let real = folder(tree.path(), "lib/15/bin", &PROGRAMS);
        let links = folder(tree.path(), "bin", &[]);
        std::os::unix::fs::symlink(real.join("pg_ctl"), links.join("pg_ctl")).expect("a link");
        let client_only = folder(tree.path(), "client", &["psql"]);
        let places = Places {
            path: std::env::join_paths([client_only, links]).expect("a path"),
            ..Places::default()
        };
        let real = fs::canonicalize(real).expect("the folder");
        assert_eq!(find(&places).expect("found"), Some(real));
    }

    #[test]
    fn of_debians_versions_the_newest_complete_one_is_taken() {
        let tree = tree();
        folder(tree.path(), "9.6/bin", &PROGRAMS);
        let expected = folder(tree.path(), "15/bin", &PROGRAMS);
        folder(tree.path(), "17/bin", &["psql"]);
        folder(tree.path(), "old/bin", &PROGRAMS);
        let places = Places {
            versions: tree.path().to_path_buf(),
            ..Places::default()
        };
        assert_eq!(find(&places).expect("found"), Some(expected));
    }

    #[test]
    fn a_machine_without_postgresql_has_none() {
        let tree = tree();
        let places = Places {
            path: folder(tree.path(), "bin", &["ls"]).into_os_string(),
            versions: tree.path().join("nowhere"),
            ..Places::default()
        };
        assert_eq!(find(&places).expect("no mistake"), None);
    }

    #[test]
    fn the_version_is_cut_from_the_servers_line() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(version(debian), "PostgreSQL 15.18");
        assert_eq!(version("postgres (PostgreSQL) 18beta1\n"), "PostgreSQL 18beta1");
        assert_eq!(version("?"), "PostgreSQL of unknown version");
    }
}
