//! How is a promise about processes tested? With real ones, on real databases, killed for real.
//!
//! A [`Victim`](victim::Victim) is a process that is a [`worker`]. It opens a store, builds an engine
//! and obeys one JSON command a line; what happens in it comes back the same way.
//! Its steps note each attempt in a [`notebook`] that is no part of the store, and can stop at
//! gates, so that a test kills at a moment that it knows and never sleeps and hopes.
//!
//! A [`Place`](place::Place) is a fresh store for one test, with its notebook, on SQLite or on
//! PostgreSQL. [`Evidence`](evidence::Evidence) collects what happened there, for the history checker.

pub mod chaos;
pub mod crowd;
#[cfg(doctest)]
mod docs;
pub mod evidence;
pub mod model;
pub mod notebook;
pub mod place;
pub mod protocol;
pub mod releases;
pub mod transcript;
pub mod victim;
pub mod worker;

/// Two tests of one promise, one for each store.
#[macro_export]
macro_rules! on_both_stores {
    ($($promise:ident),* $(,)?) => {$(
        mod $promise {
            use $crate::place::Kind;

            #[test]
            fn on_sqlite() {
                super::$promise(Kind::Sqlite);
            }

            #[test]
            fn on_postgres() {
                super::$promise(Kind::Postgres);
            }
        }
    )*};
}

/// Shows a measured figure also when the test passes.
pub fn show(figure: &str) {
    use std::io::Write;
    let _nobody_reads = writeln!(std::io::stderr(), "    {figure}");
}
