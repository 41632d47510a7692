//! The promises, by topic. Each function is one case: it panics when the store breaks its name.
//!
//! A case gets a fresh database and knows nothing but the [`Store`](keystep::store::Store) trait,
//! so that it says the same to every store. The list in `catalogue.rs` names them all, once.

#![expect(missing_docs, reason = "the name of a case is its promise")]

pub mod acquire;
pub mod begin;
pub mod bytes;
pub mod cancel;
pub mod commit;
pub mod concurrency;
pub mod confirm;
pub mod describe;
pub mod due;
pub mod ends;
pub mod fence;
pub mod find;
pub mod keys;
pub mod liveness;
pub mod load;
pub mod orphans;
pub mod outbox;
pub mod plans;
pub mod progress;
pub mod random;
pub mod resend;
pub mod restart;
pub mod retention;
pub mod signal;
pub mod tombstone;
pub mod transaction;
