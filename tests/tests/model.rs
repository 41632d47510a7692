//! Does the protocol keep its promises in every order of events, and is each of its rules needed?
//!
//! The model and what is bounded in it are told in `system_tests::model`. Here first the protocol
//! as it is, tried to the end within different bounds; then one mistake at a time, each with the
//! promise that it breaks.

use system_tests::model::promises::{
    ALL_DONE, ALWAYS, BEGIN_ANSWERED, CONFIRMED, DUPLICATE, EPOCH_RISES, GOES_ON, IN_ORDER, LATE_BODY,
    LEDGER, LIVING_KEEPS, MEMORY_AGREES, NOT_BEGUN_AGAIN, NOTHING_STRANDED, ONE_OWNER, ONE_WRITER,
    OWN_GENERATION, OWNER_WRITES, RECYCLED, RESOLVED, RESULTS_STAY, TAKEN_OVER, TOLD_IS_STORED, WAITED,
    WRITTEN_IS_TRUE, ZOMBIE_FENCED,
};
use system_tests::model::{Action, Bounds, Bug, Explored, Protocol, explore, explore_until};

/// Within these bounds every promise is kept, and these things happen.
fn keeps_all(bounds: Bounds, happen: &[&'static str]) -> Explored {
    let explored = explore(Protocol::sound(bounds));
    println!(
        "{} states, {} ways, depth {}",
        explored.states, explored.ways, explored.depth
    );
    for promise in ALWAYS {
        let way = explored.found.get(promise);
        assert!(way.is_none(), "not true that {promise}: {way:#?}");
    }
    for what in happen {
        assert!(explored.found.contains_key(what), "never seen: {what}");
    }
    explored
}

/// With these mistakes the promise is broken, and without them, within the same bounds, it is kept.
fn broken(bounds: Bounds, bugs: &[Bug], promise: &'static str) -> Vec<Action> {
    keeps_all(bounds, &[]);
    let mut explored = explore_until(Protocol::with(bounds, bugs), promise);
    let way = explored.found.remove(promise);
    let way = way.unwrap_or_else(|| panic!("{bugs:?} do not matter to this: {promise}"));
    println!("{bugs:?}, {} actions: {way:#?}", way.len());
    way
}

const QUIET: Bounds = Bounds::QUIET;
/// A transactional step that is not the last, so that its write does not end the execution.
const TRANSACTION_FIRST: Bounds = Bounds {
    transactional: 0,
    ..QUIET
};
/// Two executions at once, one call each.
const TWO_KEYS: Bounds = Bounds {
    keys: 2,
    calls: 1,
    ..QUIET
};

mod sound {
    use super::*;

    #[test]
    fn every_promise_is_kept_when_a_process_dies_another_is_taken_for_dead_and_an_answer_is_lost() {
        let bounds = Bounds {
            crashes: 1,
            burials: 1,
            cuts: 1,
            failures: 1,
            ..QUIET
        };
        let happen = [
            ALL_DONE,
            DUPLICATE,
            TAKEN_OVER,
            ZOMBIE_FENCED,
            RESOLVED,
            CONFIRMED,
            WAITED,
        ];
        keeps_all(bounds, &happen);
    }

    #[test]
    fn every_promise_is_kept_when_both_processes_are_taken_for_dead_and_two_answers_are_lost() {
        for bounds in [QUIET, TRANSACTION_FIRST] {
            let bounds = Bounds {
                burials: 2,
                cuts: 2,
                ..bounds
            };
            // The one thing that can not be promised is there too: a body that runs too late.
            keeps_all(bounds, &[ALL_DONE, ZOMBIE_FENCED, RESOLVED, CONFIRMED, LATE_BODY]);
        }
    }

    #[test]
    fn every_promise_is_kept_when_the_server_loses_its_last_writes() {
        for bounds in [QUIET, TRANSACTION_FIRST] {
            let bounds = Bounds {
                burials: 1,
                cuts: 1,
                failovers: 1,
                ..bounds
            };
            keeps_all(bounds, &[ALL_DONE, ZOMBIE_FENCED, RESOLVED, CONFIRMED, GOES_ON]);
        }
    }

    #[test]
    fn every_promise_is_kept_when_the_server_loses_its_last_writes_twice() {
        let bounds = Bounds {
            burials: 1,
            failovers: 2,
            ..QUIET
        };
        keeps_all(bounds, &[ALL_DONE, ZOMBIE_FENCED, GOES_ON]);
    }

    #[test]
    fn every_promise_is_kept_when_all_of_that_happens_to_one_call() {
        let bounds = Bounds {
            calls: 1,
            crashes: 1,
            burials: 1,
            cuts: 1,
            failovers: 1,
            ..QUIET
        };
        keeps_all(bounds, &[ALL_DONE, TAKEN_OVER, ZOMBIE_FENCED, RESOLVED, GOES_ON]);
    }

    #[test]
    fn every_promise_is_kept_when_keys_are_used_anew() {
        let bounds = Bounds {
            calls: 3,
            burials: 1,
            cuts: 1,
            expiries: 2,
            ..QUIET
        };
        keeps_all(bounds, &[ALL_DONE, DUPLICATE, RECYCLED, ZOMBIE_FENCED]);
    }

    #[test]
    fn every_promise_is_kept_when_a_key_is_used_anew_and_that_is_lost() {
        let bounds = Bounds {
            burials: 1,
            failovers: 1,
            expiries: 1,
            ..QUIET
        };
        keeps_all(bounds, &[ALL_DONE, RECYCLED, GOES_ON]);
    }

    #[test]
    fn every_promise_is_kept_for_two_keys_when_the_server_loses_its_last_writes_and_an_answer() {
        let bounds = Bounds {
            cuts: 1,
            failovers: 1,
            ..TWO_KEYS
        };
        keeps_all(bounds, &[ALL_DONE, RESOLVED, GOES_ON]);
    }

    #[test]
    fn every_promise_is_kept_for_two_keys_when_one_dies_one_is_taken_for_dead_and_an_answer_is_lost() {
        let bounds = Bounds {
            crashes: 1,
            burials: 1,
            cuts: 1,
            ..TWO_KEYS
        };
        keeps_all(
            bounds,
            &[ALL_DONE, TAKEN_OVER, ZOMBIE_FENCED, RESOLVED, LATE_BODY],
        );
    }

    #[test]
    fn every_promise_is_kept_for_two_keys_when_a_process_dies_and_the_server_loses_its_last_writes() {
        let bounds = Bounds {
            crashes: 1,
            failovers: 1,
            ..TWO_KEYS
        };
        keeps_all(bounds, &[ALL_DONE, TAKEN_OVER, GOES_ON]);
    }

    #[test]
    fn every_promise_is_kept_for_two_keys_when_one_is_taken_for_dead_and_the_server_loses_its_last_writes() {
        let bounds = Bounds {
            burials: 1,
            failovers: 1,
            ..TWO_KEYS
        };
        keeps_all(bounds, &[ALL_DONE, ZOMBIE_FENCED, GOES_ON]);
    }

    #[test]
    fn statements_that_the_model_forgets_make_no_difference() {
        let bounds = Bounds {
            burials: 1,
            cuts: 1,
            expiries: 1,
            ..QUIET
        };
        let forgotten = keeps_all(bounds, &[]);
        let kept = explore(Protocol::sound(bounds).forgetting_nothing());
        assert!(kept.states > forgotten.states);
        let names = |explored: &Explored| explored.found.keys().copied().collect::<Vec<_>>();
        assert_eq!(names(&kept), names(&forgotten));
    }
}

mod planted {
    use super::*;

    const TAKEN_FOR_DEAD: Bounds = Bounds { burials: 1, ..QUIET };
    const CUT: Bounds = Bounds { cuts: 1, ..QUIET };
    const FAILED_OVER: Bounds = Bounds {
        failovers: 1,
        ..QUIET
    };

    #[test]
    fn without_the_row_lock_a_stale_checkpoint_is_recorded() {
        broken(TAKEN_FOR_DEAD, &[Bug::NoRowLock], OWNER_WRITES);
    }

    #[test]
    fn without_the_token_two_processes_win_one_takeover() {
        let bounds = Bounds { crashes: 1, ..QUIET };
        broken(bounds, &[Bug::TokenNotCompared], ONE_OWNER);
    }

    /// A server whose restarts can not be told: then the token is all that tells two claims of the
    /// same epoch apart.
    #[test]
    fn without_the_token_a_takeover_that_was_lost_with_the_tail_writes() {
        let bounds = Bounds {
            crashes: 1,
            ..FAILED_OVER
        };
        let untold = Bug::IncarnationNotCompared;
        let with_token = explore_until(Protocol::with(bounds, &[untold]), OWNER_WRITES);
        assert!(!with_token.found.contains_key(OWNER_WRITES));
        broken(bounds, &[untold, Bug::TokenNotCompared], OWNER_WRITES);
    }

    #[test]
    fn without_the_state_a_finished_execution_is_taken_over() {
        broken(TAKEN_FOR_DEAD, &[Bug::StateNotCompared], TOLD_IS_STORED);
    }

    #[test]
    fn without_the_incarnation_an_owner_builds_on_a_checkpoint_that_is_lost() {
        broken(FAILED_OVER, &[Bug::IncarnationNotCompared], IN_ORDER);
    }

    #[test]
    fn an_old_run_accepted_answers_for_a_new_generation() {
        let bounds = Bounds { expiries: 1, ..QUIET };
        broken(bounds, &[Bug::RunNotCompared], OWN_GENERATION);
    }

    #[test]
    fn a_takeover_that_loads_in_one_statement_runs_a_recorded_step_again() {
        broken(TAKEN_FOR_DEAD, &[Bug::TakeOverLoads], NOT_BEGUN_AGAIN);
    }

    #[test]
    fn a_takeover_that_does_not_compare_takes_from_the_living() {
        broken(TAKEN_FOR_DEAD, &[Bug::TakenAsItIs], LIVING_KEEPS);
    }

    #[test]
    fn an_acquisition_that_counts_from_one_does_not_raise_the_epoch() {
        broken(TAKEN_FOR_DEAD, &[Bug::EpochReset], EPOCH_RISES);
    }

    #[test]
    fn without_the_audit_what_the_tail_brought_back_is_stranded() {
        broken(FAILED_OVER, &[Bug::NoAudit], NOTHING_STRANDED);
    }

    #[test]
    fn a_begin_in_one_statement_leaves_a_caller_without_an_answer() {
        broken(QUIET, &[Bug::BeginInOneStatement], BEGIN_ANSWERED);
    }

    #[test]
    fn a_verdict_joined_on_the_step_tells_a_fenced_process_that_it_wrote() {
        broken(TAKEN_FOR_DEAD, &[Bug::VerdictByStep], WRITTEN_IS_TRUE);
    }

    #[test]
    fn without_the_unique_step_a_body_that_ran_twice_changes_the_result() {
        broken(
            CUT,
            &[Bug::CheckpointReplaced, Bug::UnknownIsFailure],
            RESULTS_STAY,
        );
    }

    #[test]
    fn an_acknowledgement_before_the_verdict_tells_what_is_not_stored() {
        broken(QUIET, &[Bug::AcknowledgedBeforeVerdict], TOLD_IS_STORED);
    }

    #[test]
    fn unknown_taken_for_failure_runs_a_recorded_step_again() {
        broken(CUT, &[Bug::UnknownIsFailure], NOT_BEGUN_AGAIN);
    }

    #[test]
    fn unknown_taken_for_success_builds_on_nothing_and_tells_it() {
        for promise in [MEMORY_AGREES, IN_ORDER, TOLD_IS_STORED] {
            broken(CUT, &[Bug::UnknownIsSuccess], promise);
        }
    }

    #[test]
    fn a_retry_under_a_new_write_id_meets_its_own_first_write_as_another() {
        broken(CUT, &[Bug::RetriedAsAnother], ONE_WRITER);
    }

    #[test]
    fn a_transaction_committed_without_a_look_at_the_verdict_leaks_its_effect() {
        broken(TAKEN_FOR_DEAD, &[Bug::TransactionWithoutVerdict], LEDGER);
    }

    #[test]
    fn a_transaction_looked_up_without_the_lock_appears_afterwards() {
        let bounds = Bounds {
            cuts: 1,
            ..TRANSACTION_FIRST
        };
        broken(bounds, &[Bug::ConfirmWithoutLock], ONE_WRITER);
    }
}
