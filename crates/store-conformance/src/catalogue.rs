//! Which cases are there? All of them, once: tests, tables and planted stores read this list.

use std::fmt;

use keystep::store::Store;

use crate::Harness;
use crate::harness::Work;

/// One promise that can be tried on a store.
pub struct Case<S> {
    /// The file of the case.
    pub topic: &'static str,
    /// The promise.
    pub name: &'static str,
    /// Tries it; panics when the store breaks it.
    pub run: fn(Harness<S>) -> Work<()>,
}

impl<S> fmt::Debug for Case<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.topic, self.name)
    }
}

/// Every case of [`suite!`](crate::suite), to be run by hand.
pub fn cases<S: Store>() -> Vec<Case<S>> {
    crate::for_each_case!(list S)
}

/// Every case of [`transaction_suite!`](crate::transaction_suite), to be run by hand.
pub fn transaction_cases<S: Store>() -> Vec<Case<S>> {
    crate::for_each_transaction_case!(list S)
}

/// Makes one test for each case, named after its promise.
///
/// The argument is an `async fn() -> Harness<impl Store>` that makes a fresh database.
///
/// ```
/// use keystep::memory::MemoryStore;
/// use store_conformance::Harness;
///
/// async fn fresh() -> Harness<MemoryStore> {
///     let here = MemoryStore::new();
///     let there = here.another_handle();
///     Harness::new(here, there)
/// }
///
/// store_conformance::suite!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! suite {
    ($factory:path) => {
        $crate::for_each_case!(tests $factory);
    };
}

/// Makes one test for each promise about transactions that a step enlists. The factory is the one
/// of [`suite!`], and has called [`Harness::with_transactions`](crate::Harness::with_transactions).
#[macro_export]
macro_rules! transaction_suite {
    ($factory:path) => {
        $crate::for_each_transaction_case!(tests $factory);
    };
}

/// What is done with a list of cases.
#[doc(hidden)]
#[macro_export]
macro_rules! expand_cases {
    ((tests $factory:path) $($topic:ident { $($case:ident,)* })*) => {
        $($(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let case = $crate::cases::$topic::$case;
                $crate::run_case(stringify!($case), case, $factory).await;
            }
        )*)*
    };
    ((list $store:ident) $($topic:ident { $($case:ident,)* })*) => {
        vec![$($(
            $crate::Case::<$store> {
                topic: stringify!($topic),
                name: stringify!($case),
                run: |harness| Box::pin($crate::cases::$topic::$case(harness)),
            },
        )*)*]
    };
}

/// The promises that every store keeps.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_case {
    ($($what:tt)*) => {
        $crate::expand_cases! {
            ($($what)*)
            describe {
                a_handle_describes_itself_the_same_way_always,
                all_times_follow_the_shared_clock,
            }
            plans {
                a_saved_plan_reads_back_exactly,
                saving_a_plan_again_changes_nothing,
                a_plan_that_was_never_saved_is_none,
                a_plan_saved_by_many_at_once_is_saved_once,
            }
            begin {
                a_begun_key_is_running_in_generation_one_and_epoch_one,
                a_second_begin_answers_the_execution_that_is_there,
                a_begin_sent_again_is_started_and_changes_nothing,
                a_begin_sent_again_after_a_takeover_has_not_started,
                a_begin_of_a_finished_key_answers_its_outcome,
                a_begin_of_an_expired_key_leaves_the_recycling_to_the_caller,
                of_many_begins_of_one_key_exactly_one_is_started,
                many_keys_begun_twice_at_once_are_each_started_once,
                a_late_begin_of_a_dead_worker_is_an_orphan,
                a_begin_needs_no_registered_worker,
                the_age_of_a_run_is_counted_from_its_begin,
            }
            acquire {
                an_acquisition_makes_the_row_running_under_a_new_claim,
                resuming_keeps_tries_or_sets_them_to_zero,
                a_takeover_counts_a_lost_owner_and_keeps_tries,
                an_acquisition_keeps_the_checkpoints_of_the_run,
                of_many_acquisitions_of_one_row_exactly_one_wins,
                an_acquisition_by_an_older_view_is_lost_and_changes_nothing,
                an_acquisition_of_a_row_that_moved_on_is_lost,
                an_acquisition_of_an_execution_that_is_gone_is_lost,
                a_won_acquisition_sent_again_is_won_and_changes_nothing,
                a_won_acquisition_sent_again_after_the_next_owner_is_lost,
                an_acquisition_ends_a_wait_and_a_park,
            }
            restart {
                a_restart_is_a_new_generation_with_a_new_run,
                the_checkpoints_of_an_old_run_are_gone,
                an_old_generation_never_answers_for_a_new_one,
                the_fence_of_an_old_run_writes_nothing,
                a_write_of_an_old_run_is_not_confirmed,
                the_epoch_of_a_key_never_falls,
                a_recycled_key_is_a_new_generation_of_the_same_row,
            }
            fence {
                a_lost_claim_refuses_the_commit,
                an_epoch_without_its_token_is_no_fence,
                a_token_with_another_epoch_is_no_fence,
                a_claim_with_another_run_is_no_fence,
                an_execution_that_is_not_running_refuses_a_new_write,
                an_execution_that_is_not_there_refuses_the_commit,
                a_fenced_write_of_a_recorded_step_is_fenced,
                an_owner_that_came_back_writes_only_under_its_new_claim,
                a_takeover_and_commits_at_once_never_both_win,
                a_finish_and_a_takeover_at_once_never_both_win,
                a_write_under_another_server_start_is_refused_as_restarted,
            }
            commit {
                a_checkpoint_keeps_everything_it_was_given,
                written_means_that_everybody_can_read_it,
                success_gives_the_output_of_the_last_step,
                failure_gives_its_payload_and_the_tries,
                a_wait_is_due_after_its_delay,
                a_park_shows_its_reason,
                a_release_is_due_at_once_and_uses_nothing_up,
                a_new_checkpoint_changes_no_counter,
                a_step_recorded_by_another_write_exists,
                a_step_recorded_before_a_takeover_exists_for_the_next_owner,
                steps_of_one_position_or_output_are_told_apart_by_name,
                one_step_sent_by_many_writes_at_once_is_written_once,
                many_steps_of_one_owner_at_once_are_all_written,
                a_park_leaves_the_checkpoints,
                a_transaction_of_another_store_is_rejected_and_nothing_written,
            }
            resend {
                a_write_sent_again_is_written_and_changes_nothing,
                a_write_without_a_checkpoint_sent_again_is_written,
                an_earlier_write_sent_again_is_written_while_the_owner_goes_on,
                an_earlier_write_sent_again_after_the_end_is_written,
                a_write_sent_again_at_the_same_moment_is_recorded_once,
                a_write_sent_again_after_the_next_acquisition_changes_nothing,
                another_write_after_the_end_is_no_resend,
            }
            confirm {
                a_write_that_happened_is_confirmed,
                a_write_that_ended_the_ownership_is_confirmed,
                a_write_that_happened_before_a_takeover_is_confirmed,
                a_write_that_did_not_happen_is_absent,
                a_write_of_another_step_is_not_confirmed,
                a_write_of_a_lost_owner_that_did_not_happen_is_fenced,
                a_write_after_the_end_that_did_not_happen_is_fenced,
                a_write_of_an_execution_that_is_not_there_is_fenced,
            }
            load {
                checkpoints_load_by_position,
                a_run_that_is_not_there_loads_as_none,
                progress_stays_readable_after_every_end,
                a_load_after_an_acquisition_sees_every_acknowledged_checkpoint,
                checkpoints_of_other_executions_do_not_show,
                a_load_tells_the_time_by_the_clock_of_the_checkpoints,
            }
            find {
                find_answers_those_that_exist,
                find_of_nothing_is_nothing,
                reading_changes_nothing,
                pages_of_a_list_give_each_execution_once_in_the_order_of_ids,
                a_list_holds_what_matches_the_filter,
                a_list_by_states_holds_only_those,
                a_listed_execution_is_the_one_that_find_gives,
            }
            due {
                a_wait_is_due_when_its_delay_has_passed,
                what_is_due_is_shown_as_it_is,
                only_ready_and_waiting_executions_are_due,
                the_longest_due_comes_first_and_at_most_so_many,
                only_the_wanted_shapes_are_due,
                an_unknown_shape_is_due_only_for_who_knows_it,
            }
            orphans {
                work_of_a_live_worker_is_no_orphan,
                work_of_a_dead_retired_or_unknown_worker_is_an_orphan,
                a_lost_session_alone_makes_no_orphan,
                only_running_executions_are_orphans_or_owned,
                only_orphans_of_the_wanted_shapes_are_shown,
                an_orphan_taken_over_belongs_to_its_new_owner,
                owned_shows_all_running_work_of_a_worker,
                two_observers_sweep_each_orphan_once,
            }
            liveness {
                a_registered_worker_is_alive_and_seen,
                an_observer_sees_all_live_workers_but_itself,
                a_register_sent_again_changes_nothing,
                a_beat_is_seen_by_observers,
                a_beat_of_an_unknown_worker_is_dead,
                a_session_ends_with_its_process,
                a_beat_reopens_a_lost_session,
                registering_another_worker_replaces_the_session,
                a_buried_worker_is_dead_for_ever,
                a_worker_that_has_beaten_since_is_not_buried,
                burying_the_dead_answers_dead,
                of_many_observers_that_bury_all_learn_of_the_death,
                a_beat_and_a_burial_at_once_agree,
                a_retired_worker_is_dead_at_once,
                a_server_that_can_restart_shows_its_age_and_which_start_it_is,
            }
            retention {
                a_finished_key_expires_after_its_retention,
                a_key_kept_for_ever_never_expires,
                a_retention_of_a_hundred_years_is_kept,
                a_purge_deletes_the_checkpoints_too,
                a_purge_touches_only_finished_executions,
                a_resumed_failure_is_not_purged,
                a_purge_deletes_at_most_its_limit,
                purges_at_once_count_each_execution_once,
                a_purge_that_meets_callers_leaves_no_half_state,
            }
            ends {
                a_wait_shows_its_reason,
                a_wait_without_a_wake_up_is_never_due,
                an_undone_run_shows_the_failure_that_came_first,
                a_cancelled_run_is_finished_without_a_failure,
            }
            progress {
                progress_is_read_beside_the_checkpoints,
                later_progress_takes_the_place_of_earlier,
                progress_under_a_lost_claim_is_fenced,
                progress_after_the_end_is_fenced,
            }
            signal {
                signals_are_read_in_the_order_in_which_they_came,
                a_signal_sent_again_is_sent_and_changes_nothing,
                a_signal_at_the_same_moment_as_its_copy_is_kept_once,
                a_second_signal_is_refused_where_one_is_enough,
                of_many_signals_at_once_one_is_sent_where_one_is_enough,
                signals_of_many_at_once_are_all_kept,
                a_run_that_is_finished_or_gone_takes_no_signal,
                a_signal_wakes_what_waits_for_one,
                a_signal_before_the_wait_makes_it_due_at_once,
                a_signal_and_a_wait_at_once_are_never_slept_through,
                signals_last_as_long_as_their_run,
            }
            cancel {
                a_wish_to_cancel_is_shown_to_the_owner,
                a_second_wish_replaces_the_first,
                a_wish_makes_what_nobody_owns_due_at_once,
                a_wish_for_a_run_that_is_finished_or_gone_is_none,
                an_acquisition_keeps_the_wish,
                a_wish_ends_with_its_run,
                a_run_that_is_put_down_under_a_wish_is_due_at_once,
                what_is_put_down_under_the_wish_that_its_owner_knows_is_not_due_for_it,
                a_failure_that_yields_is_not_written_under_a_wish,
                a_wish_and_an_end_at_once_are_never_slept_through,
                children_are_the_unfinished_executions_of_a_parent,
                a_new_generation_has_the_parent_that_calls_it_now,
            }
            outbox {
                messages_come_in_the_order_in_which_they_were_written,
                a_message_is_there_exactly_with_its_write,
                messages_come_with_every_end,
                a_write_sent_again_adds_no_messages,
                a_write_with_messages_sent_at_the_same_moment_is_one,
                messages_of_many_at_once_keep_the_order_of_their_execution,
                the_oldest_messages_come_first_without_those_left_out,
                delivered_messages_are_gone,
                a_message_outlives_its_execution,
                one_worker_leads_until_it_is_dead,
                who_steps_down_leaves_the_outbox_to_others,
                of_many_that_want_to_lead_one_does,
            }
            tombstone {
                a_purge_can_leave_a_tombstone,
                a_tombstone_goes_with_a_later_purge,
                a_purge_that_remembers_takes_at_most_its_limit,
                a_remembered_key_can_be_used_anew,
                a_tombstone_is_taken_by_a_restart_only,
                a_tombstone_takes_no_late_write,
            }
            bytes {
                an_input_reads_back_byte_for_byte,
                an_output_reads_back_byte_for_byte,
                a_failure_reads_back_byte_for_byte,
                a_restarted_input_reads_back_byte_for_byte,
                an_input_hash_reads_back_byte_for_byte,
            }
            keys {
                awkward_keys_stay_distinct_and_read_back_exactly,
                awkward_scopes_and_schemas_stay_distinct,
                a_text_with_nul_is_rejected_or_kept_and_harms_no_other,
                a_poison_step_among_others_harms_no_other,
                a_key_of_another_text_under_the_same_id_is_shown,
            }
            concurrency {
                many_executions_at_once_all_finish,
                commits_of_many_owners_get_each_their_own_verdict,
                a_dropped_call_leaves_the_store_usable,
                answers_do_not_depend_on_who_asks_them_together,
            }
            random {
                random_operations_are_answered_as_by_the_memory_store,
            }
        }
    };
}

/// The promises that a store with transactions keeps too.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_transaction_case {
    ($($what:tt)*) => {
        $crate::expand_cases! {
            ($($what)*)
            transaction {
                a_written_checkpoint_commits_the_transaction,
                a_fenced_commit_rolls_the_transaction_back,
                a_recorded_step_rolls_the_transaction_back,
                a_dropped_transaction_leaves_nothing,
                a_commit_with_a_transaction_is_confirmed,
                a_commit_that_is_dropped_happens_whole_or_not_at_all,
                messages_are_committed_with_the_transaction,
                transactions_of_many_steps_at_once_all_commit,
            }
        }
    };
}
