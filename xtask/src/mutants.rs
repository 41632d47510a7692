//! Do the tests bite? Each bug of the protocol is planted in turn, and the one test that is made for
//! it must fail by its own complaint; without the bug it must pass.
//!
//! The bugs are switches of builds with the feature `planted` (`crates/engine/src/bugs.rs`). The test
//! programs are built with it once, and run directly: which bug is planted they read from the
//! environment.

mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::postgres::Cluster;
use crate::run::{Runner, cargo, root};
use crate::test::{beside_postgres, told};

pub use table::{Directed, MUTANTS, Mutant, UNITS};

/// Names the planted bug to the program that has it, which can not ask here for this name.
pub const VARIABLE: &str = "KEYSTEP_PLANT";

/// A test that takes longer has no bound of its own, and finds nothing.
const LIMIT: Duration = Duration::from_secs(120);

/// Plants the named bugs, or all, and shows what finds them.
///
/// # Errors
/// When a name is no bug's, there is no PostgreSQL, or something can not be started. A bug that
/// survives is an exit code.
pub fn run(runner: &Runner, names: &[String]) -> Result<ExitCode> {
    let mutants = chosen(names)?;
    beside_postgres(runner, |server| {
        let Some(programs) = Programs::build(runner, &mutants)? else {
            return Ok(ExitCode::FAILURE);
        };
        let mut killed = 0;
        for mutant in &mutants {
            if runner.signal().is_some() {
                return Ok(runner.exit_code(&[]));
            }
            killed += usize::from(is_killed(runner, server, &programs, mutant)?);
        }
        println!("==> {killed} of {} killed", mutants.len());
        let all = killed == mutants.len();
        Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// The bugs with these names, all without names.
fn chosen(names: &[String]) -> Result<Vec<&'static Mutant>> {
    if let Some(unknown) = names
        .iter()
        .find(|name| !MUTANTS.iter().any(|mutant| mutant.bug == **name))
    {
        let known: Vec<&str> = MUTANTS.iter().map(|mutant| mutant.bug).collect();
        bail!("there is no bug {unknown:?}; there are {}", known.join(", "));
    }
    let is_chosen = |mutant: &&Mutant| names.is_empty() || names.iter().any(|name| name == mutant.bug);
    Ok(MUTANTS.iter().filter(is_chosen).collect())
}

/// Tries all tests of a bug, and prints a line for each.
fn is_killed(runner: &Runner, server: &Cluster, programs: &Programs, mutant: &Mutant) -> Result<bool> {
    let mut all = true;
    for test in mutant.tests {
        let without = attempt(runner, server, programs, test, None)?;
        let with = attempt(runner, server, programs, test, Some(mutant.bug))?;
        let survives = if let Err(why) = passed(&without) {
            Err((why, without))
        } else if let Err(why) = found(&with, test.says) {
            Err((why, with))
        } else {
            Ok((without, with))
        };
        let Directed {
            package,
            target,
            name,
            ..
        } = test;
        match survives {
            Ok((without, with)) => println!(
                "==> {}: killed by {package} {target} {name} in {:.1} s ({:.1} s without it)",
                mutant.bug,
                with.took.as_secs_f64(),
                without.took.as_secs_f64()
            ),
            Err((why, run)) => {
                all = false;
                println!(
                    "{}\n==> {}: survived {package} {target} {name}: {why}",
                    run.said, mutant.bug
                );
            }
        }
    }
    Ok(all)
}

/// What a test program said.
struct Run {
    success: bool,
    said: String,
    took: Duration,
}

fn attempt(
    runner: &Runner,
    server: &Cluster,
    programs: &Programs,
    test: &Directed,
    bug: Option<&str>,
) -> Result<Run> {
    let mut command = told(Command::new(programs.of(test)?), server);
    command
        .args(["--exact", test.name])
        .current_dir(root().join(test.package))
        .env("RUST_BACKTRACE", "0")
        .env_remove(VARIABLE);
    if let Some(bug) = bug {
        command.env(VARIABLE, bug);
    }
    let said = tempfile::NamedTempFile::new().context("no temporary file")?;
    let output = said.reopen()?;
    command.stdout(output.try_clone()?).stderr(output);
    let started = Instant::now();
    let status = runner.run_within(LIMIT, &mut command)?;
    Ok(Run {
        success: status.success(),
        said: String::from_utf8_lossy(&fs::read(said.path())?).into_owned(),
        took: started.elapsed(),
    })
}

/// Whether the test ran and passed; otherwise why not.
fn passed(run: &Run) -> Result<(), &'static str> {
    if !run.success {
        return Err("it fails also without the bug");
    }
    if !run.said.contains("test result: ok. 1 passed") {
        return Err("there is no such test");
    }
    Ok(())
}

/// Whether the test failed by its own complaint; otherwise what else happened.
fn found(run: &Run, says: &str) -> Result<(), &'static str> {
    if run.success {
        return Err("it passes with the bug");
    }
    if !run.said.contains("test result: FAILED. 0 passed; 1 failed") {
        return Err("it did not come to an end of its own");
    }
    if !run.said.contains("panicked at") || !run.said.contains(says) {
        return Err("it fails, but by another complaint than it is made for");
    }
    Ok(())
}

/// The test programs, built with the bugs in them.
struct Programs {
    /// What cargo says of each artifact, one line of JSON.
    artifacts: String,
}

impl Programs {
    /// Builds what the tests of these bugs are in; `None` when that fails.
    fn build(runner: &Runner, mutants: &[&Mutant]) -> Result<Option<Self>> {
        // Of the whole workspace, because that is what the dependencies have been built for.
        let mut args = vec!["test", "--no-run", "--workspace", "--features", "planted"];
        args.push("--message-format=json-render-diagnostics");
        let mut targets: Vec<&str> = mutants
            .iter()
            .flat_map(|mutant| mutant.tests)
            .map(|test| test.target)
            .collect();
        targets.sort_unstable();
        targets.dedup();
        for target in targets {
            match target {
                UNITS => args.push("--lib"),
                target => args.extend(["--test", target]),
            }
        }
        let artifacts = tempfile::NamedTempFile::new().context("no temporary file")?;
        let mut command = cargo(&args);
        command.stdout(artifacts.reopen()?);
        if !runner.stage("build", &mut command)?.success() {
            return Ok(None);
        }
        let artifacts = fs::read_to_string(artifacts.path())?;
        Ok(Some(Self { artifacts }))
    }

    fn of(&self, test: &Directed) -> Result<PathBuf> {
        let folder = root().join(test.package);
        self.artifacts
            .lines()
            .find_map(|line| executable(line, &folder, test.target))
            .with_context(|| format!("{} has no test program {}", test.package, test.target))
    }
}

/// The program in a line of cargo's, if it is this one. The few words that are needed are cut out by
/// hand: no parser is worth its build time here.
fn executable(line: &str, folder: &Path, target: &str) -> Option<PathBuf> {
    let manifest = format!("\"manifest_path\":\"{}\"", folder.join("Cargo.toml").display());
    let kind = match target {
        UNITS => String::from("\"kind\":[\"lib\"]"),
        target => format!("\"kind\":[\"test\"],\"crate_types\":[\"bin\"],\"name\":\"{target}\""),
    };
    let (_, rest) = line.split_once("\"executable\":\"")?;
    let (path, _) = rest.split_once('"')?;
    (line.contains(&manifest) && line.contains(&kind)).then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(success: bool, said: &str) -> Run {
        Run {
            success,
            said: said.to_owned(),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn only_a_test_that_ran_and_failed_by_its_own_complaint_has_found_a_bug() {
        let failed = "panicked at a.rs: two effects\ntest result: FAILED. 0 passed; 1 failed";
        assert_eq!(found(&run(false, failed), "two effects"), Ok(()));
        for (success, said) in [
            (true, "test result: ok. 1 passed"),
            (
                false,
                "panicked at a.rs: no server\ntest result: FAILED. 0 passed; 1 failed",
            ),
            (false, "two effects"),
            (false, ""),
        ] {
            assert!(found(&run(success, said), "two effects").is_err(), "{said}");
        }
    }

    #[test]
    fn a_test_that_does_not_exist_has_not_passed() {
        assert_eq!(passed(&run(true, "test result: ok. 1 passed; 0 failed")), Ok(()));
        assert!(passed(&run(true, "test result: ok. 0 passed; 0 failed")).is_err());
        assert!(passed(&run(false, "test result: FAILED. 0 passed; 1 failed")).is_err());
    }

    #[test]
    fn a_test_program_is_told_from_those_of_other_packages_and_targets() {
        let line = "{\"reason\":\"compiler-artifact\",\"manifest_path\":\"/a/Cargo.toml\",\"target\":\
                    {\"kind\":[\"test\"],\"crate_types\":[\"bin\"],\"name\":\"races\"},\
                    \"executable\":\"/target/races-1\",\"fresh\":true}";
        let program = |folder, target| executable(line, Path::new(folder), target);
        assert_eq!(program("/a", "races"), Some(PathBuf::from("/target/races-1")));
        for (folder, target) in [("/b", "races"), ("/a", "race"), ("/a", UNITS)] {
            assert_eq!(program(folder, target), None, "{folder} {target}");
        }
    }

    #[test]
    fn an_unknown_bug_is_named() {
        let error = chosen(&[String::from("no-such-bug")]).expect_err("it is unknown");
        assert!(error.to_string().contains("no-such-bug"), "{error}");
    }
}
