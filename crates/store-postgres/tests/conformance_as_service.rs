//! The same promises, kept for a service whose role may read and write rows and create nothing.

mod common;
#[path = "common/suite.rs"]
mod suite;

use keystep_postgres::PostgresStore;
use store_conformance::Harness;
use tokio::sync::OnceCell;

/// One role for all cases.
static ROLE: OnceCell<String> = OnceCell::const_new();

async fn fresh() -> Harness<PostgresStore> {
    let role = ROLE.get_or_init(common::fresh_role).await;
    let rights = format!(
        "GRANT USAGE ON SCHEMA {{schema}} TO {role}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {{schema}} TO {role}; \
         REVOKE INSERT, UPDATE, DELETE ON {{schema}}.format FROM {role}"
    );
    suite::fresh(&common::url_as(role), &rights).await
}

store_conformance::suite!(fresh);
store_conformance::transaction_suite!(fresh);
