//! What must never happen while processes are killed, stopped, cut off and restarted at random? This
//! program makes it happen, judges the history of it, and ends with 1 when a promise was broken.
//!
//! Its processes are this program too, under another name: nothing else has to be built.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use system_tests::chaos::{Options, run};
use system_tests::victim::Launch;
use system_tests::worker;

#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(flatten)]
    options: Option<Options>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One of the processes.
    #[command(hide = true)]
    Worker(worker::Args),
}

fn main() -> ExitCode {
    let Arguments { options, command } = Arguments::parse();
    if let Some(Command::Worker(args)) = command {
        return worker::main(&args);
    }
    let options = options.expect("without a subcommand").with_a_seed();
    let program = std::env::current_exe().expect("this program's path");
    let worker = Launch::of(program.to_str().expect("a readable path")).subcommand("worker");
    eprintln!("{options}");
    let (verdict, _history) = run(&options, &worker);
    if options.json {
        println!("{}", serde_json::to_string(&verdict).expect("plain data"));
    } else {
        println!("{verdict}");
    }
    match verdict.is_good() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
