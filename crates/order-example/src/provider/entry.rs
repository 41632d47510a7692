//! What does the provider write into its ledger?

use serde::{Deserialize, Serialize};

use crate::domain::Money;

/// What a shop asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PaymentOrder {
    /// How much.
    pub amount: Money,
    /// From which card.
    pub card_id: String,
}

/// What the provider decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The provider's id of it.
    pub id: String,
    /// What was asked.
    pub request: PaymentOrder,
    /// Whether the money is held back, or taken.
    pub approved: bool,
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Entry {
    /// It was asked to hold money back.
    Authorization(Decision),
    /// The money of an authorization was given back.
    Voided {
        /// The authorization.
        id: String,
    },
    /// It was asked to take money.
    Charge(Decision),
    /// It was asked to take money under a key that it knew, and gave the first decision again.
    ChargeRepeated {},
    /// It was told how to behave.
    Behaviour(Behaviour),
}

/// What it can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To hold money back.
    Authorization,
    /// To take money.
    Charge,
}

/// How it keeps its half of the bargain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behaviour {
    /// Whether it decides once per key. Otherwise it decides each time it is asked.
    #[serde(default = "yes")]
    pub dedupe: bool,
    /// Whether it tells what it has decided under a key. Otherwise it says that it can not tell.
    #[serde(default = "yes")]
    pub verify: bool,
}

/// What was decided, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// How often money was held back.
    pub authorizations: u64,
    /// How often it was asked to take money: declined and repeated requests count too.
    pub charge_calls: u64,
    /// How often money was taken.
    pub charges: u64,
}

fn yes() -> bool {
    true
}

impl Behaviour {
    pub(super) const KEY: &str = "behaviour";
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            dedupe: true,
            verify: true,
        }
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::Charge => "charge",
        }
    }

    pub(super) fn new_id(self) -> String {
        let random = keystep::random::unpredictable();
        format!("{}_{}", &self.word()[..4], random.simple())
    }

    /// What the ledger calls the decision under a caller's key.
    pub(super) fn key(self, key: &str) -> String {
        format!("{} {key}", self.word())
    }

    /// What it calls one more decision under a caller's key.
    pub(super) fn another_key(self, key: &str) -> String {
        let random = keystep::random::unpredictable();
        format!("{} of {key}", random.simple())
    }

    pub(super) fn entry(self, decision: Decision) -> Entry {
        match self {
            Self::Authorization => Entry::Authorization(decision),
            Self::Charge => Entry::Charge(decision),
        }
    }
}

impl Entry {
    pub(super) fn key_of_repetition() -> String {
        format!("repetition {}", keystep::random::unpredictable().simple())
    }

    pub(super) fn decision(self) -> Option<Decision> {
        match self {
            Self::Authorization(decision) | Self::Charge(decision) => Some(decision),
            Self::Voided { .. } | Self::ChargeRepeated {} | Self::Behaviour(_) => None,
        }
    }
}

impl<'a> FromIterator<&'a Entry> for Stats {
    fn from_iter<I: IntoIterator<Item = &'a Entry>>(entries: I) -> Self {
        let mut stats = Self::default();
        for entry in entries {
            match entry {
                Entry::Authorization(decision) => stats.authorizations += u64::from(decision.approved),
                Entry::Charge(decision) => {
                    stats.charge_calls += 1;
                    stats.charges += u64::from(decision.approved);
                }
                Entry::ChargeRepeated {} => stats.charge_calls += 1,
                Entry::Voided { .. } | Entry::Behaviour(_) => {}
            }
        }
        stats
    }
}
