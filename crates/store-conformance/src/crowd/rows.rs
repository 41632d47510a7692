//! What becomes of a row that many write at once? It is begun once, and each write happens once.

use std::collections::HashMap;

use keystep::execution::State;
use keystep::store::{Begun, Store, Verdict};

use super::Crowd;
use crate::fixture::{all_at_once, begin_of, progress, record, started, succeed, write};

/// Half of the callers come in the opposite order, so that a store which gathers begins without
/// sorting them would meet itself in a dead lock.
pub async fn begins_of_the_same_keys_by_four_start_each_once<S: Store + Clone>(crowd: Crowd<S>) {
    const KEYS: usize = 100;
    started(crowd.first(), "another key, so that the plan is there").await;
    let callers = crowd.handles.len();
    let begun = all_at_once(callers * KEYS, |task| {
        let (handle, nth) = (task % callers, task / callers);
        let key = if handle % 2 == 0 { nth } else { KEYS - 1 - nth };
        let store = crowd.handles[handle].clone();
        async move {
            let wanted = begin_of(&format!("k{key}"));
            let begun = store.begin(wanted.clone()).await.expect("a begin is answered");
            (key, wanted.token, begun)
        }
    })
    .await;
    let mut winners = HashMap::new();
    for (key, token, begun) in &begun {
        if matches!(begun, Begun::Started(_)) {
            assert_eq!(winners.insert(*key, *token), None, "{key} was started twice");
        }
    }
    assert_eq!(winners.len(), KEYS, "each was started");
    for (key, _token, begun) in begun {
        if let Begun::Exists(record) = begun {
            assert_eq!(record.claim.token, winners[&key], "{key} is the winner's");
        }
    }
}

/// As after an answer that was lost, or came while its caller had sent it again.
pub async fn one_write_sent_by_four_at_once_is_written_once<S: Store + Clone>(crowd: Crowd<S>) {
    for round in 0..30 {
        let fence = started(crowd.first(), &format!("{round}")).await;
        let mut sent = write(fence).step(0, "output");
        if round % 2 == 0 {
            sent = sent.then(succeed(0));
        }
        let verdicts = all_at_once(2 * crowd.handles.len(), |nth| {
            let store = crowd.handles[nth % crowd.handles.len()].clone();
            let sent = sent.clone();
            async move { sent.send(&store).await }
        })
        .await;
        assert_eq!(verdicts, vec![Verdict::Written; 2 * crowd.handles.len()]);
        let now = record(crowd.first(), fence.execution).await;
        let expected = [State::Succeeded, State::Running][round % 2];
        assert_eq!(now.state, expected);
        let steps = progress(crowd.first(), fence.execution, fence.run).await;
        assert_eq!(steps.checkpoints.len(), 1);
    }
}
