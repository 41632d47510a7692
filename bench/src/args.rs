//! What can be chosen for a run?

use std::num::NonZero;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};

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
    /// A setting of the private server, as `NAME=VALUE`; a later one wins. A slow disk is
    /// `commit_delay=1000` with `commit_siblings=0`.
    #[arg(long, value_parser = setting, conflicts_with = "database_url")]
    pub(crate) server_setting: Vec<(String, String)>,
    /// How many callers there are at the same time, where the workload does not say it.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    pub(crate) concurrency: Vec<usize>,
    /// How long each form is measured at each concurrency, warm-up not counted.
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// How many finished executions `backlog` has in its tables.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) rows: u64,
    /// Connections on which the PostgreSQL store writes; by default as many as it has by default.
    #[arg(long)]
    pub(crate) lanes: Option<usize>,
    /// Threads of the runtime; by default one for every second processor.
    #[arg(long)]
    pub(crate) runtime_threads: Option<NonZero<usize>>,
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
    /// 64 callers of one new key: in one process, and over three.
    Storm,
    /// A process is killed in step 3 of 5: how soon is another one in that step?
    Recovery,
    /// 10,000 executions that wait for a retry become due at the same moment; 10,000 that sleep become
    /// due within ten seconds.
    Sleepers,
    /// `order5` beside finished executions, and on empty tables.
    Backlog,
    /// `order5` while 100,000 expired executions are purged, and while nothing is.
    Purge,
    /// Steps of 5 ms, 10,000 executions in flight.
    Mixed,
}

/// On which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
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

/// Reads `NAME=VALUE`.
fn setting(text: &str) -> anyhow::Result<(String, String)> {
    let (name, value) = text.split_once('=').context("NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_server_are_read_in_their_order() {
        let line = "bench order5 --store postgres --server-setting commit_delay=1000 --server-setting a=b=c";
        let args = Args::try_parse_from(line.split(' ')).expect("a command line");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            args.server_setting,
            [pair("commit_delay", "1000"), pair("a", "b=c")]
        );
    }

    #[test]
    fn a_server_that_is_not_private_is_not_set_up() {
        let line = "bench order5 --store postgres --database-url postgres://there --server-setting a=b";
        assert!(Args::try_parse_from(line.split(' ')).is_err());
    }
}
