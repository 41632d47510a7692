//! How does a test from outside move the service's time and let its parts fail? Through the doors in
//! this room, which lead nowhere in a program that people run.
//!
//! They open only in a build with the cargo feature `test-hooks`, and there only when
//! `ORDERS_TEST_HOOKS=1`. Without the feature each door is an empty function, and nothing of what is
//! behind it is compiled.
//!
//! | door | who passes it | what a test can do there |
//! |---|---|---|
//! | [`before`], [`Effect::done`] | a step, around its effect | delay it, let it fail, end the process, stop its beats |
//! | [`Hooks::around`] | the engine's store | refuse claims or ends, hold beats back |
//! | [`Hooks::watching`] | the relay's publisher | disturb a delivery, count it |
//! | [`Hooks::pays_at`] | the payment provider | count its decisions, let it forget |
//! | `provider_routes` | the payment provider itself, whenever the feature is there | the same, from its side |
//! | [`Hooks::routes`] | the HTTP side | `/_test/…`: say all this, and read what was done |
//! | [`Hooks::user`], [`Hooks::is_blocked`] | authentication | be anybody; block somebody |

#[cfg(not(feature = "test-hooks"))]
mod off;
#[cfg(not(feature = "test-hooks"))]
pub(crate) use off::provider_routes;
#[cfg(not(feature = "test-hooks"))]
pub use off::{Effect, Hooks, before};

#[cfg(feature = "test-hooks")]
mod fault;
#[cfg(feature = "test-hooks")]
mod on;
#[cfg(feature = "test-hooks")]
mod provider;
#[cfg(feature = "test-hooks")]
mod publisher;
#[cfg(feature = "test-hooks")]
mod routes;
#[cfg(feature = "test-hooks")]
mod settings;
#[cfg(feature = "test-hooks")]
mod store;
#[cfg(feature = "test-hooks")]
mod tables;
#[cfg(feature = "test-hooks")]
pub use on::{Effect, Hooks, before};
#[cfg(feature = "test-hooks")]
pub(crate) use provider::provider_routes;
