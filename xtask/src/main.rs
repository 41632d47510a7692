//! `cargo xtask`: reads the verb, does it, and passes the exit code on.

use std::process::ExitCode;

use xtask::args::{self, Verb};
use xtask::run::Runner;
use xtask::{ci, crash, mutants, test, test_http};

fn main() -> ExitCode {
    let verb = match args::parse(std::env::args().skip(1)) {
        Ok(verb) => verb,
        Err(mistake) => {
            eprintln!("{mistake}\n\n{}", args::HELP);
            return ExitCode::from(2);
        }
    };
    let done = Runner::new().and_then(|runner| match verb {
        Verb::Help => {
            println!("{}", args::HELP);
            Ok(ExitCode::SUCCESS)
        }
        Verb::Test(filter) => test::run(&runner, &filter),
        Verb::Crash { times, args } => crash::run(&runner, times, &args),
        Verb::TestHttp => test_http::run(&runner),
        Verb::Ci => ci::run(&runner),
        Verb::Mutants(names) => mutants::run(&runner, &names),
        Verb::Postgres(command) => test::with_postgres(&runner, &command),
    });
    done.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
