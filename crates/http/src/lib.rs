//! Idempotent HTTP on [`keystep`]: a request with an `Idempotency-Key` is done once, however often it is
//! sent.
//!
//! A keyed request *is* an execution: its key is the execution's key, its stored answer the outcome.
//! There is no second table, so it has all that executions have: it is arbitrated by the database, found
//! after a crash, and continued by another process.
//!
//! # Idempotent in ten minutes
//!
//! A complete program with axum. Send `POST /notes` twice with the same key: there is one note.
//!
#![doc = "```no_run"]
#![doc = include_str!("../examples/notes.rs")]
#![doc = "```"]
//!
//! # What there is
//!
//! - [`Operation`]: one keyed route and its policies: duplicates, errors, fingerprint, limits
//! - [`KeyedHandler`]: any handler, run once per key by a layer of tower around it. What happens after a
//!   crash inside it is an argument without a default ([`AfterCrash`])
//! - [`FrontDoor`]: a route that runs a schema of yours, with the steps of a request in the right order
//! - [`Problem`]: errors as RFC 9457 has them, each [`Kind`] with the client's next move
//! - [`Preconditions`] and [`Tag`]: `If-Match` and `If-None-Match`
//! - [`PolicyDocument`]: what clients may rely on, to be published
//!
//! # Where it stands
//!
//! From outside to inside: traces and fresh request ids, CORS (with `Idempotency-Key` allowed and
//! `Idempotent-Replayed` exposed), rate limits, authentication and permission, *this layer*, the handler.
//! What refuses a request outside has not touched its key, and what adds headers outside adds fresh ones
//! to a replay. Compression stands outside too: what is stored is not compressed.
//!
//! # What a layer can not do
//!
//! A wrapped handler runs with its key claimed, so what it refuses has bound the key to that request:
//! the next equal request runs it again, but another one is answered with 422. What shall leave the key
//! free, such as validation, belongs into [`KeyedHandler::check`].
mod answer;
mod conditional;
mod document;
mod door;
mod fingerprint;
mod key;
mod layer;
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
pub use layer::{Claimed, IdempotencyLayer, IdempotencyService, KeyedHandler, ResponseBody, Scoped};
pub use operation::Operation;
pub use policy::{AfterCrash, Concurrency, Fingerprint, OnError, OnStoreDown};
pub use prefer::Prefer;
pub use problem::{FieldError, Kind, Problem, kinds};
pub use request::Arrived;
pub use stored::StoredResponse;
pub use waiters::Waiters;
