//! What must every store do, and how does a test know?
//!
//! The contract is the documentation of [`Store`](keystep::store::Store): each of its sentences is
//! a promise, and each promise is a case here, written once and run against every store. A store's
//! author writes a factory for fresh databases and one line:
//!
//! ```text
//! store_conformance::suite!(fresh);              // one #[tokio::test] for each promise
//! store_conformance::transaction_suite!(fresh);  // for stores whose steps can enlist a transaction
//! ```
//!
//! # Layout
//!
//! - [`mod@cases`]: the promises by topic, plain functions that panic; [`Case`] and the macros list them
//! - [`Harness`]: what a factory makes: two handles onto one fresh database, as if two processes
//! - [`model`]: random operations, every answer compared with the memory store's
//! - [`planted`]: stores with one known bug each, which show that the suite bites
//! - [`crowd`]: many processes at one row, for races that need more handles or rounds
//! - [`faulty`]: a store that fails by script, for tests of the engine
//! - [`under_faults`]: an engine's story on a store of which each call fails in turn
//! - [`stories`]: an engine's stories of all that a step can be and do
//! - [`history`]: judges afterwards what happened in a run with crashes
//! - [`proxy`]: a network between a store and its PostgreSQL server that fails as a test says
//!
//! # Promises
//!
#![doc = include_str!("promises.md")]

pub mod cases;
mod catalogue;
mod contexts;
pub mod crowd;
mod fixture;
mod harness;
pub mod history;
pub mod model;
pub mod planted;
pub mod proxy;
pub mod stories;
pub mod under_faults;

/// A store that fails by script: [`keystep::testing`] has it, because users' tests need it too.
pub use keystep::testing::faulty;

pub use catalogue::{Case, cases, transaction_cases};
pub use contexts::StepContexts;
pub use harness::{Harness, Transactions, Work, run_case, run_within_limit};
