//! What does an engine make of a store that fails at any one call, in any way? A story is told on a
//! real store in a [`FaultyStore`](crate::faulty::FaultyStore): the first call fails, then the
//! second, until the story needs no more calls. Every caller ends with the same output, no step runs
//! more often than the fault explains, and a transactional step takes effect exactly once.
//!
//! A store's author says what the transactional step writes ([`Ground`]) and adds one line:
//!
//! ```text
//! store_conformance::under_faults_suite!(fresh);
//! ```

mod elsewhere;
mod story;

use std::future::Future;

use keystep::store::{Store, StoreError};
use keystep::{StepContext, StepResult};

use crate::faulty::{Call, Fault, Faults};
use story::{Runs, tell};

/// A fresh database, and what a transactional step writes there. Clones are the same database.
pub trait Ground: Clone + Send + Sync + 'static {
    /// A handle onto the database.
    type Store: Store + Clone;

    /// Opens a handle, as another process does. All handles onto one database share one clock.
    fn open(&self) -> impl Future<Output = Self::Store> + Send;

    /// Writes a row with this mark in a transaction of the step's own, and enlists it. Not called
    /// when the store has no transactions.
    fn book(
        &self,
        store: &Self::Store,
        cx: &StepContext,
        mark: &str,
    ) -> impl Future<Output = StepResult<()>> + Send;

    /// How many rows with this mark there are.
    fn rows(&self, store: &Self::Store, mark: &str) -> impl Future<Output = u64> + Send;
}

/// Makes one test for each promise of an engine under faults. The function makes a fresh
/// [`Ground`](crate::under_faults::Ground).
#[macro_export]
macro_rules! under_faults_suite {
    ($ground:path) => {
        $crate::under_faults_suite!($ground:
            a_lost_answer_never_repeats_a_step,
            an_outage_of_one_call_repeats_only_what_was_rolled_back,
            a_restarted_server_repeats_at_most_the_step_whose_result_it_did_not_record,
            a_refused_value_ends_the_run_and_the_next_call_resumes,
            a_lost_commit_is_asked_for_until_there_is_an_answer,
            a_look_or_a_beat_that_fails_breaks_no_promise,
            what_a_dead_owner_left_is_finished_whatever_call_fails,
            a_caller_of_what_runs_elsewhere_gets_its_answer_whatever_call_fails,
        );
    };
    ($ground:path: $($promise:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            $crate::under_faults::$promise($ground().await).await;
        }
    )*};
}

/// What is not about one execution: who lives, and what there is to do.
const BACKGROUND: [Call; 8] = [
    Call::Due,
    Call::Orphans,
    Call::Owned,
    Call::Register,
    Call::Beat,
    Call::Observe,
    Call::Retire,
    Call::Purge,
];

/// The step that writes in its own transaction commits with this commit of an undisturbed story.
const COMMIT_OF_THE_BOOKING: u64 = 4;

/// Runs at most, each step: the second one fails once in every telling.
const ONCE: Runs = [1, 2, 1, 1];
/// The transaction of a step that was not committed is rolled back, and the step is run again.
const ROLLED_BACK: Runs = [1, 2, 2, 1];
/// What was not recorded is run again.
const NOT_RECORDED: Runs = [2, 3, 2, 2];

fn every_fault() -> Vec<Fault> {
    let mut faults = Fault::each_refusal();
    faults.push(Fault::LoseAnswer);
    faults
}

fn by_script(error: fn(String) -> StoreError) -> Fault {
    Fault::Refuse(error("by script".to_owned()))
}

/// Tells the story with the fault at each call, until it happens no more.
async fn at_each_call<G: Ground>(ground: &G, fault: Fault, most: Runs) {
    let store = ground.open().await;
    for nth in 1.. {
        assert!(nth < 100, "the story has no end");
        let what = format!("{fault:?} at call {nth}");
        let script = |faults: &Faults| faults.script(Call::STORY, nth, fault.clone());
        let told = tell(ground, &store, &what, script).await;
        told.ran_at_most(most, &what);
        if !told.all_happened {
            assert!(nth > 10, "the fault was tried at {} calls only", nth - 1);
            return;
        }
    }
}

#[expect(missing_docs, reason = "its name is the promise")]
pub async fn a_lost_answer_never_repeats_a_step<G: Ground>(ground: G) {
    at_each_call(&ground, Fault::LoseAnswer, ONCE).await;
}

#[expect(missing_docs, reason = "its name is the promise")]
pub async fn an_outage_of_one_call_repeats_only_what_was_rolled_back<G: Ground>(ground: G) {
    at_each_call(&ground, by_script(StoreError::Unavailable), ROLLED_BACK).await;
    at_each_call(&ground, by_script(StoreError::Unknown), ROLLED_BACK).await;
    at_each_call(&ground, by_script(StoreError::Refused), ROLLED_BACK).await;
}

#[expect(missing_docs, reason = "its name is the promise")]
pub async fn a_restarted_server_repeats_at_most_the_step_whose_result_it_did_not_record<G: Ground>(
    ground: G,
) {
    at_each_call(&ground, Fault::Refuse(StoreError::Restarted), NOT_RECORDED).await;
}

#[expect(missing_docs, reason = "its name is the promise")]
pub async fn a_refused_value_ends_the_run_and_the_next_call_resumes<G: Ground>(ground: G) {
    at_each_call(&ground, by_script(StoreError::Rejected), NOT_RECORDED).await;
    at_each_call(&ground, by_script(StoreError::Unreadable), ROLLED_BACK).await;
}

/// The commit of the step's own transaction gets no answer, and then the question about it fails.
pub async fn a_lost_commit_is_asked_for_until_there_is_an_answer<G: Ground>(ground: G) {
    let store = ground.open().await;
    if !store.describe().transactions {
        return;
    }
    let lost = [
        (Fault::LoseAnswer, ONCE),
        (by_script(StoreError::Unknown), ROLLED_BACK),
    ];
    for (lost, most) in lost {
        for fault in every_fault() {
            for nth in 1.. {
                assert!(nth < 10, "the story has no end");
                let what = format!("{lost:?} at the booking's commit, {fault:?} at question {nth}");
                let script = |faults: &Faults| {
                    faults.script(&[Call::Commit], COMMIT_OF_THE_BOOKING, lost.clone());
                    faults.script(&[Call::Confirm], nth, fault.clone());
                };
                let told = tell(&ground, &store, &what, script).await;
                told.ran_at_most(most, &what);
                if !told.all_happened {
                    assert!(nth > 1, "nobody asked: {what}");
                    break;
                }
            }
        }
    }
}

/// Each of those calls fails once, in each way; then all of them fail as long as the story takes.
pub async fn a_look_or_a_beat_that_fails_breaks_no_promise<G: Ground>(ground: G) {
    let store = ground.open().await;
    for call in BACKGROUND {
        for fault in every_fault() {
            let what = format!("{fault:?} at the first {call:?}");
            let script = |faults: &Faults| faults.script(&[call], 1, fault.clone());
            let told = tell(&ground, &store, &what, script).await;
            told.ran_at_most(ONCE, &what);
        }
    }
    let all_but_the_start: Vec<Call> = BACKGROUND
        .into_iter()
        .filter(|call| *call != Call::Register)
        .collect();
    for fault in Fault::each_refusal() {
        let Fault::Refuse(error) = fault else { continue };
        let what = format!("{error:?} at every look and beat");
        let script = |faults: &Faults| faults.script_outage(&all_but_the_start, &error);
        let told = tell(&ground, &store, &what, script).await;
        told.ran_at_most(ONCE, &what);
    }
}

/// One call fails in a process that takes over from a dead one. Nobody calls, and it goes on.
pub async fn what_a_dead_owner_left_is_finished_whatever_call_fails<G: Ground>(ground: G) {
    let calls = [Call::Due, Call::Orphans, Call::Acquire, Call::Load, Call::Commit];
    for call in calls {
        for fault in every_fault() {
            elsewhere::take_over(&ground, call, &fault).await;
        }
    }
}

/// One call fails in a process that waits for another one's result.
pub async fn a_caller_of_what_runs_elsewhere_gets_its_answer_whatever_call_fails<G: Ground>(ground: G) {
    for fault in every_fault() {
        elsewhere::follow(&ground, Call::Begin, 1, &fault).await;
        for nth in 1..=3 {
            elsewhere::follow(&ground, Call::Find, nth, &fault).await;
        }
    }
}
