//! Progress: how far a step has come, the latest only.

use keystep::execution::{CheckpointRecord, Fence, RunId, WorkerId, WriteId};
use keystep::store::{How, NewCheckpoint, NewProgress, Store, Then, Verdict};

use crate::Harness;
use crate::fixture::{begin_of, every_end, payload, progress, started, take, write};

fn progress_of(fence: Fence, step: &str, value: &str) -> NewProgress {
    NewProgress {
        fence,
        worker: WorkerId(77),
        write_id: WriteId::fresh(),
        checkpoint: NewCheckpoint {
            step: step.into(),
            seq: 1,
            attempt: 4,
            lost: 2,
            output: payload(value),
        },
    }
}

async fn send<S: Store>(store: &S, sent: NewProgress) -> Verdict {
    store.progress(sent).await.expect("a verdict")
}

pub async fn progress_is_read_beside_the_checkpoints<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    write(fence).step(0, "first").written(&*harness.here).await;
    let sent = progress_of(fence, "step_1::@at", "3 of 10");
    let write_id = sent.write_id;
    assert_eq!(send(&*harness.here, sent).await, Verdict::Written);
    let found = progress(&*harness.there, fence.execution, fence.run).await;
    let [first, put_down] = &found.checkpoints[..] else {
        panic!("a step and a progress: {found:?}");
    };
    assert_eq!(first.output, payload("first"));
    let expected = CheckpointRecord {
        step: "step_1::@at".into(),
        seq: 1,
        epoch: fence.claim.epoch,
        worker: WorkerId(77),
        write_id,
        attempt: 4,
        lost: 2,
        output: payload("3 of 10"),
        at: put_down.at,
    };
    assert_eq!(*put_down, expected);
}

pub async fn later_progress_takes_the_place_of_earlier<S: Store>(harness: Harness<S>) {
    let mut fence = started(&*harness.here, "k").await;
    for round in 0..4 {
        let (one, other) = match round % 2 {
            0 => (&harness.here, &harness.there),
            _ => (&harness.there, &harness.here),
        };
        for name in ["a::@at", "b::@at"] {
            let sent = progress_of(fence, name, &format!("{name} {round}"));
            let verdict = send(&**one, sent).await;
            assert_eq!(verdict, Verdict::Written, "whoever wrote the one before");
        }
        let found = progress(&**other, fence.execution, fence.run).await;
        assert_eq!(found.checkpoints.len(), 2, "one for each name");
        for now in found.checkpoints {
            assert_eq!(now.output, payload(&format!("{} {round}", now.step)));
            assert_eq!(now.epoch, fence.claim.epoch);
        }
        fence = take(&**other, fence.execution, How::TakeOver).await.1;
    }
}

pub async fn progress_under_a_lost_claim_is_fenced<S: Store>(harness: Harness<S>) {
    let old = started(&*harness.here, "k").await;
    let (_, fence) = take(&*harness.there, old.execution, How::TakeOver).await;
    let mut strangers = vec![
        old,
        Fence {
            run: RunId::fresh(),
            ..fence
        },
        Fence {
            execution: begin_of("nobody").id,
            ..fence
        },
    ];
    let mut epoch_only = fence;
    epoch_only.claim.token = old.claim.token;
    strangers.push(epoch_only);
    for stranger in strangers {
        let sent = progress_of(stranger, "a::@at", "late");
        assert_eq!(send(&*harness.here, sent).await, Verdict::Fenced, "{stranger:?}");
    }
    let found = progress(&*harness.there, fence.execution, fence.run).await;
    assert_eq!(found.checkpoints, []);
}

pub async fn progress_after_the_end_is_fenced<S: Store>(harness: Harness<S>) {
    for (number, then) in every_end().into_iter().enumerate() {
        let fence = started(&*harness.here, &format!("k{number}")).await;
        let earlier = progress_of(fence, "a::@at", "in time");
        assert_eq!(send(&*harness.here, earlier).await, Verdict::Written);
        write(fence)
            .step(0, "first")
            .then(then.clone())
            .written(&*harness.here)
            .await;
        let late = progress_of(fence, "a::@at", "late");
        assert_eq!(send(&*harness.there, late).await, Verdict::Fenced, "{then:?}");
        let found = progress(&*harness.there, fence.execution, fence.run).await;
        let mark = found.checkpoints.iter().find(|one| one.step == "a::@at");
        assert_eq!(mark.map(|one| &one.output), Some(&payload("in time")));
    }
    let fence = started(&*harness.here, "goes on").await;
    write(fence).then(Then::Continue).written(&*harness.here).await;
    let sent = progress_of(fence, "a::@at", "goes on");
    assert_eq!(send(&*harness.here, sent).await, Verdict::Written);
}
