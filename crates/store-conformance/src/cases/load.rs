//! Load: what a new owner goes on from.

use keystep::execution::RunId;
use keystep::store::{How, Store};

use crate::Harness;
use crate::fixture::{
    HOUR, all_at_once, assert_near, begin_of, every_end, payload, progress, start, started, take, write,
};

pub async fn checkpoints_load_by_position<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    for seq in [4, 0, 12, 100, 3, 1, 11] {
        write(fence)
            .step(seq, &format!("result {seq}"))
            .written(&*harness.here)
            .await;
    }
    let found = progress(&*harness.there, fence.execution, fence.run).await;
    let order: Vec<i32> = found.checkpoints.iter().map(|step| step.seq).collect();
    assert_eq!(order, [0, 1, 3, 4, 11, 12, 100]);
    for step in &found.checkpoints {
        assert_eq!(step.output, payload(&format!("result {}", step.seq)));
    }
}

pub async fn a_run_that_is_not_there_loads_as_none<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    let never = begin_of("never begun");
    for (id, run) in [
        (fence.execution, RunId::fresh()),
        (never.id, never.run),
        (never.id, fence.run),
    ] {
        let found = harness.here.load(id, run).await.expect("answered");
        assert_eq!(found, None);
    }
}

pub async fn progress_stays_readable_after_every_end<S: Store>(harness: Harness<S>) {
    for (number, then) in every_end().into_iter().enumerate() {
        let wanted = begin_of(&format!("k{number}"));
        let fence = start(&*harness.here, &wanted).await;
        write(fence)
            .step(0, "first")
            .then(then.clone())
            .written(&*harness.here)
            .await;
        let found = progress(&*harness.there, fence.execution, fence.run).await;
        assert_eq!(found.input, wanted.input, "{then:?}");
        assert_eq!(found.checkpoints.len(), 1, "{then:?}");
    }
}

pub async fn a_load_after_an_acquisition_sees_every_acknowledged_checkpoint<S: Store>(harness: Harness<S>) {
    for round in 0..10 {
        let mut fence = started(&*harness.here, &format!("k{round}")).await;
        for seq in 0..10 {
            let (writer, reader) = match seq % 2 {
                0 => (&harness.here, &harness.there),
                _ => (&harness.there, &harness.here),
            };
            write(fence).step(seq, "x").written(&**writer).await;
            fence = take(&**reader, fence.execution, How::TakeOver).await.1;
            let found = progress(&**reader, fence.execution, fence.run).await;
            assert_eq!(found.checkpoints.len(), usize::try_from(seq).expect("small") + 1);
        }
    }
}

pub async fn checkpoints_of_other_executions_do_not_show<S: Store>(harness: Harness<S>) {
    let fences = all_at_once(32, |number| {
        let store = harness.here.clone();
        async move {
            let fence = started(&*store, &format!("k{number}")).await;
            write(fence)
                .step(0, &format!("of {number}"))
                .written(&*store)
                .await;
            (number, fence)
        }
    })
    .await;
    for (number, fence) in fences {
        let found = progress(&*harness.there, fence.execution, fence.run).await;
        assert_eq!(found.input, payload(&format!("input of k{number}")));
        assert_eq!(found.checkpoints.len(), 1);
        assert_eq!(found.checkpoints[0].output, payload(&format!("of {number}")));
    }
}

pub async fn a_load_tells_the_time_by_the_clock_of_the_checkpoints<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    write(fence).step(0, "first").written(&*harness.here).await;
    for hours in 0..3 {
        let found = progress(&*harness.there, fence.execution, fence.run).await;
        let since = found.now.duration_since(found.checkpoints[0].at);
        let since = since.expect("recorded before");
        assert_near(Some(since), Some(hours * HOUR), "since it was recorded");
        harness.clock.advance(HOUR);
    }
}
