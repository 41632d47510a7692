//! How fast is keystep on this machine, and how far is that from what the database itself can do?
//!
//! `cargo run --release -p bench -- order5 --store postgres --concurrency 1,16,64,256` runs a
//! workload and, alternating with it in the same minutes, the same commits without the engine. Each
//! line that it prints holds both figures and their ratio: absolute numbers belong to a machine, the
//! ratio is what can be compared.

mod args;
mod counters;
mod crowd;
mod fill;
mod ground;
mod limit;
mod line;
mod other;
mod process;
mod schema;
mod timing;
mod workloads;

use std::process::ExitCode;

use clap::Parser;

use args::Args;

fn main() -> ExitCode {
    let done = if std::env::args().nth(1).as_deref() == Some(other::NAME) {
        run(other::obey())
    } else {
        run(workloads::run(&Args::parse()))
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime?.block_on(work)
}
