//! The same promises, kept for a service whose role has the rights that the guide gives it and no more.

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
    let rights = rights_of_the_guide().replace("shop_app", role);
    // The table of the cases themselves, into which their transactions write.
    let effects = format!("GRANT INSERT ON {{schema}}.effects TO {role}");
    suite::fresh(&common::url_as(role), &format!("{rights} {effects}")).await
}

fn rights_of_the_guide() -> String {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/operating.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    let rights: Vec<&str> = guide.lines().filter(|line| line.starts_with("GRANT ")).collect();
    assert!(!rights.is_empty(), "the guide says which rights a service needs");
    let rights = rights.join(" ");
    rights
        .replace("SCHEMA keystep", "SCHEMA {schema}")
        .replace("keystep.", "{schema}.")
}

store_conformance::suite!(fresh);
store_conformance::transaction_suite!(fresh);
