//! Who is killed in the tests? A process of this program: a worker, and nothing else.

use std::process::ExitCode;

use clap::Parser;
use system_tests::worker::{Args, main as serve};

fn main() -> ExitCode {
    serve(&Args::parse())
}
