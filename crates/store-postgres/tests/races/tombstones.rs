//! What if a purge that leaves something behind meets those who use the key? They get the outcome, or what
//! is left of it, or go on with a run that is whole.

use std::time::Duration;

use keystep::execution::{Fence, State};
use keystep::store::{Begun, How, Then, Tries, Verdict};

use super::acts::{Told, restart, row};
use super::begins::expired;
use super::stage::{Player, Stage, orders};
use crate::common::*;

#[tokio::test]
async fn in_every_order_a_begin_that_meets_a_purge_gets_the_outcome_or_what_is_left_of_it() {
    let mut stage = Stage::new().await;
    let (caller, purger) = (stage.player("caller").await, stage.player("purger").await);
    for order in orders(&[3, 3]) {
        let key = format!("{order:?}");
        let fence = expired(&mut stage, &caller, &key).await;
        let begin = begin_of(&key, keystep::execution::WorkerId(1));
        let cast = vec![
            (&caller, caller.begins(begin)),
            (&purger, purger.purges_but_remembers()),
        ];
        let told = stage.play(&order, cast).await;
        assert_eq!(told[1], Told::Purged(1), "in {order:?}");
        let Told::Begun(Begun::Exists(met)) = &told[0] else {
            panic!("{told:?} in {order:?}");
        };
        assert_eq!(
            (met.run, met.state),
            (fence.run, State::Succeeded),
            "in {order:?}"
        );
        let output = (!met.purged).then(|| payload("output"));
        assert_eq!(met.output, output, "in {order:?}");
        assert!(met.is_expired(), "in {order:?}");
    }
}

#[tokio::test]
async fn in_every_order_a_restart_that_meets_a_purge_begins_the_next_generation() {
    let mut stage = Stage::new().await;
    let (caller, purger) = (stage.player("caller").await, stage.player("purger").await);
    for order in orders(&[3, 3]) {
        let fence = expired(&mut stage, &caller, &format!("{order:?}")).await;
        let seen = row(&caller.store, &fence).await.seen();
        let cast = vec![
            (&caller, caller.acquires(seen, restart())),
            (&purger, purger.purges_but_remembers()),
        ];
        let told = stage.play(&order, cast).await;
        let Told::Won(record, progress) = &told[0] else {
            panic!("{told:?} in {order:?}");
        };
        assert_eq!((record.generation, record.purged), (2, false), "in {order:?}");
        assert_eq!(progress.input, payload("new input"), "in {order:?}");
        assert!(progress.checkpoints.is_empty(), "in {order:?}");
        let now = row(&caller.store, &fence).await;
        assert_eq!((now.state, now.purged), (State::Running, false), "in {order:?}");
    }
}

#[tokio::test]
async fn in_every_order_a_resume_that_meets_a_purge_goes_on_with_the_input_or_is_lost() {
    let mut stage = Stage::new().await;
    let (caller, purger) = (stage.player("caller").await, stage.player("purger").await);
    let mut won = 0;
    for order in orders(&[3, 3]) {
        let fence = failed(&mut stage, &caller, &format!("{order:?}")).await;
        let seen = row(&caller.store, &fence).await.seen();
        let resume = How::Resume { keep_tries: false };
        let cast = vec![
            (&caller, caller.acquires(seen, resume)),
            (&purger, purger.purges_but_remembers()),
        ];
        let told = stage.play(&order, cast).await;
        let now = row(&caller.store, &fence).await;
        match &told[0] {
            Told::Won(_record, progress) => {
                won += 1;
                assert_eq!(told[1], Told::Purged(0), "in {order:?}");
                assert_eq!(progress.input, payload("input"), "in {order:?}");
                assert_eq!((now.state, now.purged), (State::Running, false), "in {order:?}");
            }
            Told::Lost => {
                assert_eq!(told[1], Told::Purged(1), "in {order:?}");
                assert_eq!((now.state, now.purged), (State::Failed, true), "in {order:?}");
            }
            other => panic!("{other:?} in {order:?}"),
        }
    }
    assert!((1..20).contains(&won), "both come first in some order");
}

/// A failed execution whose retention is over.
async fn failed(stage: &mut Stage, player: &Player, key: &str) -> Fence {
    let fence = started(&player.store, key).await;
    let then = Then::Fail {
        failure: payload("failure"),
        tries: Tries::default(),
        retention: Some(Duration::from_secs(3600)),
        yields: false,
    };
    let fail = player.commits(record(fence, "one", 0, then)).await;
    assert_eq!(fail, Told::Verdict(Verdict::Written));
    stage.expire(&fence).await;
    fence
}
