//! A process is killed with SIGKILL: is anything lost, does anything happen twice? It dies at every
//! point of its story, one after the other, and another process finishes what it began.
//!
//! The [`story`] is an execution of three steps, of which the one in the middle writes into the
//! store's database in its own transaction. A [`snare`] holds a process at its n-th point: on either
//! side of a call of its store, on either side of the network or of the COMMIT, inside a step. There
//! it is killed. n rises until the story needs no more points; nothing is left to chance. What must
//! be there then, and who must have done what in the end, is known for each point, and the history
//! checker judges the rest. A process that is stopped there instead, and woken when another one has
//! finished what it began, must add nothing.
//!
//! Another story has a step of every [kind](kinds), and one of its two ends is that all is undone.

#[macro_use(on_both_stores)]
extern crate system_tests;

mod deaths;
mod everybody;
mod failures;
mod kinds;
mod points;
mod snare;
mod stops;
mod story;
