//! Every promise of the store contract, kept by PostgreSQL for two processes on one schema.

mod common;
#[path = "common/suite.rs"]
mod suite;

use keystep_postgres::PostgresStore;
use store_conformance::Harness;

async fn fresh() -> Harness<PostgresStore> {
    suite::fresh(&common::url(), "").await
}

store_conformance::suite!(fresh);
store_conformance::transaction_suite!(fresh);
