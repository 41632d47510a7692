//! How is any other handler run once per key? By a layer of tower around it.

mod body;
mod desk;
mod handler;
mod service;
mod visit;

pub use body::ResponseBody;
pub use handler::{Claimed, KeyedHandler, Scoped};
pub use service::{IdempotencyLayer, IdempotencyService};
