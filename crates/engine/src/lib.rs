//! Runs a user's process once per key.
pub mod clock;
mod codec;
mod context;
mod error;
pub mod execution;
mod fingerprint;
mod json;
mod key;
pub mod lane;
pub mod limits;
pub mod plan;
pub mod random;
mod retry;
mod schema;
mod step;
pub mod store;

pub use codec::{Codec, Json, Place, Slot};
pub use context::{IntoEnlisted, OpenTransaction, StepContext};
pub use error::{Failure, FailureKind, StepError, StepResult, StepResultExt};
pub use json::ValueError;
pub use key::Key;
pub use limits::Limits;
pub use retry::Retry;
pub use schema::{Schema, SchemaBuilder, SchemaStart};
pub use step::{Step, StoredStep};
