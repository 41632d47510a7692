//! Who is killed in the tests? A small service: one store, one engine, commands on standard input.
//!
//! It only ever calls `run`; that makes it a worker too. What it logs goes to standard error. It is
//! in the library, so that each program that starts victims can be one.

mod args;
mod golden;
mod halt;
mod kinds;
mod releases;
mod service;
mod steps;
mod voice;

use std::process::ExitCode;

use keystep_postgres::PostgresStore;
use keystep_sqlite::SqliteStore;
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::protocol::Event;
use halt::Script;

pub use args::Args;
use voice::Voice;

/// Serves in this process until standard input ends, or says to.
///
/// # Panics
/// When there is no runtime to be had, or something logs already.
pub fn main(args: &Args) -> ExitCode {
    if args.dies_with_starter {
        set_parent_process_death_signal(Some(Signal::KILL)).expect("Linux");
    }
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_env_filter(&args.log)
        .init();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let voice = Voice;
    match runtime.block_on(serve(args, voice)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What an operator sees, and what a log gets.
            tracing::error!(%error, "the service did not start");
            voice.say(&Event::Refused {
                error: error.to_string(),
            });
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: &Args, voice: Voice) -> anyhow::Result<()> {
    let script = Script::new(args, voice);
    if args.url.starts_with("postgres:") {
        let store = PostgresStore::connect_with(&args.url, args.postgres_options()).await?;
        if args.migrate {
            store.migrate().await?;
        }
        service::serve(store, script, args, voice).await
    } else {
        if args.migrate {
            SqliteStore::migrate(args.url.as_str()).await?;
        }
        let store = SqliteStore::connect(script.watching(args.sqlite_options())).await?;
        service::serve(store, script, args, voice).await
    }
}
