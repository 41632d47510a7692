//! What can be chosen when a store is opened? Plain data with defaults.

use std::fmt;
use std::time::Duration;

use keystep::clock::Clock;
use keystep::lane::LaneLimits;
use keystep::store::StoreError;

/// How a [`PostgresStore`](crate::PostgresStore) works. The defaults suit a service of any size on
/// one database.
///
/// A handle opens up to `lanes + readers + transactions` connections and one more for liveness.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// The PostgreSQL schema that holds the tables: a lower-case letter or `_`, then at most 40
    /// lower-case letters, digits and `_`. `keystep` by default.
    pub schema: String,
    /// The clock whose offset is added to the database's time. Moved by tests only.
    pub clock: Clock,
    /// Connections that write, each with one batch at a time. Two keep a server busy while the
    /// next batch gathers; more make smaller batches and are seldom faster. With one, a lone write
    /// takes a little longer: its caller does not send it by itself.
    pub lanes: usize,
    /// The bounds of one batch and of the queue before the lanes.
    pub batch: LaneLimits,
    /// Connections that read, at most.
    pub readers: u32,
    /// Connections for the steps' own transactions, at most. Not used by
    /// [`from_pool`](crate::PostgresStore::from_pool), which takes them from the pool it is given.
    pub transactions: u32,
    /// How long opening a connection, or waiting for a free one, may take.
    pub connect_timeout: Duration,
    /// How long a statement may take before its connection is given up. The server is told to end
    /// it after four fifths of this.
    pub deadline: Duration,
    /// How long a write tries to get a row that somebody else holds.
    pub lock_patience: Duration,
    /// How often a beat also looks whether a newer program has changed the tables so that this one
    /// must stop.
    pub format_check: Duration,
    /// Whether the handle may keep state in its sessions: the advisory lock by which other
    /// processes see within milliseconds that this one died, and settings such as time-outs and
    /// pinned plans. `false` for a transaction pooler, where sessions are shared: then a death is
    /// noticed by its missing beats only, after the beat limit. The pooler must know prepared
    /// statements (PgBouncer 1.21 and newer do, with `max_prepared_statements`).
    pub liveness: bool,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            schema: "keystep".to_owned(),
            clock: Clock::new(),
            lanes: 2,
            batch: LaneLimits::default(),
            readers: 4,
            transactions: 8,
            connect_timeout: Duration::from_secs(2),
            deadline: Duration::from_secs(10),
            lock_patience: Duration::from_secs(5),
            format_check: Duration::from_secs(60),
            liveness: true,
        }
    }
}

/// The one identifier that enters SQL text.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SchemaName(String);

impl SchemaName {
    /// Checks a name against `^[a-z_][a-z0-9_]{0,40}$`.
    pub(crate) fn new(name: &str) -> Result<Self, StoreError> {
        let mut letters = name.bytes();
        let starts_well = letters
            .next()
            .is_some_and(|first| first == b'_' || first.is_ascii_lowercase());
        let goes_on_well =
            letters.all(|letter| letter == b'_' || letter.is_ascii_lowercase() || letter.is_ascii_digit());
        if starts_well && goes_on_well && name.len() <= 41 {
            Ok(Self(name.to_owned()))
        } else {
            Err(StoreError::Refused(format!(
                "{name:?} can not be the name of the tables' schema: it takes a lower-case letter \
                 or `_`, then at most 40 lower-case letters, digits and `_`"
            )))
        }
    }

    /// The name as it is, for comparing with the catalog.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// What turns a worker's id into the key of its advisory lock. Such locks belong to the whole
    /// database, so that equal ids of two schemas must not meet. FNV-1a, the same in every process.
    pub(crate) fn lock_space(&self) -> i64 {
        let hash = self.0.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        i64::from_ne_bytes(hash.to_ne_bytes())
    }

    /// The name as an identifier, also where it is a word of SQL.
    pub(crate) fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_space_of_a_schema_never_changes() {
        let name = SchemaName::new("keystep").expect("a name");
        assert_eq!(name.lock_space(), GOLDEN_LOCK_SPACE);
    }

    /// Processes of different versions must find each other's locks.
    const GOLDEN_LOCK_SPACE: i64 = -231_421_241_599_648_450;

    #[test]
    fn a_schema_name_can_not_carry_sql() {
        for good in ["keystep", "_", "a1_b", &"x".repeat(41), "order"] {
            assert!(SchemaName::new(good).is_ok(), "{good:?} is a name");
        }
        for bad in [
            "",
            "1a",
            "Keystep",
            "a b",
            "a\"b",
            "a;drop table x",
            "ä",
            "a-b",
            &"x".repeat(42),
        ] {
            assert!(SchemaName::new(bad).is_err(), "{bad:?} is not a name");
        }
    }
}
