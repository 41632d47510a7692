//! What can a test choose when it starts a victim? The command line.

use std::time::Duration;

use clap::Parser;
use keystep::{Limits, WorkerOptions};
use keystep_postgres::PostgresOptions;

/// A small service for tests: commands in on standard input, events out on standard output.
#[derive(Debug, Parser)]
pub struct Args {
    /// The store: `sqlite:PATH` or `postgres:…`.
    #[arg(long)]
    pub(crate) url: String,
    /// The PostgreSQL schema of the store's tables.
    #[arg(long, default_value = "keystep")]
    pub(crate) schema: String,
    /// Bring the tables to the newest format first.
    #[arg(long)]
    pub(crate) migrate: bool,
    /// Where attempts are noted; nowhere by default.
    #[arg(long)]
    pub(crate) notebook: Option<String>,
    /// Which binary of a deploy to be.
    #[arg(long, value_enum, default_value = "old")]
    pub(crate) release: Release,
    /// Be killed when the thread that started this process ends, also while this process is stopped.
    #[arg(long)]
    pub(crate) dies_with_starter: bool,
    /// Steps whose gates are closed from the start.
    #[arg(long = "gate")]
    pub(crate) gates: Vec<String>,
    /// What to log, as `tracing_subscriber` reads it.
    #[arg(long, default_value = "info")]
    pub(crate) log: String,

    #[arg(long)]
    beat_ms: Option<u64>,
    #[arg(long)]
    grace_ms: Option<u64>,
    #[arg(long)]
    beat_limit_ms: Option<u64>,
    #[arg(long)]
    unknown_shape_after_ms: Option<u64>,
    #[arg(long)]
    drain_ms: Option<u64>,
    #[arg(long)]
    reconnect_budget_ms: Option<u64>,
    #[arg(long)]
    sweep_ms: Option<u64>,
    #[arg(long)]
    purge_ms: Option<u64>,
    #[arg(long)]
    lost_owners: Option<u32>,

    #[arg(long)]
    lanes: Option<usize>,
    #[arg(long)]
    readers: Option<u32>,
    #[arg(long)]
    transactions: Option<u32>,
}

/// A binary of a deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Release {
    /// Knows the old shape.
    Old,
    /// Knows the old shape, and the new one, which has one more step.
    New,
}

impl Args {
    pub(crate) fn worker_options(&self) -> WorkerOptions {
        let mut options = WorkerOptions::default();
        let set = |option: &mut Duration, millis: Option<u64>| {
            if let Some(millis) = millis {
                *option = Duration::from_millis(millis);
            }
        };
        set(&mut options.beat, self.beat_ms);
        set(&mut options.grace, self.grace_ms);
        set(&mut options.beat_limit, self.beat_limit_ms);
        set(&mut options.unknown_shape_after, self.unknown_shape_after_ms);
        set(&mut options.drain, self.drain_ms);
        set(&mut options.reconnect_budget, self.reconnect_budget_ms);
        set(&mut options.sweep, self.sweep_ms);
        set(&mut options.purge, self.purge_ms);
        options
    }

    pub(crate) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.lost_owners = self.lost_owners.unwrap_or(limits.lost_owners);
        limits
    }

    pub(crate) fn postgres_options(&self) -> PostgresOptions {
        let mut options = PostgresOptions {
            schema: self.schema.clone(),
            ..PostgresOptions::default()
        };
        options.lanes = self.lanes.unwrap_or(options.lanes);
        options.readers = self.readers.unwrap_or(options.readers);
        options.transactions = self.transactions.unwrap_or(options.transactions);
        options
    }
}
