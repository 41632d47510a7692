//! What happens to executions when processes race, die, stop, are replaced and have no rights? Each
//! promise is tried with real processes, once on SQLite and once on PostgreSQL.
//!
//! What measures time begins with `alone_`: nothing else runs beside it.

use system_tests::place::Place;
use system_tests::victim::Launch;

/// Two tests of one promise, one for each store.
macro_rules! on_both_stores {
    ($($promise:ident),* $(,)?) => {$(
        mod $promise {
            use system_tests::place::Kind;

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

mod canary;
mod chaos;
mod crash_loop;
mod deploy;
mod racing;
mod rights;
mod starting;
mod statements;
mod stopped;
mod takeover;
mod transactions;

/// A victim on a place.
fn victim(place: &Place) -> Launch {
    place.launch(env!("CARGO_BIN_EXE_victim"))
}

/// Shows a measured figure also when the test passes.
fn show(figure: &str) {
    use std::io::Write;
    let _nobody_reads = writeln!(std::io::stderr(), "    {figure}");
}
