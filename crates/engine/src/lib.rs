//! Runs a user's process **once per key**: named steps, each checkpointed in your own database before
//! the next one starts.
//!
//! A [`Schema`] is an ordered list of typed, named steps. [`Engine::run`] calls it for a [`Key`]: a
//! new key runs, a key that is being worked on is waited for, refused or attached to
//! ([`OnDuplicate`]), a key that failed goes on at the step that failed ([`AfterFailure`]), and a
//! finished key answers with its outcome. When a process dies, another one goes on.
//!
//! ```
//! use keystep::{Engine, MemoryStore, Schema, StepContext, StepResult};
//!
//! async fn reserve(_cx: StepContext, order: u32) -> StepResult<String> {
//!     Ok(format!("reservation {order}"))
//! }
//!
//! async fn pay(cx: StepContext, reservation: String) -> StepResult<String> {
//!     // The same for every attempt of this step: send it to the payment provider.
//!     let key = cx.idempotency_key();
//!     Ok(format!("{reservation}, paid under {key}"))
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let schema = Schema::new("order.create").step("reserve", reserve).step("pay", pay).build();
//! let engine = Engine::builder(MemoryStore::new()).schema(schema.clone()).build().await?;
//!
//! let first = engine.run(&schema, "request-1", 7).await?;
//! let again = engine.run(&schema, "request-1", 7).await?; // runs nothing
//! assert_eq!(first, again);
//! # engine.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! - What a user writes: [`Schema`], [`StepContext`], [`StepError`], [`Retry`], [`StoredStep`]
//! - What a caller says and gets: [`Call`], [`Lookup`], [`Handle`], [`RunError`], [`Key`]
//! - What an operator reads and does: [`Execution`], [`Engine::list`], [`Engine::resume`]
//! - How a process takes part: [`WorkerOptions`], [`Worker`]
//! - What a store must do: [`store::Store`]; [`MemoryStore`] is the reference
//! - How a schema is tried at every boundary: the module `testing`, behind the feature of its name
mod admission;
mod asks;
mod attempt;
#[cfg(feature = "planted")]
pub mod bugs;
mod builder;
mod call;
mod callers;
mod cancel;
mod canonical;
pub mod clock;
mod codec;
mod context;
mod decide;
mod drive;
mod dyn_store;
mod engine;
mod error;
mod evolution;
pub mod execution;
mod fingerprint;
mod follow;
mod handle;
mod inner;
mod inspect;
mod json;
mod key;
pub mod lane;
pub mod limits;
mod lookout;
mod lookup;
mod marks;
pub mod memory;
mod operate;
mod outcome;
mod outcomes;
mod persist;
pub mod plan;
mod policy;
pub mod random;
mod reacquire;
mod refusal;
mod relay;
mod retry;
mod rings;
mod run_error;
mod runs;
mod schema;
mod settle;
mod settlement;
mod signal;
mod step;
pub mod store;
mod submission;
mod take;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
mod verified;
mod worker;

pub use builder::{BuildError, EngineBuilder};
pub use call::Call;
pub use codec::{Codec, Json, Place, Slot};
pub use context::{CallAs, IntoEnlisted, OpenTransaction, StepContext};
pub use engine::Engine;
pub use error::{Failure, FailureKind, StepError, StepResult, StepResultExt};
pub use evolution::{Affected, AnySchema, PlanReport};
pub use execution::{
    CancelWish, ExecutionId, FullKey, InputHash, ParkReason, RunId, State, WaitReason, WorkerId,
};
pub use fingerprint::canonical_json;
pub use handle::Handle;
pub use inspect::{Cursor, Execution, Filter, Page, RecordedStep};
pub use json::ValueError;
pub use key::Key;
pub use limits::Limits;
pub use lookup::Lookup;
pub use memory::MemoryStore;
pub use policy::{AfterFailure, OnDuplicate, OnExpired, SecondSignal, Verdict};
pub use relay::{Outgoing, Publisher, Relay};
pub use retry::Retry;
pub use run_error::RunError;
pub use schema::{Schema, SchemaBuilder, SchemaStart};
pub use settlement::Settlement;
pub use signal::SignalSent;
pub use step::{Step, StoredStep};
pub use submission::{Submission, Submitted};
pub use verified::Verified;
pub use worker::{Worker, WorkerOptions};
