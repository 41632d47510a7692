//! What may an operation decide? Duplicates, errors, replays, a store that is down: one enum each, and
//! the words for them in the published policy.

use std::time::Duration;

use keystep::AfterFailure;

/// What a request gets while an equal one is being worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concurrency {
    /// Waits for the same answer, at most so long; then 409 `idempotency-in-progress`. The default, with
    /// five seconds.
    Wait(Duration),
    /// 409 `idempotency-in-progress` at once.
    Reject,
    /// 202 with the URL of the operation's state at once.
    Accept,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self::Wait(Duration::from_secs(5))
    }
}

impl Concurrency {
    /// The word for it in the published policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wait(_) => "wait",
            Self::Reject => "reject",
            Self::Accept => "accept",
        }
    }
}

/// What a repeated request gets after an error.
///
/// | | route that runs a schema | wrapped handler |
/// |---|---|---|
/// | `PersistFinal` | final failures again, others go on where they stopped | everything is stored below 500 but what says that nothing was done: 400, 401, 403, 404, 405, 408, 412, 413, 415, 425, 428, 429 |
/// | `RetryErrors` | final failures begin anew, others go on where they stopped | 1xx to 3xx are stored |
/// | `SuccessOnly` | every failure goes on where it stopped | 1xx to 3xx are stored |
/// | `ReplayAll` | every failure again | everything is stored |
///
/// A failure whose kind says that the same key may be used ([`Kind::same_key`](crate::Kind)) begins
/// anew, but under `ReplayAll`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// Final errors are stored, passing ones are not. The default.
    #[default]
    PersistFinal,
    /// After any error the next equal request runs, after a final one as if it were the first.
    RetryErrors,
    /// Errors are repeated as they were, also passing ones.
    ReplayAll,
    /// Only success is stored; after any error the next equal request goes on.
    SuccessOnly,
}

impl OnError {
    /// The word for it in the published policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PersistFinal => "persist-final",
            Self::RetryErrors => "retry-errors",
            Self::ReplayAll => "replay-all",
            Self::SuccessOnly => "success-only",
        }
    }

    /// What to ask of the engine.
    pub(crate) fn wish(self) -> Option<AfterFailure> {
        match self {
            // What begins anew after a final failure is for the front door to say: what stopped half-way
            // has effects that only its own run knows of.
            Self::PersistFinal | Self::RetryErrors => None,
            Self::ReplayAll => Some(AfterFailure::Replay),
            Self::SuccessOnly => Some(AfterFailure::Resume),
        }
    }

    /// Whether the answer of a wrapped handler stands for good.
    pub(crate) fn stores(self, status: http::StatusCode) -> bool {
        let code = status.as_u16();
        match self {
            Self::ReplayAll => true,
            Self::RetryErrors | Self::SuccessOnly => code < 400,
            Self::PersistFinal => {
                let nothing_done = [400, 401, 403, 404, 405, 408, 412, 413, 415, 425, 428, 429];
                code < 500 && !nothing_done.contains(&code)
            }
        }
    }
}

/// What makes two requests equal, besides method, route, path, query and media type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Fingerprint {
    /// The canonical form of a JSON body; the bytes of any other, without the boundary of a multipart
    /// one. The default.
    #[default]
    Canonical,
    /// The bytes of the body.
    Raw,
    /// Only these members of a JSON body, as JSON Pointers.
    Fields(Vec<String>),
    /// Neither body, query nor media type, only what is acted on: the first request with a key wins, and
    /// every other one gets its answer.
    Off,
}

impl Fingerprint {
    /// The word for it in the published policy.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Canonical => "canonical",
            Self::Raw => "raw",
            Self::Fields(_) => "fields",
            Self::Off => "off",
        }
    }
}

/// What a keyed request gets while the store of keys can not be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnStoreDown {
    /// 503 `idempotency-store-unavailable` before anything is done. The default.
    #[default]
    FailClosed,
    /// The handler runs as if there were no key, so a repeated request is done twice. Only for a wrapped
    /// handler, and only when the store could not even be asked; each one is logged.
    RunUnprotectedAndMaybeTwice,
}

/// What becomes of a wrapped handler's request when its process dies inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterCrash {
    /// The next equal request runs the handler again: for a handler whose work is one transaction, or
    /// that is repeatable by itself.
    Rerun,
    /// Nobody knows what was done, so nobody does it again: every equal request gets 500
    /// `needs-attention` until a person settles it ([`keystep::Engine::settle`]).
    InDoubt,
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn each_policy_stores_what_its_table_says() {
        let stored = |policy: OnError| {
            let codes = [200, 302, 400, 402, 404, 409, 412, 422, 429, 500, 503];
            codes
                .into_iter()
                .filter(|code| policy.stores(StatusCode::from_u16(*code).expect("a status")))
                .collect::<Vec<u16>>()
        };
        assert_eq!(stored(OnError::PersistFinal), [200, 302, 402, 409, 422]);
        assert_eq!(stored(OnError::RetryErrors), [200, 302]);
        assert_eq!(stored(OnError::SuccessOnly), [200, 302]);
        assert_eq!(stored(OnError::ReplayAll).len(), 11);
    }
}
