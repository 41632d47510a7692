//! What were processes asked, and what did they say?

use std::collections::HashMap;
use std::time::Instant;

use store_conformance::history::{Event, History};
use uuid::Uuid;

use super::{Asked, Evidence, Witness, uuid};
use crate::protocol::Event as Said;
use crate::victim::Answer;

impl Evidence {
    /// Adds the calls of one process, each with its answer. `runs` tells for which run each attempt
    /// was, by its nonce.
    pub(super) fn calls(
        &self,
        process: usize,
        witness: &Witness,
        runs: &HashMap<&str, Uuid>,
        history: &mut History,
    ) {
        let mut answers: HashMap<u64, (Instant, Answer)> = HashMap::new();
        for (at, line) in witness.said.timed() {
            match serde_json::from_str(&line) {
                Ok(Said::Answer { call, result }) => {
                    answers.insert(call, (at, result));
                }
                Ok(Said::Failing(attempt)) => history.add(
                    self.micros(at),
                    Event::Retried {
                        run: uuid(&attempt.run),
                        step: attempt.step,
                    },
                ),
                // The last line of a killed process may be half a line.
                _ => {}
            }
        }
        let ended = witness.said.has_ended();
        for asked in &witness.asked {
            let caller = format!("call {} of process {process}", asked.call.number());
            let event = Event::Asked {
                key: asked.key.clone(),
                caller: caller.clone(),
            };
            history.add(self.micros(asked.at), event);
            match answers.remove(&asked.call.number()) {
                Some((at, answer)) => {
                    history.add(self.micros(at), heard(asked, caller, answer, runs));
                }
                None if ended => {
                    let event = Event::Refused {
                        key: asked.key.clone(),
                        caller,
                        why: "its process has ended".to_owned(),
                    };
                    history.add(self.micros(asked.at), event);
                }
                // It waits still, which is what the checker has to know.
                None => {}
            }
        }
    }
}

fn heard(asked: &Asked, caller: String, answer: Answer, runs: &HashMap<&str, Uuid>) -> Event {
    let key = asked.key.clone();
    match answer {
        Ok(output) => {
            let last = output.last().map_or("", String::as_str);
            Event::Answered {
                key,
                // An output of no attempt is of no run that has a result.
                run: runs.get(last).copied().unwrap_or(Uuid::nil()),
                caller,
                output: output.join(" "),
            }
        }
        Err(error) if ["failed", "undone", "cancelled"].contains(&error.kind.as_str()) => Event::Failed {
            key,
            execution: asked.execution,
            caller,
            failure: error.text,
        },
        Err(error) => Event::Refused {
            key,
            caller,
            why: error.text,
        },
    }
}
