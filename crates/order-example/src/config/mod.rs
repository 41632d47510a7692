//! What may whoever runs the service choose? Where it keeps its things is said by the options of
//! `serve`; how it treats keys, duplicates, failures and replays is said here.

mod policies;

pub use policies::{
    Concurrency, DuplicatePayload, Fingerprint, IfMatchOnCreate, KeySyntax, OnError, Policies,
    PreconditionStatus, Replay, Store,
};
