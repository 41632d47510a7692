//! What must pass before a change lands? Format, lints, documentation, the bugs that tests must find,
//! then every test.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use crate::mutants;
use crate::run::{Runner, cargo};
use crate::test;

/// Runs the stages one after the other and stops at the first that fails.
///
/// # Errors
/// When a stage can not be started at all; a stage that fails is an exit code.
pub fn run(runner: &Runner) -> Result<ExitCode> {
    let started = Instant::now();
    let stages = [
        ("format", cargo(&["fmt", "--all", "--check"])),
        ("clippy", cargo(&CLIPPY)),
        ("documentation", documentation()),
    ];
    for (name, mut command) in stages {
        let status = runner.stage(name, &mut command)?;
        if !status.success() || runner.signal().is_some() {
            return Ok(runner.exit_code(&[status]));
        }
    }
    // Before the tests, so that their summary is the last that is seen.
    let found = mutants::run(runner, &[])?;
    if found != ExitCode::SUCCESS {
        return Ok(found);
    }
    let code = test::run(runner, &[])?;
    println!("==> ci: {:.1} s in all", started.elapsed().as_secs_f64());
    Ok(code)
}

const CLIPPY: [&str; 6] = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];

fn documentation() -> std::process::Command {
    let mut command = cargo(&["doc", "--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    command
}
