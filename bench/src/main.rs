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

use std::num::NonZero;
use std::process::ExitCode;
use std::thread::available_parallelism;

use clap::Parser;
use mimalloc::MiMalloc;

use args::Args;

/// As a service would choose one: memory management is a good part of the process's time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let done = if std::env::args().nth(1).as_deref() == Some(other::NAME) {
        run(None, other::obey())
    } else {
        let args = Args::parse();
        run(args.runtime_threads, workloads::run(&args))
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs in a runtime of so many threads; by default one for every second processor, because the database
/// has the same machine.
fn run(
    threads: Option<NonZero<usize>>,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let threads = match threads {
        Some(threads) => threads.get(),
        None => available_parallelism()?.get().div_ceil(2),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build();
    runtime?.block_on(work)
}
