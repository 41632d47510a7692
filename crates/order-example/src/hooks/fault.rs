//! What can be made to go wrong with a step? The words that a test uses, and what they mean.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The steps that can be disturbed.
pub(super) const STEPS: [&str; 6] = [
    RESERVE,
    AUTHORIZE,
    "create_order",
    CHARGE,
    "record_payment",
    PUBLISH,
];

/// The step that holds goods back.
pub(super) const RESERVE: &str = "reserve_stock";

/// The step that has the money of an order held back.
pub(super) const AUTHORIZE: &str = "authorize_payment";

/// The step that takes the money of a payment.
pub(super) const CHARGE: &str = "charge";

/// The delivery of a message, which is no step but can be disturbed like one.
pub(super) const PUBLISH: &str = "publish_outbox";

/// What goes wrong with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// It is slow.
    Delay,
    /// It fails and may be tried again.
    Transient,
    /// It fails for good.
    Final,
    /// It is slow and then fails, and may be tried again.
    DelayThenTransient,
    /// The process ends before the effect.
    CrashBefore,
    /// The process ends between the effect and its checkpoint.
    CrashAfterEffect,
    /// The process ends when the checkpoint is written.
    CrashAfterCheckpoint,
    /// The beats of the process stop and the step stands still: the process looks dead and is not.
    Freeze,
}

/// What goes wrong, for how long, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fault {
    pub(super) mode: Mode,
    /// Milliseconds.
    #[serde(default)]
    pub(super) ms: u64,
    /// Always when absent.
    pub(super) times: Option<u32>,
}

impl Fault {
    pub(super) fn duration(&self) -> Duration {
        Duration::from_millis(self.ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_with_and_without_its_numbers() {
        let fault: Fault =
            serde_json::from_str(r#"{"mode":"delay_then_transient","ms":20,"times":1}"#).expect("reads");
        assert_eq!(fault.mode, Mode::DelayThenTransient);
        assert_eq!(fault.duration(), Duration::from_millis(20));
        assert_eq!(fault.times, Some(1));
        let fault: Fault = serde_json::from_str(r#"{"mode":"crash_before"}"#).expect("reads");
        assert_eq!((fault.mode, fault.times), (Mode::CrashBefore, None));
        assert!(serde_json::from_str::<Fault>(r#"{"mode":"sulk"}"#).is_err());
    }
}
