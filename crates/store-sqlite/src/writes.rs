//! What does each write do inside the writer's transaction? One file a topic.

pub(crate) mod acquire;
pub(crate) mod begin;
pub(crate) mod cancel;
pub(crate) mod commit;
pub(crate) mod outbox;
pub(crate) mod plan;
pub(crate) mod purge;
pub(crate) mod signal;
pub(crate) mod worker;
