//! How does keystep remember executions without a server? In an SQLite file beside the program.
//!
//! The embedded default: open a path and hand the store to an engine. Processes of one machine may
//! share the file; its tables begin with `keystep_`, so it can be the application's own database.
//!
//! ```no_run
//! # async fn example() -> Result<(), keystep::store::StoreError> {
//! let store = keystep_sqlite::SqliteStore::open("orders.db").await?;
//! # let _store = store;
//! # Ok(())
//! # }
//! ```
//!
//! # What to know
//!
//! * One transaction writes at a time. Everything that waits at the same moment shares one commit, so
//!   throughput grows with the number of concurrent callers; an acknowledged write survives a loss
//!   of power ([`Synchronous::Full`]). A process has two connections that write: one for lone writes,
//!   which their callers make themselves, one for all else.
//! * A step that writes its own rows does so through [`SqliteStore::transaction`]: exactly once.
//!   It holds the only writer, so it must be short. Other writes go through
//!   [`SqliteStore::write`].
//! * Whether another process lives is told by a lock file in the folder `<file>.workers`, freed by
//!   the kernel when the process ends, and by its beat in the database. Keep the file on a local
//!   disk: network file systems do not keep such locks.
//! * A process that is stopped inside a transaction keeps the write lock of the file. Writes of
//!   the others then answer [`Unavailable`](keystep::store::StoreError::Unavailable) after the
//!   busy timeout, reads go on; the lock is never broken.
//! * The files `<file>-wal` and `<file>-shm` are parts of the database. A log that is removed while
//!   it is in use is noticed at the next write, which is
//!   [`Refused`](keystep::store::StoreError::Refused); one that is removed while nobody uses it can
//!   not be.

mod batch;
#[cfg(feature = "planted")]
mod bugs;
mod connect;
mod error;
mod group;
mod liveness;
mod log_file;
mod migrate;
mod moments;
mod options;
mod reader;
mod reads;
mod rows;
mod sql;
mod store;
mod submit;
mod transaction;
mod writer;
mod writes;

#[cfg(feature = "testing")]
pub use moments::Moment;
pub use options::{SqliteOptions, Synchronous};
pub use store::SqliteStore;
pub use transaction::SqliteTransaction;
