//! What does an execution cost, and does it still cost no more than we said?
//!
//! Each [story](stories) is told to a store a known number of times. The statements, commits and bytes
//! of write-ahead log that it took are compared with the committed file `tests/budget.txt`: a figure
//! that rose is a regression or a decision, and a decision is an edit to that file.

mod file;
mod postgres;
mod sqlite;
mod stories;

use file::{Line, faults, read, table};
use postgres::OnPostgres;
use sqlite::OnSqlite;
use stories::Meter;

const BUDGET: &str = include_str!("../../budget.txt");

#[test]
fn alone_what_an_execution_costs_on_postgres_is_within_its_budget() {
    let ground = postgres::Ground::new();
    within_budget("postgres", async || OnPostgres::on(&ground).await);
}

#[test]
fn alone_what_an_execution_costs_on_sqlite_is_within_its_budget() {
    let place = sqlite::ground();
    within_budget("sqlite", async || OnSqlite::on(&place).await);
}

fn within_budget<M: Meter>(store: &str, meter: impl AsyncFnOnce() -> M) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let figures = runtime.block_on(async { stories::tell(&mut meter().await).await });
    let measured: Vec<Line> = figures
        .into_iter()
        .map(|(story, cost)| Line::measured(store, story, cost))
        .collect();
    system_tests::show(&format!("measured:\n{}", table(&measured)));

    let budget: Vec<Line> = read(BUDGET)
        .into_iter()
        .filter(|line| line.store == store)
        .collect();
    let faults = faults(&budget, &measured);
    let proposed: Vec<Line> = measured.iter().map(|line| line.proposed(&budget)).collect();
    assert!(
        faults.is_empty(),
        "{}\n\nIf it is meant to be so, put these lines into tests/budget.txt:\n{}",
        faults.join("\n"),
        table(&proposed)
    );
}

#[test]
fn the_budget_names_only_stores_that_are_measured() {
    for line in read(BUDGET) {
        assert!(["postgres", "sqlite"].contains(&line.store.as_str()), "{line:?}");
    }
}
