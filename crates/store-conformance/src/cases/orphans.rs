//! Orphans and owned: running executions by the life of their owner.

use std::collections::HashSet;

use keystep::execution::{ExecutionId, WorkerId};
use keystep::store::{Begin, How, Shapes, Store, Wanted};

use super::liveness::registered;
use crate::Harness;
use crate::fixture::{
    acquire_of, begin_of, every_end, numbered_plan, numbered_shape, record, shape, start, win, write,
};

async fn orphans<S: Store>(store: &S, shapes: Shapes, limit: u32) -> HashSet<ExecutionId> {
    let wanted = Wanted { shapes, limit };
    let found = store.orphans(wanted).await.expect("answered");
    assert!(found.len() <= limit as usize, "at most the limit");
    let ids: HashSet<ExecutionId> = found.iter().map(|seen| seen.id).collect();
    assert_eq!(ids.len(), found.len(), "each once");
    for seen in found {
        assert_eq!(seen, record(store, seen.id).await.seen(), "as it is");
    }
    ids
}

/// Orphans of the shape that most cases use.
pub(super) async fn orphan_ids<S: Store>(store: &S) -> HashSet<ExecutionId> {
    orphans(store, Shapes::Only(vec![shape()]), 100).await
}

async fn owned_by<S: Store>(store: &S, owner: WorkerId, text: &str) -> ExecutionId {
    let wanted = Begin {
        owner,
        ..begin_of(text)
    };
    start(store, &wanted).await.execution
}

pub async fn work_of_a_live_worker_is_no_orphan<S: Store>(harness: Harness<S>) {
    let worker = registered(&*harness.here).await;
    owned_by(&*harness.here, worker, "k").await;
    assert_eq!(orphan_ids(&*harness.there).await, HashSet::new());
    harness.here.beat(worker).await.expect("answered");
    assert_eq!(orphan_ids(&*harness.there).await, HashSet::new());
}

pub async fn work_of_a_dead_retired_or_unknown_worker_is_an_orphan<S: Store>(harness: Harness<S>) {
    let dead = registered(&*harness.here).await;
    let retired = registered(&*harness.there).await;
    let mut expected = HashSet::new();
    expected.insert(owned_by(&*harness.here, dead, "dead").await);
    expected.insert(owned_by(&*harness.there, retired, "retired").await);
    assert_eq!(orphan_ids(&*harness.there).await, HashSet::new());
    assert!(harness.there.bury(dead, 0).await.expect("buried"));
    harness.there.retire(retired).await.expect("retired");
    expected.insert(owned_by(&*harness.here, WorkerId::fresh(), "unknown").await);
    for store in [&harness.here, &harness.there] {
        assert_eq!(orphan_ids(&**store).await, expected);
    }
    let two = orphans(&*harness.here, Shapes::Only(vec![shape()]), 2).await;
    assert_eq!(two.len(), 2);
    let none = orphans(&*harness.here, Shapes::Only(vec![shape()]), 0).await;
    assert_eq!(none.len(), 0);
}

pub async fn a_lost_session_alone_makes_no_orphan<S: Store>(mut harness: Harness<S>) {
    let worker = registered(&*harness.there).await;
    owned_by(&*harness.there, worker, "k").await;
    harness.end_session_there(worker).await;
    super::liveness::session_is_lost(&harness, worker).await;
    assert_eq!(
        orphan_ids(&*harness.here).await,
        HashSet::new(),
        "only an observer declares a worker dead"
    );
}

pub async fn only_running_executions_are_orphans_or_owned<S: Store>(harness: Harness<S>) {
    let worker = WorkerId::fresh();
    for (number, then) in every_end().into_iter().enumerate() {
        let wanted = Begin {
            owner: worker,
            ..begin_of(&format!("k{number}"))
        };
        let fence = start(&*harness.here, &wanted).await;
        write(fence)
            .step(0, "first")
            .then(then)
            .written(&*harness.here)
            .await;
    }
    assert_eq!(orphan_ids(&*harness.there).await, HashSet::new());
    assert_eq!(harness.there.owned(worker).await.expect("answered"), []);
}

pub async fn only_orphans_of_the_wanted_shapes_are_shown<S: Store>(harness: Harness<S>) {
    let mut all = Vec::new();
    for number in 1..=3 {
        let plan = numbered_plan(number);
        let wanted = Begin {
            plan: plan.id,
            shape: plan.shape,
            ..begin_of(&format!("shape {number}"))
        };
        all.push(start(&*harness.here, &wanted).await.execution);
    }
    let second = vec![numbered_shape(2)];
    let only = orphans(&*harness.there, Shapes::Only(second.clone()), 100).await;
    assert_eq!(only, HashSet::from([all[1]]));
    let except = orphans(&*harness.there, Shapes::Except(second), 100).await;
    assert_eq!(except, HashSet::from([all[0], all[2]]));
    let none = orphans(&*harness.there, Shapes::Only(Vec::new()), 100).await;
    assert_eq!(none, HashSet::new());
    let every = orphans(&*harness.there, Shapes::Except(Vec::new()), 100).await;
    assert_eq!(every.len(), 3);
}

pub async fn an_orphan_taken_over_belongs_to_its_new_owner<S: Store>(harness: Harness<S>) {
    let (dead, heir) = (WorkerId::fresh(), registered(&*harness.there).await);
    let id = owned_by(&*harness.here, dead, "k").await;
    let seen = record(&*harness.there, id).await.seen();
    let mut wanted = acquire_of(seen, How::TakeOver);
    wanted.owner = heir;
    let (won, _) = win(&*harness.there, &wanted).await;
    assert_eq!(orphan_ids(&*harness.here).await, HashSet::new());
    assert_eq!(harness.here.owned(dead).await.expect("answered"), []);
    let owned = harness.here.owned(heir).await.expect("answered");
    assert_eq!(owned, [won.seen()]);
}

pub async fn owned_shows_all_running_work_of_a_worker<S: Store>(harness: Harness<S>) {
    let (one, other) = (WorkerId::fresh(), WorkerId::fresh());
    let mut expected = HashSet::new();
    for number in 0..20 {
        expected.insert(owned_by(&*harness.here, one, &format!("one {number}")).await);
        owned_by(&*harness.here, other, &format!("other {number}")).await;
    }
    let owned = harness.there.owned(one).await.expect("answered");
    let ids: HashSet<ExecutionId> = owned.iter().map(|seen| seen.id).collect();
    assert_eq!((owned.len(), ids), (expected.len(), expected));
    let none = harness.there.owned(WorkerId::fresh()).await;
    assert_eq!(none.expect("answered"), []);
}

pub async fn two_observers_sweep_each_orphan_once<S: Store>(harness: Harness<S>) {
    const ORPHANS: usize = 40;
    let observers = [
        registered(&*harness.here).await,
        registered(&*harness.there).await,
    ];
    for number in 0..ORPHANS {
        owned_by(&*harness.here, WorkerId(13), &format!("k{number}")).await;
    }
    let sweeps = crate::fixture::all_at_once(4, |number| {
        let store = [&harness.here, &harness.there][number % 2].clone();
        async move {
            let wanted = Wanted {
                shapes: Shapes::Except(Vec::new()),
                limit: 1000,
            };
            let mut won = Vec::new();
            for seen in store.orphans(wanted).await.expect("answered") {
                let mut wish = acquire_of(seen, How::TakeOver);
                wish.owner = observers[number % 2];
                let answer = store.acquire(wish).await.expect("answered");
                if answer != keystep::store::Acquired::Lost {
                    won.push(seen.id);
                }
            }
            won
        }
    })
    .await;
    let mut all: Vec<ExecutionId> = sweeps.into_iter().flatten().collect();
    let taken = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!((taken, all.len()), (ORPHANS, ORPHANS), "each one once");
    for id in all {
        let now = record(&*harness.here, id).await;
        assert_eq!((now.claim.epoch, now.lost), (2, 1));
    }
}
