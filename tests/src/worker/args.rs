//! What can a test choose when it starts a victim? The command line.

use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use keystep::{Limits, WorkerOptions};
use keystep_postgres::PostgresOptions;
use keystep_sqlite::SqliteOptions;

use crate::protocol::Side;
use crate::releases::Release;

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
    /// Only this schema is known: fewer plans to save at the start.
    #[arg(long)]
    pub(crate) only: Option<String>,
    /// Where to stand still: `before:3` (the store is not called for the third time),
    /// `after:3` (the answer is not heard), on SQLite `written:3` and `durable:3` (before and after
    /// the third COMMIT), or `inside:3` (at the third gate of a step that it comes to). Only calls
    /// that write or carry an execution on are counted. Around a COMMIT it stands still for good,
    /// elsewhere until it is released.
    #[arg(long)]
    pub(crate) halt: Option<Halt>,
    /// The answer to this commit, counted from 1, is lost.
    #[arg(long)]
    pub(crate) lose_commit: Option<u64>,
    /// Show no beat after the first registration and look at nobody, until it is told to: what is
    /// written is the story.
    #[arg(long)]
    pub(crate) silent: bool,
    /// What to log, as `tracing_subscriber` reads it.
    #[arg(long, default_value = "info")]
    pub(crate) log: String,

    /// Deliver the messages of the outbox to the post in the notebook, and take so long for each.
    #[arg(long)]
    pub(crate) relay_ms: Option<u64>,

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
    in_flight: Option<usize>,
    #[arg(long)]
    reconnect_budget_ms: Option<u64>,
    #[arg(long)]
    sweep_ms: Option<u64>,
    #[arg(long)]
    purge_ms: Option<u64>,
    #[arg(long)]
    lost_owners: Option<u32>,

    /// The store keeps no state in its sessions: for a transaction pooler.
    #[arg(long)]
    pooled: bool,
    #[arg(long)]
    connect_timeout_ms: Option<u64>,
    #[arg(long)]
    deadline_ms: Option<u64>,
    #[arg(long)]
    busy_timeout_ms: Option<u64>,
    #[arg(long)]
    lanes: Option<usize>,
    #[arg(long)]
    readers: Option<u32>,
    #[arg(long)]
    transactions: Option<u32>,
}

/// The n-th time that something comes to a side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Halt {
    pub(crate) side: Side,
    pub(crate) nth: u64,
}

impl FromStr for Halt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (side, nth) = text.split_once(':').ok_or("a side, a colon, a number")?;
        let side = match side {
            "before" => Side::Before,
            "after" => Side::After,
            "written" => Side::Written,
            "durable" => Side::Durable,
            "inside" => Side::Inside,
            other => return Err(format!("there is no side {other:?}")),
        };
        let nth = nth.parse().map_err(|_no_number| "not a number")?;
        Ok(Self { side, nth })
    }
}

impl Args {
    pub(crate) fn worker_options(&self) -> WorkerOptions {
        let mut options = WorkerOptions::default();
        set(&mut options.beat, self.beat_ms);
        set(&mut options.grace, self.grace_ms);
        set(&mut options.beat_limit, self.beat_limit_ms);
        set(&mut options.unknown_shape_after, self.unknown_shape_after_ms);
        set(&mut options.drain, self.drain_ms);
        options.in_flight = self.in_flight.unwrap_or(options.in_flight);
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
        options.liveness = !self.pooled;
        set(&mut options.connect_timeout, self.connect_timeout_ms);
        set(&mut options.deadline, self.deadline_ms);
        options
    }

    pub(crate) fn sqlite_options(&self) -> SqliteOptions {
        let options = SqliteOptions::new(&self.url);
        match self.busy_timeout_ms {
            Some(millis) => options.busy_timeout(Duration::from_millis(millis)),
            None => options,
        }
    }
}

fn set(option: &mut Duration, millis: Option<u64>) {
    if let Some(millis) = millis {
        *option = Duration::from_millis(millis);
    }
}
