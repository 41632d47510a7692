//! What if the database server is restarted under an owner? It acquires its execution anew and goes on.

use keystep::store::StoreError;
use keystep::{Schema, State};

use super::bodies::does;
use super::town::{KEY, Town, soon};
use crate::faulty::{Call, Fault};
use crate::under_faults::Ground;

/// Acquired once more from the claim that it has won, it would have another claim with the same token.
pub async fn an_acquisition_anew_whose_answer_is_lost_is_sent_again_and_not_made_again<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema: Schema<u64, u64> = Schema::new("test.restarts").step("a", does("a")).build();
    let here = town.process(&schema).await;
    let restarted = Fault::Refuse(StoreError::Restarted);
    here.faults.script(&[Call::Commit], 1, restarted);
    here.faults.script(&[Call::Acquire], 1, Fault::LoseAnswer);
    assert!(soon(here.run(&schema, KEY, 1)).await.is_ok());
    assert_eq!(here.faults.left(), 0, "both happened");
    let execution = here.until_is(&schema, State::Succeeded).await;
    assert_eq!(execution.epoch, 2, "begun, and acquired once");
    town.notes.are(&["a", "a"]);
}
