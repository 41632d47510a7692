//! Who owns a row when many want it at once? At most one, and it sees what was recorded before.

use std::collections::HashMap;

use keystep::execution::{ExecutionId, Fence, Seen, State, WorkerId};
use keystep::store::{Acquired, How, Register, Shapes, Store, Then, Verdict, Wanted};

use super::Crowd;
use crate::fixture::{
    HOUR, acquire_of, all_at_once, begin_of, ended, progress, record, restart, shape, start, started,
    succeed, write,
};

/// Rounds of races, each on keys of its own.
const ROUNDS: usize = 60;
/// Races of a round at the same moment, so that a store which gathers writes judges several of them
/// in one statement.
const AT_ONCE: usize = 8;

/// What came of one race of an owner's write against a takeover.
struct Raced {
    fence: Fence,
    verdict: Verdict,
    won: bool,
    /// How many steps the other side loaded after its takeover was answered.
    loaded: usize,
}

/// Lets a write of the owner race a takeover through two handles, sometimes one a little later.
async fn race<S: Store + Clone>(crowd: &Crowd<S>, round: usize, then: fn() -> Then) -> Vec<Raced> {
    let mut rows = Vec::new();
    for nth in 0..AT_ONCE {
        let fence = started(crowd.first(), &format!("{round}/{nth}")).await;
        rows.push((fence, record(crowd.first(), fence.execution).await.seen()));
    }
    all_at_once(AT_ONCE, |nth| {
        let (fence, seen) = rows[nth];
        let (owner, taker) = (crowd.handles[0].clone(), crowd.handles[1].clone());
        async move {
            let wrote = tokio::spawn(async move {
                later(round % 4).await;
                write(fence).step(0, "output").then(then()).send(&owner).await
            });
            let took = tokio::spawn(async move {
                later(round / 4 % 4).await;
                let won = wins(&taker, seen, How::TakeOver).await;
                let loaded = progress(&taker, fence.execution, fence.run).await;
                (won, loaded.checkpoints.len())
            });
            let (won, loaded) = took.await.expect("no panic");
            Raced {
                fence,
                verdict: wrote.await.expect("no panic"),
                won,
                loaded,
            }
        }
    })
    .await
}

async fn later(turns: usize) {
    for _turn in 0..turns * 4 {
        tokio::task::yield_now().await;
    }
}

async fn wins<S: Store>(store: &S, seen: Seen, how: How) -> bool {
    let acquired = store.acquire(acquire_of(seen, how)).await;
    matches!(
        acquired.expect("an acquisition is answered"),
        Acquired::Won { .. }
    )
}

/// A checkpoint is there for the new owner, or it never is.
pub async fn a_checkpoint_and_a_takeover_that_race_agree_on_what_is_recorded<S: Store + Clone>(
    crowd: Crowd<S>,
) {
    for round in 0..ROUNDS {
        for raced in race(&crowd, round, || Then::Continue).await {
            let Fence { execution, run, .. } = raced.fence;
            assert!(raced.won, "a checkpoint leaves the claim as it was");
            let recorded = progress(crowd.first(), execution, run).await.checkpoints.len();
            let expected = usize::from(raced.verdict == Verdict::Written);
            assert_eq!(
                (raced.loaded, recorded),
                (expected, expected),
                "loaded and recorded, after {:?} in round {round}",
                raced.verdict
            );
        }
    }
}

/// Either it is finished, or it has a new owner and no trace of the old one's last write.
pub async fn a_finish_and_a_takeover_that_race_never_both_win<S: Store + Clone>(crowd: Crowd<S>) {
    for round in 0..ROUNDS {
        for raced in race(&crowd, round, || succeed(0)).await {
            let Fence { execution, run, .. } = raced.fence;
            let now = record(crowd.first(), execution).await;
            let recorded = progress(crowd.first(), execution, run).await.checkpoints.len();
            let seen = (raced.won, now.state, recorded);
            match raced.verdict {
                Verdict::Written => assert_eq!(seen, (false, State::Succeeded, 1), "round {round}"),
                Verdict::Fenced => assert_eq!(seen, (true, State::Running, 0), "round {round}"),
                other @ (Verdict::Exists(_) | Verdict::Wished) => panic!("nobody else meets it: {other:?}"),
            }
        }
    }
}

/// Sweeps take what they saw, and saw the same: orphans of a dead worker, and what is due.
pub async fn two_and_four_sweeps_that_saw_the_same_rows_take_each_once<S: Store + Clone>(crowd: Crowd<S>) {
    const ROWS: usize = 25;
    for round in 0..10 {
        let sweeps = [2, 4][round % 2];
        let of_the_dead = round / 2 % 2 == 0;
        let dead = WorkerId::fresh();
        crowd.first().register(worker(dead)).await.expect("registered");
        for nth in 0..ROWS {
            let mut wanted = begin_of(&format!("{round}/{nth}"));
            wanted.owner = dead;
            let fence = start(crowd.first(), &wanted).await;
            if !of_the_dead {
                write(fence).then(Then::Release).written(crowd.first()).await;
            }
        }
        crowd.first().retire(dead).await.expect("retired");
        let mut saw = Vec::new();
        for store in &crowd.handles[..sweeps] {
            let found = if of_the_dead {
                store.orphans(all()).await
            } else {
                store.due(all()).await
            };
            saw.push(found.expect("a look is answered"));
        }
        assert_eq!(saw.iter().map(Vec::len).min(), Some(ROWS), "each sweep saw all");
        let how = || match of_the_dead {
            true => How::TakeOver,
            false => How::Resume { keep_tries: true },
        };
        let taken = all_at_once(sweeps * ROWS, |task| {
            let (store, row) = (
                crowd.handles[task % sweeps].clone(),
                saw[task % sweeps][task / sweeps],
            );
            let how = how();
            async move { wins(&store, row, how).await.then_some(row.id) }
        });
        let mut times: HashMap<ExecutionId, u32> = HashMap::new();
        for id in taken.await.into_iter().flatten() {
            *times.entry(id).or_default() += 1;
        }
        assert_eq!(times.len(), ROWS, "each is taken");
        for (id, times) in times {
            let now = record(crowd.first(), id).await;
            let once = (1, 2, i32::from(of_the_dead));
            assert_eq!(
                (times, now.claim.epoch, now.lost),
                once,
                "{sweeps} sweeps took {id}"
            );
            // Out of the way of the next round.
            let (_record, fence) = crate::fixture::take(crowd.first(), id, How::TakeOver).await;
            write(fence)
                .step(0, "done")
                .then(succeed(0))
                .written(crowd.first())
                .await;
        }
    }
}

fn worker(worker: WorkerId) -> Register {
    Register {
        worker,
        name: "crowd".into(),
        shapes: vec![shape()],
    }
}

fn all() -> Wanted {
    Wanted {
        shapes: Shapes::Only(vec![shape()]),
        limit: 1_000,
    }
}

/// One of them begins the new generation; nothing of the old one is left, and the others see it.
pub async fn four_who_recycle_an_expired_key_start_it_once<S: Store + Clone>(crowd: Crowd<S>) {
    for round in 0..ROUNDS {
        let old = ended(crowd.first(), &format!("{round}"), succeed(0)).await;
        crowd.clock().advance(25 * HOUR);
        let expired = record(crowd.first(), old.execution).await;
        assert_eq!(
            expired.expires_in,
            Some(std::time::Duration::ZERO),
            "its retention is over"
        );
        let seen = expired.seen();
        let won = all_at_once(crowd.handles.len(), |nth| {
            let store = crowd.handles[nth].clone();
            async move {
                let won = wins(&store, seen, restart()).await;
                (won, record(&store, old.execution).await)
            }
        })
        .await;
        assert_eq!(
            won.iter().filter(|(won, _)| *won).count(),
            1,
            "one begins it anew"
        );
        let now = record(crowd.first(), old.execution).await;
        assert_eq!((now.generation, now.state), (2, State::Running));
        for (_won, seen) in won {
            assert_eq!(
                (seen.run, seen.claim),
                (now.run, now.claim),
                "everybody sees the same"
            );
        }
        let of_old = crowd
            .first()
            .load(old.execution, old.run)
            .await
            .expect("an answer");
        assert_eq!(of_old, None, "the old run is gone");
        let of_new = progress(crowd.first(), now.id, now.run).await;
        assert_eq!(of_new.checkpoints, [], "no old checkpoint is left");
    }
}
