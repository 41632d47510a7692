//! How does keystep remember executions in PostgreSQL? [`PostgresStore`], for one or many processes
//! on one database.
//!
//! ```no_run
//! # async fn start() -> Result<(), keystep::store::StoreError> {
//! use keystep_postgres::PostgresStore;
//!
//! let store = PostgresStore::connect("postgres://app@localhost/shop").await?;
//! store.migrate().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Three ideas carry it. Every write of an owner compares its fence with the row under the row's
//! lock, in the statement that writes. What waits at the same moment is written by one statement and
//! one commit (see [`PostgresOptions::lanes`]). And a process holds one direct session whose end
//! tells the others at once that it died.
//!
//! A step that writes to the same database can do it exactly once: see
//! [`PostgresStore::transaction`].
//!
//! It needs PostgreSQL 15 or newer, the primary, and a role that owns the tables' schema or may read
//! and write its tables; only [`PostgresStore::migrate`] creates anything. Answers are promises as
//! long as `fsync` and `synchronous_commit` are on; [`PostgresStore::report`] says what was found.

mod batch;
mod bind;
#[cfg(feature = "planted")]
mod bugs;
mod connect;
mod error;
mod lanes;
mod liveness;
mod migrate;
mod op;
mod open;
mod options;
mod reader;
mod rows;
mod server;
mod sql;
mod store;
mod submit;
mod transaction;

pub use options::PostgresOptions;
pub use server::{ServerReport, Setting, SettingVerdict};
pub use store::PostgresStore;
pub use transaction::StepTransaction;
