//! Was each message of a recorded step delivered, and nothing else? A message's payload is the nonce of the
//! attempt that sent it.

use std::collections::{HashMap, HashSet};

use store_conformance::history::{Event, History};
use uuid::Uuid;

use super::Chaos;

/// What is known of the messages.
pub(super) struct Messages {
    /// Of recorded steps.
    pub(super) sent: usize,
    pub(super) deliveries: usize,
    /// What is wrong with them, in sentences.
    pub(super) wrong: Vec<String>,
}

/// How many messages a step sends, in the schema that sends any.
const SENDS: [(&str, usize); 2] = [("book", 2), ("last", 1)];
/// A step of that schema alone.
const MARKER: &str = "pay";

impl Messages {
    pub(super) fn of(chaos: &Chaos, history: &History) -> Self {
        let place = chaos.ground.place();
        let posted = place.posted();
        let mut ids: HashMap<&str, HashSet<&str>> = HashMap::new();
        for message in &posted {
            ids.entry(&message.payload).or_default().insert(&message.id);
        }
        let mut wrong: Vec<String> = Vec::new();
        let mut sent = 0;
        for (nonce, messages) in senders(history) {
            sent += messages;
            let delivered = ids.remove(nonce.to_string().as_str()).map_or(0, |ids| ids.len());
            if delivered != messages {
                wrong.push(format!(
                    "{delivered} of {messages} messages of attempt {nonce} were delivered"
                ));
            }
        }
        wrong.extend(
            ids.keys()
                .map(|nonce| format!("a message of attempt {nonce} was delivered, which is not recorded")),
        );
        let left = place.outbox(u32::MAX).len();
        if left > 0 {
            wrong.push(format!("{left} messages are left in the outbox"));
        }
        Self {
            sent,
            deliveries: posted.len(),
            wrong,
        }
    }
}

/// The recorded attempts that have sent messages, and how many each.
fn senders(history: &History) -> Vec<(Uuid, usize)> {
    let recorded = || {
        history.entries.iter().filter_map(|entry| match &entry.event {
            Event::Recorded { run, step, nonce, .. } => Some((*run, step.as_str(), *nonce)),
            _ => None,
        })
    };
    let runs: HashSet<Uuid> = recorded()
        .filter(|(_, step, _)| *step == MARKER)
        .map(|(run, ..)| run)
        .collect();
    recorded()
        .filter(|(run, ..)| runs.contains(run))
        .filter_map(|(_, step, nonce)| {
            let sends = SENDS.iter().find(|(sender, _)| *sender == step)?;
            Some((nonce, sends.1))
        })
        .collect()
}
