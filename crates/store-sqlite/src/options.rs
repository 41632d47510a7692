//! Where is the database, and how is it used? The options of a store.

use std::path::{Path, PathBuf};
use std::time::Duration;

use keystep::clock::Clock;
use keystep::lane::LaneLimits;

use crate::moments::Moments;

/// Where the database is and how it is used. Made from a path or a URL:
///
/// ```
/// use keystep_sqlite::{SqliteOptions, Synchronous};
///
/// let plain = SqliteOptions::new("orders.db");
/// let url = SqliteOptions::new("sqlite:orders.db").synchronous(Synchronous::Normal);
/// # let _used = (plain, url);
/// ```
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    pub(crate) place: Place,
    pub(crate) clock: Clock,
    pub(crate) synchronous: Synchronous,
    pub(crate) busy_timeout: Duration,
    pub(crate) lane: LaneLimits,
    pub(crate) readers: usize,
    pub(crate) moments: Moments,
}

/// How safe an acknowledged write is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// It survives a crash of the process, of the system, and a loss of power.
    #[default]
    Full,
    /// It survives a crash of the process. A crash of the system or a loss of power may take back
    /// the last writes that were acknowledged, so that steps whose results were recorded run again.
    Normal,
}

/// How the database was named.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Path(PathBuf),
    Url(String),
}

impl SqliteOptions {
    /// Options with defaults for a path (`orders.db`) or a URL (`sqlite:orders.db`,
    /// `sqlite:///var/lib/orders.db`).
    pub fn new(path_or_url: impl AsRef<str>) -> Self {
        let text = path_or_url.as_ref();
        Self::at(if text.starts_with("sqlite:") {
            Place::Url(text.to_owned())
        } else {
            Place::Path(text.into())
        })
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            clock: Clock::new(),
            synchronous: Synchronous::default(),
            busy_timeout: Duration::from_secs(5),
            lane: LaneLimits::default(),
            readers: 4,
            moments: Moments::default(),
        }
    }

    /// The clock that the store asks for the time; tests share it with the engine and move it.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How safe an acknowledged write is; [`Synchronous::Full`] by default.
    #[must_use]
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// How long a write waits for another writer, of this process or another, before it answers
    /// that the store is unavailable; 5 seconds by default, at most a day.
    #[must_use]
    pub fn busy_timeout(mut self, wait: Duration) -> Self {
        self.busy_timeout = wait.min(Duration::from_secs(86_400));
        self
    }

    /// How many writes may share one commit, and how many may wait.
    #[must_use]
    pub fn lane(mut self, limits: LaneLimits) -> Self {
        self.lane = limits;
        self
    }

    /// How many connections read at the same time, at least 1; 4 by default. Each has a thread.
    #[must_use]
    pub fn readers(mut self, count: usize) -> Self {
        self.readers = count.max(1);
        self
    }

    /// Tells of each moment of each write, on a thread that the writer waits for: a test that never
    /// returns stops the writer there. Only with the feature `testing`.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn watching(mut self, watch: impl Fn(crate::Moment) + Send + Sync + 'static) -> Self {
        self.moments.watch = Some(std::sync::Arc::new(watch));
        self
    }
}

impl From<&str> for SqliteOptions {
    fn from(path_or_url: &str) -> Self {
        Self::new(path_or_url)
    }
}

impl From<String> for SqliteOptions {
    fn from(path_or_url: String) -> Self {
        Self::new(path_or_url)
    }
}

impl From<&String> for SqliteOptions {
    fn from(path_or_url: &String) -> Self {
        Self::new(path_or_url)
    }
}

impl From<&Path> for SqliteOptions {
    fn from(path: &Path) -> Self {
        Self::at(Place::Path(path.to_owned()))
    }
}

impl From<PathBuf> for SqliteOptions {
    fn from(path: PathBuf) -> Self {
        Self::at(Place::Path(path))
    }
}

impl From<&PathBuf> for SqliteOptions {
    fn from(path: &PathBuf) -> Self {
        Self::at(Place::Path(path.clone()))
    }
}
