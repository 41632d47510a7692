//! Who is killed in the tests? A small service: one store, one engine, commands on standard input.
//!
//! It only ever calls `run`; that makes it a worker too. What it logs goes to standard error.

mod args;
mod golden;
mod releases;
mod service;
mod steps;
mod voice;

use std::process::ExitCode;

use clap::Parser;
use keystep_postgres::PostgresStore;
use keystep_sqlite::SqliteStore;
use system_tests::protocol::Event;

use args::Args;
use voice::Voice;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_env_filter(&args.log)
        .init();
    let voice = Voice;
    match serve(&args, voice).await {
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
    if args.url.starts_with("postgres:") {
        let store = PostgresStore::connect_with(&args.url, args.postgres_options()).await?;
        if args.migrate {
            store.migrate().await?;
        }
        service::serve(store, args, voice).await
    } else {
        if args.migrate {
            SqliteStore::migrate(args.url.as_str()).await?;
        }
        let store = SqliteStore::connect(args.url.as_str()).await?;
        service::serve(store, args, voice).await
    }
}
