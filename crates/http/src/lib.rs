//! Idempotent HTTP on [`keystep`]: a request with an `Idempotency-Key` is done once, however often it is
//! sent.
//!
//! A keyed request *is* an execution: its key is the execution's key, its stored answer the outcome.
//! There is no second table, so it has all that executions have: it is found after a crash, continued by
//! another process, and arbitrated by the database.
mod answer;
mod conditional;
mod document;
mod door;
mod fingerprint;
mod key;
mod metrics;
mod operation;
mod policy;
mod prefer;
mod problem;
mod request;
mod stored;
mod waiters;

pub use answer::{Answer, Dress, Ended, How};
pub use conditional::{Preconditions, Tag, Tags};
pub use document::{PolicyDocument, PublishedOperation};
pub use door::{Free, FrontDoor, Look};
pub use key::{ClientKey, KeySyntax, MAX_KEY, parse as parse_key};
pub use operation::Operation;
pub use policy::{AfterCrash, Concurrency, Fingerprint, OnError, OnStoreDown};
pub use prefer::Prefer;
pub use problem::{FieldError, Kind, Problem, kinds};
pub use request::Arrived;
pub use stored::StoredResponse;
pub use waiters::Waiters;
