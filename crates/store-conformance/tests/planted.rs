//! Each planted bug is found by the promise that names it, and by no more than a few others.
//!
//! All cases run against each planted store, in one thread, so that every run takes the same
//! course. The list of promises that a bug breaks is pinned whole: a case that lost its teeth and a
//! case that cries wolf both show here.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use keystep::memory::MemoryStore;
use keystep::store::Store;
use store_conformance::planted::{self, Plant, Planted};
use store_conformance::{Harness, cases};

fn fresh<P: Plant<MemoryStore>>(here: P, there: P) -> Harness<Planted<MemoryStore, P>> {
    let store = MemoryStore::new();
    let other = store.another_handle();
    Harness::new(Planted::new(store, here), Planted::new(other, there)).ending_sessions_with(
        async |store: std::sync::Arc<Planted<MemoryStore, P>>, worker| store.inner().end_session(worker),
    )
}

/// The names of the promises that stores from this factory break.
async fn broken<S: Store>(factory: impl Fn() -> Harness<S>) -> Vec<&'static str> {
    let mut broken = Vec::new();
    for case in cases::<S>() {
        // The random case finds everything in the end; here each promise must do so by itself.
        if case.topic == "random" {
            continue;
        }
        let run = AssertUnwindSafe((case.run)(factory())).catch_unwind();
        let outcome = tokio::time::timeout(Duration::from_secs(20), run).await;
        if !matches!(outcome, Ok(Ok(()))) {
            broken.push(case.name);
        }
    }
    broken
}

/// One test for each bug: the promise that names it, then the others that it breaks too.
macro_rules! planted {
    ($($test:ident: $plant:expr => $named:ident $(, $also:ident)* $(,)?;)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                let found = broken(|| {
                    let plant = $plant;
                    let (here, there) = plant;
                    fresh(here, there)
                })
                .await;
                assert!(found.contains(&stringify!($named)), "not found, only {found:#?}");
                let mut expected = vec![stringify!($named) $(, stringify!($also))*];
                let mut found = found;
                expected.sort_unstable();
                found.sort_unstable();
                assert_eq!(found, expected);
            }
        )*
    };
}

/// The same bug in both processes, sharing what it remembers.
fn both<P: Clone>(plant: P) -> (P, P) {
    (plant.clone(), plant)
}

/// The same bug in both processes, each with a memory of its own.
fn each<P: Default>() -> (P, P) {
    (P::default(), P::default())
}

#[tokio::test]
async fn without_a_plant_no_promise_is_broken() {
    struct Nothing;
    impl Plant<MemoryStore> for Nothing {}
    let none: Vec<&str> = Vec::new();
    assert_eq!(broken(|| fresh(Nothing, Nothing)).await, none);
}

/// Who hears of a write before it is done meets its absence in whatever is read next, so the whole
/// list would be half of the suite. The promise that names the bug must be on it.
#[tokio::test]
async fn an_acknowledgement_before_the_verdict_is_found() {
    let found = broken(|| {
        let (here, there) = each::<planted::AcknowledgedBeforeVerdict>();
        fresh(here, there)
    })
    .await;
    assert!(
        found.contains(&"written_means_that_everybody_can_read_it"),
        "only {found:#?}"
    );
    assert!(
        found.contains(&"a_lost_claim_refuses_the_commit"),
        "only {found:#?}"
    );
    assert!(!found.contains(&"a_begun_key_is_running_in_generation_one_and_epoch_one"));
}

planted! {
    a_missing_fence_is_found: both(planted::FenceMissing)
        => a_lost_claim_refuses_the_commit,
        a_claim_with_another_run_is_no_fence,
        a_fenced_write_of_a_recorded_step_is_fenced,
        a_finish_and_a_takeover_at_once_never_both_win,
        a_takeover_and_commits_at_once_never_both_win,
        a_token_with_another_epoch_is_no_fence,
        an_epoch_without_its_token_is_no_fence,
        an_owner_that_came_back_writes_only_under_its_new_claim,
        commits_of_many_owners_get_each_their_own_verdict,
        the_fence_of_an_old_run_writes_nothing,
        a_message_is_there_exactly_with_its_write,
        a_failure_that_yields_is_not_written_under_a_wish;
    a_fence_without_the_token_is_found: both(planted::ClaimNotCompared)
        => an_epoch_without_its_token_is_no_fence;
    a_fence_without_the_state_is_found: both(planted::StateNotCompared)
        => an_execution_that_is_not_running_refuses_a_new_write,
        another_write_after_the_end_is_no_resend,
        a_message_is_there_exactly_with_its_write,
        a_tombstone_takes_no_late_write;
    a_resend_answered_as_a_failure_is_found: both(planted::ResendIsFailure)
        => a_write_sent_again_is_written_and_changes_nothing,
        a_write_sent_again_at_the_same_moment_is_recorded_once,
        a_write_without_a_checkpoint_sent_again_is_written,
        an_earlier_write_sent_again_after_the_end_is_written,
        a_write_sent_again_adds_no_messages,
        a_failure_that_yields_is_not_written_under_a_wish;
    a_verdict_joined_on_the_step_is_found: both(planted::VerdictJoinedOnStep)
        => one_step_sent_by_many_writes_at_once_is_written_once,
        a_step_recorded_before_a_takeover_exists_for_the_next_owner,
        a_step_recorded_by_another_write_exists,
        commits_of_many_owners_get_each_their_own_verdict,
        a_message_is_there_exactly_with_its_write,
        a_write_with_messages_sent_at_the_same_moment_is_one,
        a_failure_that_yields_is_not_written_under_a_wish;
    outputs_kept_as_text_are_found: both(planted::PayloadsAsText)
        => an_output_reads_back_byte_for_byte;

    an_attach_merged_into_begin_is_found: both(planted::AttachMergedIntoBegin)
        => of_many_begins_of_one_key_exactly_one_is_started,
        a_purge_that_meets_callers_leaves_no_half_state,
        many_keys_begun_twice_at_once_are_each_started_once;
    a_begin_that_starts_twice_is_found: both(planted::BeginStartsTwice)
        => a_second_begin_answers_the_execution_that_is_there,
        a_begin_of_a_finished_key_answers_its_outcome,
        a_begin_of_an_expired_key_leaves_the_recycling_to_the_caller,
        a_begin_sent_again_after_a_takeover_has_not_started,
        a_key_of_another_text_under_the_same_id_is_shown,
        a_purge_that_meets_callers_leaves_no_half_state,
        a_recycled_key_is_a_new_generation_of_the_same_row,
        an_old_generation_never_answers_for_a_new_one,
        many_keys_begun_twice_at_once_are_each_started_once,
        of_many_begins_of_one_key_exactly_one_is_started,
        a_purge_can_leave_a_tombstone;
    keys_without_their_trailing_spaces_are_found: both(planted::KeysTrimmed)
        => awkward_keys_stay_distinct_and_read_back_exactly;

    an_old_outcome_that_answers_for_a_new_generation_is_found: both(planted::OldOutcomeCached::default())
        => an_old_generation_never_answers_for_a_new_one,
        a_begin_of_an_expired_key_leaves_the_recycling_to_the_caller,
        a_purge_deletes_the_checkpoints_too,
        a_recycled_key_is_a_new_generation_of_the_same_row,
        a_message_outlives_its_execution,
        a_purge_can_leave_a_tombstone,
        a_tombstone_goes_with_a_later_purge;
    checkpoints_that_survive_their_generation_are_found: both(planted::CheckpointsByKey::default())
        => an_old_generation_never_answers_for_a_new_one,
        a_purge_deletes_the_checkpoints_too,
        a_recycled_key_is_a_new_generation_of_the_same_row,
        a_message_outlives_its_execution,
        a_remembered_key_can_be_used_anew,
        a_tombstone_goes_with_a_later_purge,
        signals_last_as_long_as_their_run;
    an_epoch_that_falls_is_found: both(planted::EpochFalls::default())
        => the_epoch_of_a_key_never_falls,
        a_recycled_key_is_a_new_generation_of_the_same_row,
        a_restart_is_a_new_generation_with_a_new_run,
        a_won_acquisition_sent_again_is_won_and_changes_nothing,
        of_many_acquisitions_of_one_row_exactly_one_wins;
    a_purge_without_a_limit_is_found: both(planted::PurgeWithoutLimit)
        => a_purge_deletes_at_most_its_limit,
        a_purge_that_remembers_takes_at_most_its_limit;

    progress_of_which_the_first_stays_is_found: both(planted::FirstProgressStays)
        => later_progress_takes_the_place_of_earlier,
        progress_after_the_end_is_fenced;
    signals_that_are_sent_twice_are_found: both(planted::SignalsSentTwice)
        => a_signal_sent_again_is_sent_and_changes_nothing,
        a_signal_at_the_same_moment_as_its_copy_is_kept_once,
        a_second_signal_is_refused_where_one_is_enough,
        signals_last_as_long_as_their_run;
    a_count_of_signals_that_is_not_compared_is_found: both(planted::CountNotCompared)
        => a_signal_before_the_wait_makes_it_due_at_once,
        a_signal_and_a_wait_at_once_are_never_slept_through;
    a_wish_for_owners_only_is_found: both(planted::WishForOwnersOnly)
        => a_wish_makes_what_nobody_owns_due_at_once,
        an_acquisition_keeps_the_wish,
        a_wish_and_an_end_at_once_are_never_slept_through;
    a_wish_that_is_not_compared_is_found: both(planted::WishNotCompared)
        => what_is_put_down_under_the_wish_that_its_owner_knows_is_not_due_for_it;
    messages_with_each_send_are_found: both(planted::MessagesWithEachSend)
        => a_write_sent_again_adds_no_messages,
        a_message_is_there_exactly_with_its_write,
        a_write_with_messages_sent_at_the_same_moment_is_one;
    an_outbox_that_is_read_backwards_is_found: both(planted::OutboxBackwards)
        => messages_come_in_the_order_in_which_they_were_written,
        a_message_is_there_exactly_with_its_write,
        a_message_outlives_its_execution,
        a_write_sent_again_adds_no_messages,
        delivered_messages_are_gone,
        messages_come_with_every_end,
        messages_of_many_at_once_keep_the_order_of_their_execution,
        the_oldest_messages_come_first_without_those_left_out;
    a_leader_that_is_not_alone_is_found: both(planted::EveryWorkerLeads)
        => one_worker_leads_until_it_is_dead,
        who_steps_down_leaves_the_outbox_to_others,
        of_many_that_want_to_lead_one_does;
    a_purge_that_remembers_nothing_is_found: both(planted::NothingRemembered)
        => a_purge_can_leave_a_tombstone,
        a_tombstone_goes_with_a_later_purge,
        a_tombstone_is_taken_by_a_restart_only,
        a_remembered_key_can_be_used_anew;

    an_acquisition_by_key_only_is_found: both(planted::AcquireByKeyOnly)
        => of_many_acquisitions_of_one_row_exactly_one_wins,
        a_won_acquisition_sent_again_after_the_next_owner_is_lost,
        an_acquisition_by_an_older_view_is_lost_and_changes_nothing,
        an_acquisition_of_a_row_that_moved_on_is_lost;
    a_load_from_before_the_takeover_is_found: both(planted::LoadFromBeforeTakeover::default())
        => a_takeover_and_commits_at_once_never_both_win,
        later_progress_takes_the_place_of_earlier;
    a_burial_without_a_look_is_found: both(planted::BuriedUnseen)
        => a_worker_that_has_beaten_since_is_not_buried;
    a_sweep_of_the_living_is_found: both(planted::SweepOfTheLiving)
        => work_of_a_live_worker_is_no_orphan,
        a_lost_session_alone_makes_no_orphan,
        an_orphan_taken_over_belongs_to_its_new_owner,
        two_observers_sweep_each_orphan_once,
        work_of_a_dead_retired_or_unknown_worker_is_an_orphan;
}
