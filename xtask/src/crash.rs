//! Do the layers that kill and race hold, time after time? They run alone, against one private
//! server, as often as the user says, and stop at the first failure.

use std::process::ExitCode;

use anyhow::Result;

use crate::run::{Runner, cargo};
use crate::test::{beside_postgres, has_nextest, strings, told, without_nextest};

/// Test targets, in whichever package they are: processes killed at every point, sessions held in
/// every order, every call failing in turn.
const TARGETS: [&str; 6] = [
    "--test",
    "crash",
    "--test",
    "races",
    "--test",
    "engine_under_faults",
];

/// Runs them so many times; `args` go to nextest or `cargo test`.
///
/// # Errors
/// When there is no PostgreSQL (the text says what to install) or something can not be started.
/// Tests that fail are an exit code.
pub fn run(runner: &Runner, times: u32, args: &[String]) -> Result<ExitCode> {
    let stages = stages(has_nextest(), args);
    beside_postgres(runner, |server| {
        // What is measured afterwards are the tests alone.
        let build = strings(&[&["test", "--workspace", "--no-run"], &TARGETS[..]].concat());
        let mut rounds = vec![("build".to_owned(), build)];
        for round in 1..=times {
            let name = format!("crash {round} of {times}");
            rounds.extend(stages.iter().map(|stage| (name.clone(), stage.clone())));
        }
        let mut statuses = Vec::new();
        for (name, args) in rounds {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let status = runner.stage(&name, &mut told(cargo(&args), server))?;
            statuses.push(status);
            if runner.signal().is_some() || !status.success() {
                break;
            }
        }
        Ok(runner.exit_code(&statuses))
    })
}

/// What one round runs, one after the other.
fn stages(nextest: bool, args: &[String]) -> Vec<Vec<String>> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let chosen = [&TARGETS[..], &args].concat();
    if nextest {
        return vec![strings(
            &[&["nextest", "run", "--workspace"], &chosen[..]].concat(),
        )];
    }
    without_nextest(&chosen).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_the_three_layers_and_what_the_user_adds() {
        let line = |nextest| {
            let stages = stages(nextest, &["on_sqlite".to_owned()]);
            stages.iter().map(|stage| stage.join(" ")).collect::<Vec<_>>()
        };
        let chosen = "--test crash --test races --test engine_under_faults on_sqlite";
        assert_eq!(line(true), [format!("nextest run --workspace {chosen}")]);
        let common = format!("test --workspace --no-fail-fast {chosen} --");
        assert_eq!(
            line(false),
            [
                format!("{common} --skip alone_"),
                format!("{common} --test-threads=1 alone_")
            ]
        );
    }
}
