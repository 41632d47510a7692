//! Does it matter what isolation a role or a database has as its default? No: the store sets its own.
//! Under a stricter one a session that has waited gets an error instead of the row as it is now.

use super::stage::{Player, Stage};
use super::transactions::{Bookkeeper, ask_during_the_commit, play_transaction_and_takeover};
use crate::common::*;

/// A role for which each transaction has this isolation unless it says otherwise.
async fn role_with_default(isolation: &str) -> String {
    let role = fresh_role().await;
    let rights = format!(
        "ALTER ROLE {role} SUPERUSER; \
         ALTER ROLE {role} SET default_transaction_isolation = '{isolation}'"
    );
    sql(&mut session().await, rights).await;
    role
}

async fn players(stage: &Stage, role: &str) -> (Player, Player) {
    let owner = stage.player_with("owner", |url| url_of(role, &url)).await;
    let taker = stage.player_with("taker", |url| url_of(role, &url)).await;
    (owner, taker)
}

async fn verdicts_are_the_same_under(isolation: &str) {
    let role = role_with_default(isolation).await;
    let mut stage = Stage::new().await;
    let (owner, taker) = players(&stage, &role).await;
    let books = Bookkeeper::new(&stage, &owner).await;
    play_transaction_and_takeover(&mut stage, &owner, &taker, &books).await;
    ask_during_the_commit(stage, owner, taker).await;
}

#[tokio::test]
async fn a_default_of_repeatable_read_changes_no_verdict() {
    verdicts_are_the_same_under("repeatable read").await;
}

#[tokio::test]
async fn a_default_of_serializable_changes_no_verdict() {
    verdicts_are_the_same_under("serializable").await;
}
