//! What does the order service promise to those who use it? One file per subject, one test per
//! promise. The service is the real program in a process of its own; only `trial` runs its schema
//! inside the test, to stop it at every call.

mod demo;
mod http;
mod logs;
mod plan;
mod provider;
mod server;
mod shutdown;
mod stores;
mod trial;
