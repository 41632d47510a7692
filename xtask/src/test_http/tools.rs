//! Where do newman and Schemathesis come from? From npm and PyPI, in the versions named here, into a
//! folder under `target`, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::postgres::install::{Advice, Machine, advice, apt_get_install};
use crate::run::{Runner, root};

/// The version of newman, of npm.
const NEWMAN: &str = "6.2.2";
/// The version of Schemathesis, of PyPI.
const SCHEMATHESIS: &str = "4.32.5";

/// The programs that play a client.
pub(super) struct Tools {
    pub(super) newman: PathBuf,
    pub(super) schemathesis: PathBuf,
}

impl Tools {
    pub(super) fn find_or_install(runner: &Runner) -> Result<Self> {
        let folder = root().join("target/tools");
        Ok(Self {
            newman: newman(runner, &folder)?,
            schemathesis: schemathesis(runner, &folder)?,
        })
    }
}

fn newman(runner: &Runner, folder: &Path) -> Result<PathBuf> {
    let home = folder.join(format!("newman-{NEWMAN}"));
    let program = home.join("node_modules/.bin/newman");
    needs("node", &["--version"], "nodejs")?;
    if !program.exists() {
        needs("npm", &["--version"], "npm")?;
        afresh(&home)?;
        let mut install = Command::new("npm");
        install
            .args(["install", "--no-audit", "--no-fund", "--no-save", "--prefix"])
            .arg(&home)
            .arg(format!("newman@{NEWMAN}"));
        let installed = runner.stage("install newman", &mut install)?;
        ensure!(installed.success(), "npm could not install newman {NEWMAN}");
    }
    Ok(program)
}

fn schemathesis(runner: &Runner, folder: &Path) -> Result<PathBuf> {
    let home = folder.join(format!("schemathesis-{SCHEMATHESIS}"));
    let program = home.join("bin/schemathesis");
    if !program.exists() {
        needs("python3", &["-m", "ensurepip", "--version"], "python3-venv")?;
        afresh(&home)?;
        let mut make = Command::new("python3");
        make.args(["-m", "venv"]).arg(&home);
        let made = runner.stage("make a place for Schemathesis", &mut make)?;
        ensure!(made.success(), "python3 could not make a virtual environment");
        let mut install = Command::new(home.join("bin/pip"));
        install
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .arg(format!("schemathesis=={SCHEMATHESIS}"));
        let installed = runner.stage("install Schemathesis", &mut install)?;
        ensure!(
            installed.success(),
            "pip could not install Schemathesis {SCHEMATHESIS}"
        );
    }
    Ok(program)
}

/// An empty folder: what an attempt left that did not come to its end is no help.
fn afresh(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))
}

/// Installs a Debian package when a program does not answer, or says what to install.
fn needs(program: &str, args: &[&str], package: &str) -> Result<()> {
    if answers(program, args) {
        return Ok(());
    }
    // Where PostgreSQL may be installed, this may be too.
    let machine = Machine {
        registered: None,
        ..Machine::here()
    };
    if advice(&machine) == Advice::Install {
        println!("==> {program}: not found, installing Debian's package {package}");
        apt_get_install(package)?;
        if answers(program, args) {
            return Ok(());
        }
    }
    bail!(
        "`{program} {}` does not run: install it (on Debian: sudo apt-get install {package})",
        args.join(" ")
    )
}

fn answers(program: &str, args: &[&str]) -> bool {
    let run = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    run.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_exist_does_not_answer() {
        assert!(answers("sh", &["-c", "exit 0"]));
        assert!(!answers("sh", &["-c", "exit 1"]));
        assert!(!answers("keystep-no-such-program", &[]));
    }

    #[test]
    fn what_a_broken_install_left_is_thrown_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().join("tool");
        fs::create_dir(&home).expect("makes");
        fs::write(home.join("half"), "x").expect("writes");
        afresh(&home).expect("makes anew");
        assert_eq!(fs::read_dir(&home).expect("reads").count(), 0);
    }
}
