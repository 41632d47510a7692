//! What may happen to an execution next? The one place that knows the legal moves. Pure.
//!
//! `docs/states.md` shows the picture. Nothing here reads a clock, draws a number or touches a
//! store: what is known comes in, what to do goes out.

use std::time::Duration;

use crate::error::{FailureKind, Meaning};
use crate::execution::{ParkReason, State};
use crate::policy::{AfterFailure, OnExpired};
use crate::retry::Retry;

/// What a caller's key has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Existing {
    pub(crate) state: State,
    pub(crate) expired: bool,
    pub(crate) same_input: bool,
    /// Of a failed run; `None` when it can not be read.
    pub(crate) failure: Option<FailureKind>,
    pub(crate) parked: Option<ParkReason>,
    /// Whether it waits for something that a call can not hurry.
    pub(crate) sleeps: bool,
    pub(crate) shape: ShapeKnown,
}

/// Who can run the plan that a run was born with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShapeKnown {
    /// This process.
    Here,
    /// Not this process, but another live one.
    Elsewhere,
    /// Nobody alive.
    Nowhere,
}

/// What a call does with what its key has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meeting {
    /// Refuse: the key was used with another input.
    Mismatch,
    /// Give the recorded outcome.
    Replay,
    /// Take it up where it stopped.
    Resume { keep_tries: bool },
    /// Use the key anew.
    Restart,
    /// Somebody else runs it or will: the duplicate policy decides.
    Busy,
    /// Refuse: it goes on by itself, later.
    Asleep,
    /// Refuse: the key was used before.
    Expired,
    /// Refuse: it is parked.
    Parked(ParkReason),
    /// Nobody alive can run it: park it, and refuse.
    Park(ParkReason),
}

/// Decides what a call does with what its key has already.
pub(crate) fn meet(
    existing: Existing,
    after_failure: Option<AfterFailure>,
    on_expired: OnExpired,
) -> Meeting {
    if existing.expired {
        return match on_expired {
            OnExpired::Renew => Meeting::Restart,
            OnExpired::Refuse => Meeting::Expired,
        };
    }
    if !existing.same_input {
        return Meeting::Mismatch;
    }
    match existing.state {
        State::Succeeded => Meeting::Replay,
        State::Running => Meeting::Busy,
        State::Waiting if existing.sleeps => Meeting::Asleep,
        State::Ready | State::Waiting => match existing.shape {
            ShapeKnown::Here => Meeting::Resume { keep_tries: true },
            ShapeKnown::Elsewhere => Meeting::Busy,
            ShapeKnown::Nowhere => Meeting::Park(ParkReason::UnknownShape),
        },
        State::Parked => match (existing.parked, existing.shape) {
            (Some(ParkReason::UnknownShape), ShapeKnown::Here) => Meeting::Resume { keep_tries: true },
            (Some(ParkReason::UnknownShape), ShapeKnown::Elsewhere) => Meeting::Busy,
            (reason, _) => Meeting::Parked(reason.unwrap_or(ParkReason::Unreadable)),
        },
        State::Failed => after_failed(existing, after_failure),
        State::Undone | State::Cancelled => match after_failure {
            Some(AfterFailure::Restart) => Meeting::Restart,
            _ => Meeting::Replay,
        },
    }
}

fn after_failed(existing: Existing, wish: Option<AfterFailure>) -> Meeting {
    let default = match existing.failure {
        Some(FailureKind::Exhausted | FailureKind::Temporary) => AfterFailure::Resume,
        // A failure that can not be read is replayed, so that the caller sees it as unreadable.
        Some(FailureKind::Terminal) | None => AfterFailure::Replay,
    };
    match (wish.unwrap_or(default), existing.shape) {
        (AfterFailure::Replay, _) => Meeting::Replay,
        (AfterFailure::Restart, _) => Meeting::Restart,
        (AfterFailure::Resume, ShapeKnown::Here) => Meeting::Resume { keep_tries: false },
        (AfterFailure::Resume, ShapeKnown::Elsewhere | ShapeKnown::Nowhere) => {
            Meeting::Parked(ParkReason::UnknownShape)
        }
    }
}

/// What the owner does after an attempt that did not give an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterAttempt {
    /// Wait here, as the owner, and try again.
    TryAgain(Duration),
    /// Put it down as `waiting`.
    Wait(Duration),
    /// The run failed.
    Fail(FailureKind),
}

/// Decides what the owner does after `tries` attempts of a step, the last of which failed.
/// `chance` in `0.0..1.0` spreads the delays.
pub(crate) fn after_attempt(meaning: Meaning, tries: u32, retry: &Retry, chance: f64) -> AfterAttempt {
    let delay = match meaning {
        Meaning::Terminal => return AfterAttempt::Fail(FailureKind::Terminal),
        Meaning::Stop => return AfterAttempt::Fail(FailureKind::Exhausted),
        Meaning::Retry(_) if tries >= retry.attempts => {
            return AfterAttempt::Fail(FailureKind::Exhausted);
        }
        Meaning::Retry(Some(asked)) => asked,
        Meaning::Retry(None) => retry.delay(tries, chance),
    };
    if delay <= retry.hold {
        AfterAttempt::TryAgain(delay)
    } else {
        AfterAttempt::Wait(delay)
    }
}

/// Whether an execution whose owner was lost `lost` times, `lost_at_checkpoint` of them before its
/// last checkpoint, may go on.
pub(crate) fn may_go_on(lost: u32, lost_at_checkpoint: u32, limit: u32) -> bool {
    lost.saturating_sub(lost_at_checkpoint) < limit
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn meet(existing: Existing, wish: Option<AfterFailure>) -> Meeting {
        super::meet(existing, wish, OnExpired::Renew)
    }

    const FAILED: Existing = Existing {
        state: State::Failed,
        expired: false,
        same_input: true,
        failure: Some(FailureKind::Exhausted),
        parked: None,
        sleeps: false,
        shape: ShapeKnown::Here,
    };

    #[test]
    fn a_used_up_failure_is_resumed_and_a_terminal_one_replayed_unless_asked_otherwise() {
        let terminal = Existing {
            failure: Some(FailureKind::Terminal),
            ..FAILED
        };
        let resume = Meeting::Resume { keep_tries: false };
        assert_eq!(meet(FAILED, None), resume);
        assert_eq!(meet(terminal, None), Meeting::Replay);
        for failed in [FAILED, terminal] {
            assert_eq!(meet(failed, Some(AfterFailure::Resume)), resume);
            assert_eq!(meet(failed, Some(AfterFailure::Replay)), Meeting::Replay);
            assert_eq!(meet(failed, Some(AfterFailure::Restart)), Meeting::Restart);
        }
    }

    #[test]
    fn what_another_live_process_can_run_is_never_parked() {
        for state in [State::Ready, State::Waiting] {
            let existing = Existing {
                state,
                shape: ShapeKnown::Elsewhere,
                ..FAILED
            };
            assert_eq!(meet(existing, None), Meeting::Busy);
        }
    }

    #[test]
    fn a_retry_waits_here_up_to_the_hold_and_is_put_down_beyond_it() {
        let retry = Retry::attempts(3).hold(Duration::from_secs(1));
        let asked = |seconds| Meaning::Retry(Some(Duration::from_secs(seconds)));
        assert_eq!(
            after_attempt(asked(1), 1, &retry, 0.0),
            AfterAttempt::TryAgain(Duration::from_secs(1))
        );
        assert_eq!(
            after_attempt(asked(2), 1, &retry, 0.0),
            AfterAttempt::Wait(Duration::from_secs(2))
        );
        assert_eq!(
            after_attempt(asked(1), 3, &retry, 0.0),
            AfterAttempt::Fail(FailureKind::Exhausted)
        );
    }

    #[test]
    fn ten_losses_without_a_checkpoint_are_too_many() {
        assert!(may_go_on(9, 0, 10));
        assert!(!may_go_on(10, 0, 10));
        assert!(
            may_go_on(12, 3, 10),
            "three of them were before the last checkpoint"
        );
    }

    fn any_existing() -> impl Strategy<Value = Existing> {
        let states = [
            State::Ready,
            State::Running,
            State::Waiting,
            State::Parked,
            State::Succeeded,
            State::Failed,
            State::Undone,
            State::Cancelled,
        ];
        let kinds = [
            None,
            Some(FailureKind::Temporary),
            Some(FailureKind::Exhausted),
            Some(FailureKind::Terminal),
        ];
        let reasons = [
            None,
            Some(ParkReason::Unreadable),
            Some(ParkReason::UnknownShape),
            Some(ParkReason::LostTooOften),
            Some(ParkReason::InDoubt),
            Some(ParkReason::UndoFailed),
        ];
        let shapes = [ShapeKnown::Here, ShapeKnown::Elsewhere, ShapeKnown::Nowhere];
        (
            0..8_usize,
            any::<bool>(),
            any::<bool>(),
            any::<bool>(),
            0..4_usize,
            0..6_usize,
            0..3_usize,
        )
            .prop_map(
                move |(state, expired, same_input, sleeps, kind, reason, shape)| Existing {
                    sleeps: sleeps && states[state] == State::Waiting,
                    state: states[state],
                    expired: expired && states[state].is_finished(),
                    same_input,
                    failure: kinds[kind],
                    parked: reasons[reason],
                    shape: shapes[shape],
                },
            )
    }

    fn any_wish() -> impl Strategy<Value = Option<AfterFailure>> {
        (0..4_usize).prop_map(|wish| {
            [
                None,
                Some(AfterFailure::Resume),
                Some(AfterFailure::Replay),
                Some(AfterFailure::Restart),
            ][wish]
        })
    }

    proptest! {
        #[test]
        fn what_was_undone_or_cancelled_runs_again_only_as_a_new_generation(
            existing in any_existing(), wish in any_wish()
        ) {
            let over = matches!(existing.state, State::Undone | State::Cancelled);
            if over && existing.same_input && !existing.expired {
                let restarted = wish == Some(AfterFailure::Restart);
                let wanted = if restarted { Meeting::Restart } else { Meeting::Replay };
                prop_assert_eq!(meet(existing, wish), wanted);
            }
        }

        #[test]
        fn no_call_ends_a_sleep(existing in any_existing(), wish in any_wish()) {
            if existing.sleeps && existing.same_input {
                prop_assert_eq!(meet(existing, wish), Meeting::Asleep);
            }
        }

        #[test]
        fn an_expired_key_is_used_anew_or_refused(existing in any_existing(), wish in any_wish()) {
            if existing.expired {
                prop_assert_eq!(meet(existing, wish), Meeting::Restart);
                prop_assert_eq!(super::meet(existing, wish, OnExpired::Refuse), Meeting::Expired);
            }
        }

        #[test]
        fn an_acknowledged_success_never_changes_within_a_generation(existing in any_existing(), wish in any_wish()) {
            if existing.state == State::Succeeded && !existing.expired {
                let wanted = if existing.same_input { Meeting::Replay } else { Meeting::Mismatch };
                prop_assert_eq!(meet(existing, wish), wanted);
            }
        }

        #[test]
        fn another_input_never_runs_anything(existing in any_existing(), wish in any_wish()) {
            if !existing.same_input && !existing.expired {
                prop_assert_eq!(meet(existing, wish), Meeting::Mismatch);
            }
        }

        #[test]
        fn a_running_execution_is_never_taken_by_a_caller(existing in any_existing(), wish in any_wish()) {
            if existing.state == State::Running {
                let meeting = meet(existing, wish);
                prop_assert!(matches!(meeting, Meeting::Busy | Meeting::Mismatch));
            }
        }

        #[test]
        fn only_a_process_that_knows_the_shape_resumes(existing in any_existing(), wish in any_wish()) {
            if let Meeting::Resume { .. } = meet(existing, wish) {
                prop_assert_eq!(existing.shape, ShapeKnown::Here);
            }
        }

        #[test]
        fn tries_are_bounded(tries in 0_u32..100, attempts in 1_u32..20, chance in 0.0..1.0) {
            let after = after_attempt(Meaning::Retry(None), tries, &Retry::attempts(attempts), chance);
            prop_assert_eq!(matches!(after, AfterAttempt::Fail(_)), tries >= attempts);
        }
    }
}
