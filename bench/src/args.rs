//! What can be chosen for a run?

use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Runs a workload beside the limit of its database, and prints one line for each concurrency.
#[derive(Debug, Clone, Parser)]
pub(crate) struct Args {
    /// What is run.
    #[arg(value_enum)]
    pub(crate) workload: Workload,
    /// On which store.
    #[arg(long, value_enum)]
    pub(crate) store: Kind,
    /// A PostgreSQL server to use; by default a private one is started.
    #[arg(long)]
    pub(crate) database_url: Option<String>,
    /// How many callers there are at the same time.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    pub(crate) concurrency: Vec<usize>,
    /// How long each form is measured at each concurrency, warm-up not counted.
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// Print lines of JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Five durable steps of about 100 bytes, each execution with a key of its own.
    Order5,
    /// Calls of keys that are finished.
    Replay,
    /// The commits of `order5` without the engine, and what bounds them.
    Limit,
}

/// On which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A file in a temporary folder.
    Sqlite,
    /// A schema of its own on a server.
    Postgres,
    /// The memory of this process.
    Memory,
}

impl Args {
    /// In how many slices each form is measured; the forms alternate.
    pub(crate) const ROUNDS: u32 = 3;

    /// The length of one slice.
    pub(crate) fn slice(&self) -> Duration {
        Duration::from_secs(self.seconds) / Self::ROUNDS
    }
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Memory => "memory",
        }
    }
}
