//! Does an engine keep what the whole vocabulary of steps promises, on a real store? Stories of what is
//! done at most once, undone, cancelled, settled by hand, waited for and signalled.
//!
//! Each story gets a fresh database ([`Ground`](crate::under_faults::Ground)) and puts processes on it
//! (`town`). It knows nothing of the store, so that it says the same on each. A store's author adds one
//! line, in a module of its own:
//!
//! ```text
//! store_conformance::stories_suite!(fresh);
//! store_conformance::transaction_stories_suite!(fresh);  // for stores whose steps can have transactions
//! ```

#![expect(missing_docs, reason = "the name of a story is its promise")]

pub mod atomic;
mod bodies;
pub mod calls;
pub mod cancel;
pub mod chains;
pub mod child_waits;
pub mod effects;
pub mod evolution;
pub mod lazy;
pub mod lookups;
pub mod parts;
pub mod relay;
pub mod restarts;
pub mod retention;
pub mod settle;
pub mod signals;
pub mod timeouts;
mod town;
pub mod undo;
pub mod unowned;
pub mod verify;
pub mod waits;
pub mod wishes;

/// Makes one test for each story. The function, which is in the module around this line's, makes a fresh
/// [`Ground`](crate::under_faults::Ground).
#[macro_export]
macro_rules! stories_suite {
    ($ground:ident) => {
        $crate::stories_suite!($ground: cancel:
            a_step_that_listens_ends_in_its_own_way_whatever_its_retries,
            a_step_that_does_not_listen_is_dropped_after_the_grace,
            an_output_that_comes_within_the_grace_is_recorded_and_nothing_further_begins,
            a_wish_of_another_process_is_seen_and_what_was_done_is_undone,
            a_wish_to_stop_undoes_nothing,
            an_undo_of_what_was_cancelled_keeps_the_pauses_of_its_retry,
            an_undo_of_what_was_cancelled_is_put_down_until_its_next_try,
            a_wish_does_not_end_an_undo_that_is_under_way,
            a_wish_after_the_end_is_refused_and_changes_nothing,
            a_wish_while_the_last_step_is_being_recorded_comes_too_late,
            a_cancelled_key_is_used_anew_only_when_asked_and_without_the_old_wish,
        );
        $crate::stories_suite!($ground: effects:
            what_dies_inside_a_step_that_is_done_at_most_once_is_in_doubt_and_not_tried_again,
            what_dies_before_it_has_said_that_it_begins_has_not_begun,
            an_output_that_did_not_arrive_leaves_the_step_in_doubt,
            a_lost_answer_of_the_store_is_no_doubt,
            an_error_that_says_that_nothing_was_done_is_tried_again_also_by_the_next_owner,
            a_terminal_error_leaves_no_doubt,
            any_other_error_a_panic_and_a_timeout_leave_the_step_in_doubt,
            a_process_that_stops_inside_it_leaves_it_in_doubt,
            a_step_that_is_done_at_most_once_can_not_be_put_down,
            every_attempt_of_a_step_sends_the_same_key_and_nothing_else_does,
        );
        $crate::stories_suite!($ground: settle:
            what_a_person_knows_to_be_done_goes_on_with_that_output,
            an_output_that_is_too_large_is_refused_before_it_is_stored,
            what_a_person_knows_not_to_be_done_runs_once_more,
            what_a_person_lets_fail_is_failed_for_good_and_what_came_before_is_undone,
            a_verdict_that_is_not_about_how_it_is_parked_is_refused,
            of_two_verdicts_at_once_one_counts,
            a_verdict_whose_process_dies_before_it_is_stored_is_none,
            a_verdict_that_is_stored_counts_although_its_process_dies,
            a_process_that_does_not_know_the_schema_settles_nothing,
            what_was_lazy_before_a_step_in_doubt_is_not_done_again,
            an_undo_that_fails_for_good_waits_for_a_person_whose_verdict_brings_it_on,
            an_undo_whose_tries_are_used_up_waits_for_a_person,
        );
        $crate::stories_suite!($ground: timeouts:
            an_attempt_that_takes_too_long_is_dropped_and_tried_again,
            a_step_that_always_takes_too_long_uses_its_tries_up,
            a_late_run_fails_for_good_inside_a_step_and_what_was_done_is_undone,
            a_run_that_waits_for_its_next_try_is_late_when_its_time_is_over,
            a_run_that_waits_for_a_signal_is_late_when_its_time_is_over,
            the_time_of_a_run_goes_on_when_its_owner_dies,
            a_new_generation_has_its_whole_time,
            a_payment_that_is_late_is_in_doubt_first,
            an_undo_is_given_the_time_it_needs,
        );
        $crate::stories_suite!($ground: undo:
            a_final_failure_undoes_what_was_done_the_last_step_first_and_each_once,
            what_dies_at_any_write_is_undone_whole_by_the_next_owner,
            an_undo_whose_owner_dies_in_it_is_done_again_and_those_before_it_are_not,
            an_undo_that_fails_is_tried_again_as_its_own_retry_says,
            an_undo_whose_next_try_is_far_away_is_put_down_and_goes_on_then,
            used_up_tries_undo_nothing_and_the_next_call_resumes,
            what_was_undone_runs_again_only_as_a_new_generation,
            an_undo_sends_a_key_of_its_own_in_each_attempt,
        );
        $crate::stories_suite!($ground: unowned:
            a_wish_is_seen_by_whoever_takes_over_from_a_dead_owner,
            what_waits_for_its_next_try_is_cancelled_at_once,
            what_nobody_owns_is_cancelled_by_a_process_that_takes_up_no_work,
            what_no_live_process_knows_is_stopped_by_any,
            what_is_parked_because_it_can_not_be_read_is_stopped,
            a_payment_that_was_cancelled_inside_is_settled_first_and_undone_if_it_was_done,
            a_payment_that_was_cancelled_inside_and_not_done_is_not_tried_again,
            a_payment_that_was_cancelled_inside_is_verified_first,
        );
        $crate::stories_suite!($ground: verify:
            what_a_verify_finds_done_is_recorded_and_not_tried_again,
            what_a_verify_finds_not_done_runs_once_more,
            what_a_verify_does_not_know_stays_in_doubt_until_it_does,
            a_verify_that_fails_is_asked_as_often_as_the_step_is_tried,
            an_error_of_unknown_effect_is_verified_before_it_is_tried_again,
            a_verify_is_given_the_key_of_its_step,
            a_step_that_kills_each_owner_is_parked_although_it_did_nothing,
            a_verify_whose_owner_dies_is_asked_again,
        );
        $crate::stories_suite!($ground: wishes:
            a_wish_just_before_a_failure_that_could_be_resumed_comes_first,
            what_an_attempt_is_known_not_to_have_done_is_kept_when_a_wish_comes_first,
            a_wish_just_before_it_is_parked_in_doubt_has_it_verified_once_more,
            what_stays_in_doubt_under_a_wish_is_left_to_a_person,
            a_wish_just_before_it_is_parked_as_unreadable_stops_it,
            a_wish_just_before_it_is_parked_as_lost_too_often_is_acted_on,
            what_was_lost_too_often_under_a_wish_is_cancelled_and_not_parked,
            a_wish_just_before_an_undo_is_parked_has_it_tried_once_more,
            a_verify_that_is_put_down_under_a_wish_keeps_its_pause,
            a_wish_while_a_verify_is_put_down_has_it_asked_at_once,
        );
        $crate::stories_suite!($ground: waits:
            a_sleep_of_thirty_days_ends_when_the_clock_says_so_and_what_came_before_is_not_done_again,
            calls_do_not_shorten_a_sleep,
            a_short_sleep_is_waited_for_by_the_owner,
            a_sleep_until_a_time_ends_in_another_process_when_its_own_is_dead,
            a_sleep_that_is_over_is_not_slept_again,
            the_retry_schedule_is_stored_and_kept_to_the_second,
            ten_thousand_sleepers_hold_no_task_and_all_end,
        );
        $crate::stories_suite!($ground: signals:
            a_signal_that_was_sent_before_the_wait_is_delivered_to_it,
            a_signal_from_another_process_ends_the_wait,
            a_signal_that_comes_while_the_wait_is_put_down_is_not_missed,
            a_signal_to_what_is_finished_says_so,
            a_second_signal_is_refused_where_the_schema_says_so,
            a_wait_ends_at_its_deadline_counted_from_its_first_run,
            a_signal_that_comes_after_a_wait_that_was_too_late_goes_to_the_next_wait,
            of_a_sleep_and_a_signal_beside_each_other_the_first_one_ends_the_wait,
            queued_signals_come_to_the_waits_in_the_order_in_which_they_were_sent,
            what_was_delivered_stays_delivered_when_the_owner_dies,
            a_signal_that_the_schema_does_not_declare_is_an_error_on_both_sides,
            signals_that_race_with_the_waits_are_all_delivered_once,
        );
        $crate::stories_suite!($ground: parts:
            a_loop_over_a_hundred_lines_whose_owner_dies_twenty_times_records_each_line_once,
            a_parallel_part_that_fails_runs_again_alone,
            after_a_part_has_failed_no_further_one_begins,
            parts_are_done_beside_each_other_up_to_the_limit,
            a_name_that_is_used_twice_in_one_run_is_an_error_at_once,
            two_steps_may_use_the_same_name_each_for_a_part_of_its_own,
            a_part_that_fails_is_tried_as_often_as_its_step,
            a_durable_call_inside_a_transaction_is_refused_and_all_is_rolled_back,
            progress_is_read_by_the_next_attempt_and_by_the_next_owner,
        );
        $crate::stories_suite!($ground: lazy:
            a_lazy_output_rides_with_the_next_checkpoint_and_is_there_for_later_steps,
            what_rode_is_lost_with_its_owner_and_done_again,
            a_lazy_output_rides_with_a_part_that_was_made_of_it,
            a_lazy_output_rides_with_the_begin_of_a_step_that_is_done_at_most_once,
            a_lazy_step_that_is_the_last_one_is_recorded,
            a_lazy_step_with_a_transaction_is_recorded_with_it,
        );
        $crate::stories_suite!($ground: calls:
            a_child_is_called_once_at_a_time_and_answers_again_afterwards,
            a_parent_that_is_retried_does_not_run_its_child_again,
            a_parent_whose_owner_dies_waits_for_the_child_that_it_had_called,
            a_child_that_dies_with_its_parent_goes_on_where_it_was,
            a_final_failure_of_the_child_is_one_of_its_parent,
            a_child_can_be_called_under_a_fingerprint_of_the_callers_own,
            a_child_that_was_used_with_another_input_is_a_final_failure,
            a_parent_says_what_becomes_of_a_child_that_had_failed,
            a_child_whose_tries_are_used_up_fails_its_parent_and_the_next_call_resumes_both,
        );
        $crate::stories_suite!($ground: child_waits:
            a_parent_is_put_down_while_its_child_sleeps_and_goes_on_after_it,
            a_parent_goes_on_as_soon_as_its_child_is_over,
            a_child_that_is_over_before_its_parent_is_put_down_is_not_missed,
            a_parent_of_a_parked_child_waits_until_somebody_has_settled_it,
            a_parent_goes_on_as_soon_as_an_execution_is_over_that_somebody_else_has_begun,
        );
        $crate::stories_suite!($ground: chains:
            a_child_that_is_cancelled_fails_its_parent,
            a_wish_reaches_the_child_although_the_store_was_away_at_first,
            cancelling_a_parent_cancels_what_it_has_called_down_to_the_leaves,
            a_child_whose_begin_is_on_its_way_when_its_parent_is_cancelled_does_nothing,
            a_child_that_is_being_resumed_when_its_parent_is_cancelled_does_nothing,
            executions_that_would_wait_for_each_other_are_told_so,
            executions_that_were_begun_apart_and_wait_for_each_other_are_told_so,
            one_that_was_put_down_for_another_is_not_called_by_it,
            two_that_wait_for_the_same_one_are_no_ring,
            a_chain_of_sixteen_calls_is_possible_and_a_longer_one_is_refused,
        );
        $crate::stories_suite!($ground: lookups:
            a_lookup_of_a_key_that_was_never_used_begins_nothing,
            a_lookup_joins_the_run_of_any_process_and_then_replays_it,
            a_lookup_keeps_the_policies_for_duplicates,
            a_lookup_under_another_fingerprint_is_refused_while_it_runs_and_after_it,
            a_lookup_resumes_what_failed_unless_it_is_to_begin_anew,
            a_lookup_replays_a_final_failure,
            a_lookup_finds_a_key_free_whose_time_is_over,
            a_caller_that_joined_by_a_lookup_gets_the_outcome_although_the_owner_dies,
        );
        $crate::stories_suite!($ground: relay:
            messages_are_delivered_in_order_with_the_ids_that_their_steps_got,
            an_attempt_that_fails_sends_nothing,
            where_a_message_could_be_lost_it_is_refused,
            what_dies_before_its_write_has_sent_nothing,
            a_publisher_that_panics_is_given_the_message_again,
            a_relay_that_is_dropped_leaves_the_rest_to_another_process,
            a_relay_that_is_dropped_hears_whether_it_leads_before_it_steps_down,
            a_relay_that_is_dropped_deletes_what_it_has_delivered,
            a_message_that_is_not_taken_holds_up_only_its_own_execution,
            a_message_is_kept_until_it_is_taken,
            a_thousand_messages_survive_relays_that_are_killed_among_them,
            of_two_processes_one_relays_until_it_is_dead,
        );
        $crate::stories_suite!($ground: retention:
            a_key_whose_time_is_over_is_used_anew_before_and_after_its_purge,
            payloads_go_with_the_purge_and_generation_state_and_fingerprint_stay_for_a_while,
            a_caller_who_asks_for_it_is_told_that_its_key_has_expired,
            a_waiter_of_the_first_generation_never_gets_the_outcome_of_the_second,
            a_waiter_of_a_run_that_failed_never_gets_the_outcome_of_the_restart,
            a_purge_that_fails_once_is_made_again,
        );
        $crate::stories_suite!($ground: restarts:
            an_acquisition_anew_whose_answer_is_lost_is_sent_again_and_not_made_again,
        );
        $crate::stories_suite!($ground: evolution:
            what_keeps_its_shape_goes_on_with_the_new_code,
            a_renamed_step_parks_unless_its_former_name_is_said,
            a_former_name_pins_what_was_born_under_it,
            moved_inserted_and_removed_steps_park_what_is_under_way,
            an_accepted_older_schema_ends_what_was_born_with_it,
            a_step_whose_input_has_another_type_is_found_before_the_deploy,
            a_step_whose_input_reads_the_recorded_value_goes_on,
            a_report_counts_all_and_names_some,
        );
    };
    ($ground:ident: $topic:ident: $($promise:ident,)*) => {
        mod $topic {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    let story = $crate::stories::$topic::$promise(super::super::$ground().await);
                    $crate::run_within_limit(stringify!($promise), story).await;
                }
            )*
        }
    };
}

/// The same, for stores whose steps can have transactions.
#[macro_export]
macro_rules! transaction_stories_suite {
    ($ground:ident) => {
        $crate::stories_suite!($ground: atomic:
            all_steps_take_effect_together_with_the_outcome,
            a_final_failure_leaves_nothing_behind,
            an_attempt_that_fails_begins_again_at_the_first_step,
            its_tries_are_bounded_and_the_next_call_begins_anew,
            what_waits_for_its_next_try_holds_no_transaction,
            what_dies_before_the_commit_begins_again_and_takes_effect_once,
            a_lost_answer_of_the_commit_repeats_nothing,
            a_wish_to_cancel_it_rolls_it_back,
            a_late_run_is_rolled_back,
            a_process_that_stops_hands_it_back_whole,
            a_duplicate_is_refused_at_once_while_it_runs,
        );
    };
}

#[cfg(test)]
mod tests {
    use std::fs;

    /// A story that no suite names would never be told.
    #[test]
    fn every_story_is_in_a_suite() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/stories");
        let listed = include_str!("mod.rs");
        let mut stories = 0;
        for file in fs::read_dir(folder).expect("the folder of the stories") {
            let text = fs::read_to_string(file.expect("an entry").path()).expect("a text");
            let names = text.lines().filter_map(|line| line.strip_prefix("pub async fn "));
            for name in names.filter_map(|rest| rest.split(['<', '(']).next()) {
                assert!(listed.contains(&format!(" {name},")), "`{name}` is in no suite");
                stories += 1;
            }
        }
        assert!(stories > 100, "only {stories} were found");
    }
}
