//! How do you know that *your* schema survives? Let it be run through every crash, lost answer and
//! takeover there is: a [`Trial`].
//!
//! Behind the feature `testing`; meant for dev-dependencies. A trial plays one story after the other,
//! each in a fresh world: a caller, a duplicate raced at another process at the very moment when
//! something goes wrong, the old owner woken after it was replaced, a caller who comes late. It goes
//! on until no call to the store is left at which nothing has gone wrong yet. A story that breaks a
//! promise panics with a [`Script`] that replays it.
//!
//! What can be tried this way are boundaries between the engine and its store, so that a step's body
//! ends before something happens. Kill real processes to try the inside of a step.
//!
//! - [`Trial`]: what a test says; [`Process`]: what one process of it has; [`Story`]: what a check sees
//! - [`Script`]: what goes wrong; [`Report`]: what a run did
//! - [`faulty`]: a store that fails by script, for tests of one's own

// `run` tells the stories that `plot` lists, `stage` plays one with the processes of `process` and
// the callers of `client`, `watch` notes what really happened, `judge` compares.

mod client;
pub mod faulty;
mod judge;
mod plot;
mod process;
mod report;
mod run;
mod script;
mod stage;
mod trial;
mod watch;

pub use process::Process;
pub use report::Report;
pub use script::{Script, ScriptError};
pub use trial::{Story, Trial};
