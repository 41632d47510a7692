//! When do many callers of one key have its outcome? By the wall clock, which the processes of one
//! machine share.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use keystep::clock::micros_of;
use keystep::{Engine, OnDuplicate, Schema};
use serde::{Deserialize, Serialize};

use crate::schema::{Part, STEPS};

/// Callers that were all answered. Times are microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Crowd {
    /// Before the first one called.
    began: i64,
    /// When the first one had the outcome.
    first: i64,
    /// When all of them had it.
    last: i64,
}

impl Crowd {
    /// Both together, as they were in two processes.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            began: self.began.min(other.began),
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }

    /// Until all of them had the outcome.
    pub(crate) fn took(&self) -> Duration {
        between(self.began, self.last)
    }

    /// From the first to the last who had it.
    pub(crate) fn after_end(&self) -> Duration {
        between(self.first, self.last)
    }
}

/// Lets so many callers call one key at once.
pub(crate) async fn crowd(
    engine: &Engine,
    schema: &Schema<Part, Part>,
    key: &str,
    callers: usize,
) -> Result<Crowd> {
    let began = now();
    let calls: Vec<_> = (0..callers)
        .map(|_caller| {
            let call = engine
                .run(schema, key, Part::first(0))
                .on_duplicate(OnDuplicate::Attach);
            tokio::spawn(async move { call.await.map(|done| (done, now())) })
        })
        .collect();
    let mut answered = Vec::with_capacity(callers);
    for call in calls {
        let (done, at) = call.await??;
        anyhow::ensure!(done.step as usize == STEPS, "all steps ran: {done:?}");
        answered.push(at);
    }
    Ok(Crowd {
        began,
        first: answered.iter().copied().min().unwrap_or(began),
        last: answered.iter().copied().max().unwrap_or(began),
    })
}

fn now() -> i64 {
    micros_of(SystemTime::now())
}

fn between(from: i64, to: i64) -> Duration {
    Duration::from_micros(u64::try_from(to - from).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crowds_in_two_processes_are_one() {
        let here = Crowd {
            began: 10,
            first: 50,
            last: 60,
        };
        let there = Crowd {
            began: 12,
            first: 70,
            last: 75,
        };
        for both in [here.and(there), there.and(here)] {
            assert_eq!(both.took(), Duration::from_micros(65));
            assert_eq!(both.after_end(), Duration::from_micros(25));
        }
    }
}
