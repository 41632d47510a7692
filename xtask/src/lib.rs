//! How does somebody with a fresh clone run everything? The project's own commands, without any
//! tool besides cargo.
//!
//! `cargo xtask` lists the verbs. The one idea: a command brings what it needs and takes it away
//! again. `test` finds (or installs) PostgreSQL, starts a private server, runs every test once and
//! leaves nothing behind.
//!
//! The server is also a library: a system test that has to stop, restart or break a PostgreSQL
//! server starts one of its own with [`postgres::Cluster`].

pub mod args;
pub mod ci;
pub mod crash;
pub mod mutants;
pub mod pgbouncer;
pub mod postgres;
pub mod run;
pub mod test;
pub mod test_http;
