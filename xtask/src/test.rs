//! How is every test run exactly once? A private server, then the examples in the documentation,
//! then nextest (or `cargo test`).
//!
//! Tests that measure time or kill processes carry `alone_` at the start of their name, or of the
//! name of the module they are in: they run while nothing else does. Nextest learns that from
//! `.config/nextest.toml`; `cargo test` runs in two passes.

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::Result;

use crate::postgres::{Cluster, Options, binaries};
use crate::run::{Runner, cargo};

/// Where tests find the private server.
pub const URL_VARIABLE: &str = "KEYSTEP_TEST_POSTGRES_URL";

/// Runs the tests: all of them and the documentation's, or those that `filter` chooses.
///
/// # Errors
/// When there is no PostgreSQL (the text says what to install) or something can not be started.
/// Tests that fail are an exit code.
pub fn run(runner: &Runner, filter: &[String]) -> Result<ExitCode> {
    let filter: Vec<&str> = filter.iter().map(String::as_str).collect();
    let nextest = has_nextest();
    beside_postgres(runner, |server| {
        // System tests start the project's own programs, whichever package they belong to.
        let mut stages = vec![("build", strings(&["build", "--workspace", "--bins"]))];
        // First, so that the summary of the tests is the last that is seen.
        if filter.is_empty() {
            stages.push(("doctests", strings(&["test", "--workspace", "--doc"])));
        }
        match (nextest, filter.as_slice()) {
            (true, []) => stages.push(("tests", strings(&["nextest", "run", "--workspace"]))),
            (true, filter) => stages.push(("tests", strings(&[&["nextest", "run"], filter].concat()))),
            (false, []) => stages.extend(without_nextest(&EVERY_TARGET).map(|args| ("tests", args))),
            (false, filter) => stages.push(("tests", strings(&[&["test"], filter].concat()))),
        }
        let mut statuses = Vec::new();
        for (name, args) in stages {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let status = runner.stage(name, &mut told(cargo(&args), server))?;
            statuses.push(status);
            if runner.signal().is_some() || (name == "build" && !status.success()) {
                break;
            }
        }
        Ok(runner.exit_code(&statuses))
    })
}

/// Runs a command beside a private server, or without a command waits for a signal.
///
/// # Errors
/// As [`run`].
pub fn with_postgres(runner: &Runner, command: &[String]) -> Result<ExitCode> {
    beside_postgres(runner, |server| match command {
        [] => {
            println!("{URL_VARIABLE}={}", server.url());
            runner.wait_for_signal();
            Ok(runner.exit_code(&[]))
        }
        [program, args @ ..] => {
            let mut command = Command::new(program);
            command.args(args);
            Ok(runner.exit_code(&[runner.run(&mut told(command, server))?]))
        }
    })
}

/// Starts the server, does the work, and stops the server whatever came of the work.
pub(crate) fn beside_postgres(
    runner: &Runner,
    work: impl FnOnce(&Cluster) -> Result<ExitCode>,
) -> Result<ExitCode> {
    let started = Instant::now();
    let server = Cluster::start(Options::default())?;
    println!(
        "==> postgres: {} of {} on port {}, ready in {:.1} s",
        server.version(),
        server.bin().display(),
        server.port(),
        started.elapsed().as_secs_f64()
    );
    if runner.signal().is_some() {
        return Ok(runner.exit_code(&[]));
    }
    work(&server)
}

/// Tells a program where the server is.
pub(crate) fn told(mut command: Command, server: &Cluster) -> Command {
    command
        .env(URL_VARIABLE, server.url())
        .env(binaries::VARIABLE, server.bin());
    command
}

pub(crate) fn has_nextest() -> bool {
    cargo(&["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// All tests but those of the documentation.
const EVERY_TARGET: [&str; 3] = ["--lib", "--bins", "--tests"];

/// What `cargo test` must be told so that each test of these targets of the workspace runs once, and
/// those that must run alone do. It runs one test program after the other, so one thread is alone.
pub(crate) fn without_nextest(targets: &[&str]) -> [Vec<String>; 2] {
    let common = [&["test", "--workspace", "--no-fail-fast"], targets, &["--"]].concat();
    [["--skip", "alone_"], ["--test-threads=1", "alone_"]]
        .map(|which| strings(&[&common[..], &which].concat()))
}

pub(crate) fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| String::from(*word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_nextest_each_test_runs_once_and_the_lonely_ones_alone() {
        let [others, alone] = without_nextest(&EVERY_TARGET).map(|args| args.join(" "));
        let (targets, which) = others.split_once(" -- ").expect("arguments of the tests");
        assert_eq!(which, "--skip alone_");
        assert_eq!(alone, format!("{targets} -- --test-threads=1 alone_"));
    }
}
