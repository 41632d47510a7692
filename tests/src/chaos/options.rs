//! What can be chosen for a run of chaos?

use std::fmt;
use std::time::Duration;

use clap::Args;

use crate::place::Kind;

/// Kills, stops, cuts off and restarts processes at random while keys are called, and judges the
/// history of it.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which store.
    #[arg(long, value_enum)]
    pub store: Kind,
    /// A PostgreSQL server to use, on this machine's clock; by default one is started, which can
    /// then be restarted too.
    #[arg(long)]
    pub database_url: Option<String>,
    /// How long faults go on.
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
    /// Repeats the decisions of a run; by default another one for each run.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Print one line of JSON instead of a summary.
    #[arg(long)]
    pub json: bool,
}

impl Options {
    pub(super) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    pub(super) fn store_name(&self) -> &'static str {
        match self.store {
            Kind::Sqlite => "sqlite",
            Kind::Postgres => "postgres",
        }
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed.expect("a seed is drawn before a run")
    }

    /// The same with a seed, if there was none.
    #[must_use]
    pub fn with_a_seed(self) -> Self {
        Self {
            seed: self.seed.or_else(|| Some(u64::from(rand::random::<u32>()))),
            ..self
        }
    }
}

/// The command line that repeats the run.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = self.store_name();
        write!(
            f,
            "cargo run --release -p system-tests --bin chaos -- --store {store} --seconds {} --seed {}",
            self.seconds,
            self.seed()
        )?;
        match &self.database_url {
            Some(url) => write!(f, " --database-url '{url}'"),
            None => Ok(()),
        }
    }
}
