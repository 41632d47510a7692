//! What does the SQLite store promise beyond the common cases of every store?

mod atomic;
mod format;
mod group;
mod log;
mod others;
mod processes;
mod rules;
mod sessions;
mod submit;
mod support;
mod transactions;
mod trial;
mod turns;
