//! What does the order service promise to a client that knows nothing but HTTP? Two real processes of
//! it share one database, and every promise is tried at both, on both databases.
//!
//! A test goes from one process to the other wherever it can: what the first one did the second one
//! must know. Time is moved and things are broken through the service's own test controls.
//!
//! | file | promise |
//! |---|---|
//! | `outcomes` | what a key answers in each state of its record |
//! | `evaluation` | in which order a request is looked at, and that nothing before the claim binds a key |
//! | `questions` | a repeat that comes too early, at once, after a crash |
//! | `crowds`, `hang_ups`, `crashes` | many at once, clients that go away, processes that die |
//! | `strangers` | what is another user's looks like nothing |
//! | `cart`, `checkout`, `orders`, `old_clients`, `preconditions`, `duplicates`, `changes`, `payments`, `operations` | each resource |
//! | `input` | what is not understood gets a problem and leaves its key free |
//! | `switches`, `compat`, `published` | policies, clients of older services, what the service says of itself |

mod answer;
mod service;
mod world;

mod cart;
mod changes;
mod checkout;
mod compat;
mod crashes;
mod crowds;
mod duplicates;
mod evaluation;
mod hang_ups;
mod input;
mod old_clients;
mod operations;
mod orders;
mod outcomes;
mod payments;
mod preconditions;
mod published;
mod questions;
mod strangers;
mod switches;
