//! Which test finds which bug? One row for each bug of `crates/engine/src/bugs.rs`.
//!
//! Each named test finds the bug by itself. Where both stores can have the bug, each has a test.

/// A bug and the tests that find it.
#[derive(Debug)]
pub struct Mutant {
    /// The name that plants it.
    pub bug: &'static str,
    /// Each of them must fail with the bug, and pass without.
    pub tests: &'static [Directed],
}

/// A test that finds a bug by itself.
#[derive(Debug)]
pub struct Directed {
    /// The folder of its package.
    pub package: &'static str,
    /// Its file in `tests`, or [`UNITS`].
    pub target: &'static str,
    /// Its name with its modules.
    pub name: &'static str,
    /// Words of its own complaint: a test that could not even begin says something else.
    pub says: &'static str,
}

/// The target of the tests inside a library.
pub const UNITS: &str = "lib";

const ENGINE: &str = "crates/engine";
const POSTGRES: &str = "crates/store-postgres";
const SQLITE: &str = "crates/store-sqlite";
const SUITE: &str = "crates/store-conformance";

/// All bugs that can be planted.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        bug: "row-lock-removed",
        tests: &[Directed {
            package: POSTGRES,
            target: "races",
            name: "fences::in_every_order_a_checkpoint_is_either_loaded_by_the_takeover_or_fenced",
            says: "loaded and there",
        }],
    },
    Mutant {
        bug: "claim-compare-removed",
        tests: &[
            on(
                POSTGRES,
                "an_epoch_without_its_token_is_no_fence",
                "an epoch used twice after a failover",
            ),
            on(
                SQLITE,
                "an_epoch_without_its_token_is_no_fence",
                "an epoch used twice after a failover",
            ),
        ],
    },
    Mutant {
        bug: "state-compare-removed",
        tests: &[
            on(
                POSTGRES,
                "an_execution_that_is_not_running_refuses_a_new_write",
                "ended by",
            ),
            on(
                SQLITE,
                "an_execution_that_is_not_running_refuses_a_new_write",
                "ended by",
            ),
        ],
    },
    Mutant {
        bug: "takeover-and-load-in-one",
        tests: &[Directed {
            package: SUITE,
            target: "engine_races",
            name: "verdicts::a_new_owner_builds_on_what_was_recorded_while_its_acquisition_was_under_way",
            says: "what is recorded never runs again",
        }],
    },
    Mutant {
        bug: "sweep-by-not-exists",
        tests: &[
            Directed {
                package: POSTGRES,
                target: "races",
                name: "owners::in_every_order_one_of_two_takeovers_wins",
                says: "right: (1, 2, 1)",
            },
            on(
                SQLITE,
                "an_acquisition_by_an_older_view_is_lost_and_changes_nothing",
                "right: Lost",
            ),
        ],
    },
    Mutant {
        bug: "sort-removed",
        tests: &[Directed {
            package: POSTGRES,
            target: "races",
            name: "batches::a_batch_of_begins_that_waits_for_another_holds_nothing_that_the_other_needs",
            says: "what it has inserted would be waited for, in a circle",
        }],
    },
    Mutant {
        bug: "begin-in-one-statement",
        tests: &[Directed {
            package: POSTGRES,
            target: "races",
            name: "begins::a_batch_of_begins_whose_snapshot_is_older_than_the_winner_gets_its_row_all_the_same",
            says: "neither begun nor there",
        }],
    },
    Mutant {
        bug: "verdict-joined-on-step",
        tests: &[
            on(
                POSTGRES,
                "a_step_recorded_by_another_write_exists",
                "right: Exists",
            ),
            on(SQLITE, "a_step_recorded_by_another_write_exists", "right: Exists"),
        ],
    },
    Mutant {
        bug: "acknowledged-before-verdict",
        tests: &[Directed {
            package: SUITE,
            target: "engine_races",
            name: "verdicts::a_caller_is_told_nothing_that_the_fence_refuses",
            says: "what the second body made is recorded",
        }],
    },
    Mutant {
        bug: "unknown-is-failure",
        tests: &[Directed {
            package: SUITE,
            target: "engine_races",
            name: "verdicts::a_write_whose_answer_was_lost_is_known_again_and_its_owner_goes_on",
            says: "a lost answer is no failure of the step",
        }],
    },
    Mutant {
        bug: "unknown-is-success",
        tests: &[Directed {
            package: SUITE,
            target: "engine_under_faults",
            name: "an_outage_of_one_call_repeats_only_what_was_rolled_back",
            says: "runs; Refuse(Unknown",
        }],
    },
    Mutant {
        bug: "transaction-commits-unseen",
        tests: &[
            on(POSTGRES, "a_fenced_commit_rolls_the_transaction_back", "right: 0"),
            on(SQLITE, "a_fenced_commit_rolls_the_transaction_back", "right: 0"),
        ],
    },
    Mutant {
        bug: "grace-not-reset",
        tests: &[Directed {
            package: ENGINE,
            target: UNITS,
            name: "worker::judge::tests::after_a_restart_of_the_database_sessions_are_given_time_to_come_back",
            says: "scene.at(3000",
        }],
    },
    Mutant {
        bug: "waits-after-its-look",
        tests: &[Directed {
            package: SUITE,
            target: "engine_races",
            name: "verdicts::a_caller_who_comes_to_wait_after_the_end_gets_the_outcome",
            says: "left: Err(InProgress",
        }],
    },
    Mutant {
        bug: "resent-as-another-write",
        tests: &[Directed {
            package: SUITE,
            target: "engine_races",
            name: "verdicts::a_write_whose_answer_was_lost_is_known_again_and_its_owner_goes_on",
            says: "nobody had to take it over",
        }],
    },
    Mutant {
        bug: "begin-not-immediate",
        tests: &[Directed {
            package: SQLITE,
            target: "races",
            name: "immediate::a_transaction_that_reads_before_it_writes_keeps_every_other_writer_out",
            says: "somebody wrote between the read and the write",
        }],
    },
    Mutant {
        bug: "begins-unannounced",
        tests: &[story(
            "stories::effects::what_dies_before_it_has_said_that_it_begins_has_not_begun",
            r#"noted ["pay", "pay", "ship"]"#,
        )],
    },
    Mutant {
        bug: "begun-is-not-done",
        tests: &[story(
            "stories::effects::what_dies_inside_a_step_that_is_done_at_most_once_is_in_doubt_and_not_tried_again",
            "right: Some(InDoubt)",
        )],
    },
    Mutant {
        bug: "settled-before-stored",
        tests: &[story(
            "stories::settle::a_verdict_that_is_stored_counts_although_its_process_dies",
            r#"noted ["pay", "ship", "ship"]"#,
        )],
    },
    Mutant {
        bug: "undone-first-to-last",
        tests: &[story(
            "stories::undo::a_final_failure_undoes_what_was_done_the_last_step_first_and_each_once",
            r#""undo a 2 attempt 1", "undo b 3 attempt 1"]"#,
        )],
    },
    Mutant {
        bug: "undo-not-recorded",
        tests: &[story(
            "stories::undo::an_undo_whose_owner_dies_in_it_is_done_again_and_those_before_it_are_not",
            r#""undo b 3 attempt 2""#,
        )],
    },
    Mutant {
        bug: "part-without-its-step",
        tests: &[story(
            "stories::parts::two_steps_may_use_the_same_name_each_for_a_part_of_its_own",
            "doubled twice",
        )],
    },
    Mutant {
        bug: "name-used-twice",
        tests: &[story(
            "stories::parts::a_name_that_is_used_twice_in_one_run_is_an_error_at_once",
            "it did not fail",
        )],
    },
    Mutant {
        bug: "riders-dropped",
        tests: &[story(
            "stories::lazy::a_lazy_output_rides_with_a_part_that_was_made_of_it",
            "left: Ok((201, 202))",
        )],
    },
    Mutant {
        bug: "deleted-before-delivered",
        tests: &[story(
            "stories::relay::a_message_is_kept_until_it_is_taken",
            "three were not taken, 0 are kept",
        )],
    },
    Mutant {
        bug: "messages-unseen",
        tests: &[
            on(
                POSTGRES,
                "a_message_is_there_exactly_with_its_write",
                "nothing of what was refused",
            ),
            on(
                SQLITE,
                "a_message_is_there_exactly_with_its_write",
                "nothing of what was refused",
            ),
        ],
    },
    Mutant {
        bug: "signals-not-counted",
        tests: &[
            on(
                POSTGRES,
                "a_signal_before_the_wait_makes_it_due_at_once",
                "right: Some(0ns)",
            ),
            on(
                SQLITE,
                "a_signal_before_the_wait_makes_it_due_at_once",
                "right: Some(0ns)",
            ),
        ],
    },
    Mutant {
        bug: "wish-lost-by-takeover",
        tests: &[
            story(
                "stories::unowned::a_wish_is_seen_by_whoever_takes_over_from_a_dead_owner",
                "the new owner knows of no wish",
            ),
            on(POSTGRES, "an_acquisition_keeps_the_wish", "right: Some(Undo)"),
            on(SQLITE, "an_acquisition_keeps_the_wish", "right: Some(Undo)"),
        ],
    },
    Mutant {
        bug: "generation-forgotten",
        tests: &[
            on(POSTGRES, "a_remembered_key_can_be_used_anew", "right: (2, false)"),
            on(SQLITE, "a_remembered_key_can_be_used_anew", "right: (2, false)"),
        ],
    },
];

/// A promise of the conformance suite, on one store.
const fn on(package: &'static str, name: &'static str, says: &'static str) -> Directed {
    Directed {
        package,
        target: "conformance",
        name,
        says,
    }
}

/// A story of the engine, on the memory store.
const fn story(name: &'static str, says: &'static str) -> Directed {
    Directed {
        package: SUITE,
        target: "engine_under_faults",
        name,
        says,
    }
}
