//! Restart: a new generation of a key, for which the old one never answers.

use keystep::execution::State;
use keystep::store::{Begun, Confirm, Confirmed, How, Store, Verdict};

use crate::Harness;
use crate::fixture::{
    DAY, HOUR, acquire_of, assert_unchanged, begin, begin_of, ended, fail, numbered_plan, numbered_shape,
    payload, progress, record, restart, step_name, succeed, take, win, write,
};

pub async fn a_restart_is_a_new_generation_with_a_new_run<S: Store>(harness: Harness<S>) {
    let old = ended(&*harness.here, "k", fail()).await;
    take(&*harness.here, old.execution, How::TakeOver).await;
    let before = record(&*harness.here, old.execution).await;
    harness.clock.advance(HOUR);
    harness.here.save_plan(numbered_plan(2)).await.expect("saved");
    let mut how = restart();
    let How::Restart(fresh) = &mut how else {
        unreachable!("just made")
    };
    fresh.plan = numbered_plan(2).id;
    fresh.shape = numbered_shape(2);
    let fresh = fresh.clone();
    let (won, fence) = win(&*harness.there, &acquire_of(before.seen(), how)).await;
    assert_eq!(won.generation, before.generation + 1);
    assert_eq!(won.claim.epoch, before.claim.epoch + 1, "the epoch goes on");
    assert_eq!((won.id, &won.key), (before.id, &before.key));
    assert_eq!((won.run, fence.run), (fresh.run, fresh.run));
    assert_eq!((won.plan, won.shape), (fresh.plan, fresh.shape));
    assert_eq!(won.input_hash, fresh.input_hash);
    assert_eq!((won.tries, won.lost), (0, 0), "nothing is used up");
    assert_eq!((&won.failure, &won.output), (&None, &None), "no outcome");
    assert_eq!((won.finished_at, won.expires_in), (None, None));
    let age = won.created_at.duration_since(before.created_at);
    assert!(age.expect("later") >= HOUR, "the run began now");
    let found = progress(&*harness.here, won.id, fresh.run).await;
    assert_eq!(found.input, fresh.input);
    assert_eq!(found.checkpoints, [], "the steps are to be done again");
}

pub async fn the_checkpoints_of_an_old_run_are_gone<S: Store>(harness: Harness<S>) {
    let old = ended(&*harness.here, "k", succeed(0)).await;
    take(&*harness.there, old.execution, restart()).await;
    for store in [&harness.here, &harness.there] {
        let found = store.load(old.execution, old.run).await;
        assert_eq!(found.expect("answered"), None, "the old run is no more");
    }
}

pub async fn an_old_generation_never_answers_for_a_new_one<S: Store>(harness: Harness<S>) {
    let old = ended(&*harness.here, "k", succeed(0)).await;
    let (won, fence) = take(&*harness.there, old.execution, restart()).await;
    match begin(&*harness.here, &begin_of("k")).await {
        Begun::Exists(found) => {
            assert_eq!((found.state, &found.output), (State::Running, &None));
            assert_eq!(found.run, won.run);
        }
        Begun::Started(_) => panic!("the key is owned"),
    }
    // The same step again, in the new generation: it is new, and its result is what callers get.
    write(fence)
        .step(0, "first of the second generation")
        .then(succeed(0))
        .written(&*harness.there)
        .await;
    let after = record(&*harness.here, old.execution).await;
    assert_eq!(after.output, Some(payload("first of the second generation")));
}

pub async fn the_fence_of_an_old_run_writes_nothing<S: Store>(harness: Harness<S>) {
    let old = ended(&*harness.here, "k", fail()).await;
    let (_, resumed) = take(&*harness.here, old.execution, How::Resume { keep_tries: false }).await;
    let (won, fence) = take(&*harness.there, old.execution, restart()).await;
    let late = write(resumed).step(1, "late").then(succeed(1));
    assert_eq!(late.send(&*harness.here).await, Verdict::Fenced);
    // Even a claim that is the present one does not write for another run.
    let mixed = keystep::execution::Fence {
        run: old.run,
        ..fence
    };
    let mixed = write(mixed).step(1, "late").then(succeed(1));
    assert_eq!(mixed.send(&*harness.here).await, Verdict::Fenced);
    let now = record(&*harness.there, old.execution).await;
    assert_unchanged(&won, &now, "the new run is untouched");
    assert_eq!(progress(&*harness.here, won.id, won.run).await.checkpoints, []);
}

pub async fn a_write_of_an_old_run_is_not_confirmed<S: Store>(harness: Harness<S>) {
    let old = ended(&*harness.here, "k", fail()).await;
    let (_, fence) = take(&*harness.here, old.execution, How::Resume { keep_tries: false }).await;
    let sent = write(fence).step(1, "second").then(fail());
    sent.written(&*harness.here).await;
    take(&*harness.there, old.execution, restart()).await;
    let confirm = Confirm {
        fence,
        step: step_name(1),
        write_id: sent.write_id,
    };
    let answer = harness.here.confirm(confirm).await.expect("answered");
    assert_eq!(answer, Confirmed::Fenced, "its run is gone");
}

pub async fn the_epoch_of_a_key_never_falls<S: Store>(harness: Harness<S>) {
    let old = ended(&*harness.here, "k", succeed(0)).await;
    let mut epoch = old.claim.epoch;
    for round in 0..3 {
        for how in crate::fixture::every_how() {
            let (won, fence) = take(&*harness.there, old.execution, how).await;
            assert_eq!(won.claim.epoch, epoch + 1, "round {round}");
            epoch = won.claim.epoch;
            write(fence).then(fail()).written(&*harness.here).await;
        }
        harness.clock.advance(DAY + HOUR);
    }
}

pub async fn a_recycled_key_is_a_new_generation_of_the_same_row<S: Store>(harness: Harness<S>) {
    let old = ended(&*harness.here, "k", succeed(0)).await;
    harness.clock.advance(DAY + HOUR);
    let Begun::Exists(expired) = begin(&*harness.there, &begin_of("k")).await else {
        panic!("the row is still there");
    };
    assert!(expired.is_expired());
    let (won, fence) = win(&*harness.there, &acquire_of(expired.seen(), restart())).await;
    assert_eq!((won.generation, won.claim.epoch), (2, old.claim.epoch + 1));
    let purged = harness.here.purge(10, None).await.expect("purged");
    assert_eq!(purged, 0, "the old retention does not touch the new run");
    write(fence)
        .step(0, "anew")
        .then(succeed(0))
        .written(&*harness.there)
        .await;
}
