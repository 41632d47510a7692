//! Processes that deliver messages are killed among them: does each message arrive, as it was sent and
//! in order for each execution?

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use system_tests::place::{Kind, Place};
use system_tests::protocol::Policy;
use system_tests::victim::{SOON, Victim};

use crate::{show, victim};

on_both_stores!(a_thousand_messages_arrive_while_the_processes_that_deliver_them_are_killed);

const SCHEMA: &str = "kinds";
/// Each sends two messages in its transaction and one with its last output.
const EXECUTIONS: usize = 334;
const KILLS: usize = 6;
/// Deliveries until the next kill: in the middle of a look at the outbox.
const BETWEEN_KILLS: usize = 170;

/// Id, execution and payload.
type Sent = (String, String, String);

fn a_thousand_messages_arrive_while_the_processes_that_deliver_them_are_killed(kind: Kind) {
    let place = Place::fresh(kind);
    place.settle();
    let sent = send(&place);
    assert_eq!(sent.len(), 3 * EXECUTIONS);

    let relay = || victim(&place).grace(Duration::ZERO).option("relay-ms", 1).start();
    let mut relays = vec![relay(), relay()];
    for kill in 1..=KILLS {
        until(&place, &relays, |place| {
            place.posted().len() >= kill * BETWEEN_KILLS
        });
        // The one that delivers: the other one had to wait for its predecessor's death.
        relays.remove(0).kill();
        relays.push(relay());
    }
    until(&place, &relays, |place| place.outbox(1).is_empty());

    let posted = place.posted();
    show(&format!(
        "{kind:?}: {} messages, {} deliveries with {KILLS} kills",
        sent.len(),
        posted.len()
    ));
    assert!(posted.len() > sent.len(), "no kill hit a delivery");
    let mut known = HashSet::new();
    let first: Vec<Sent> = posted
        .into_iter()
        .map(|message| (message.id, message.execution, message.payload))
        .filter(|message| known.insert(message.clone()))
        .collect();
    assert_eq!(
        by_execution(&first),
        by_execution(&sent),
        "all, unchanged, in order"
    );
}

/// Runs the executions, and gives the messages in the order in which they were sent.
fn send(place: &Place) -> Vec<Sent> {
    let mut writer = victim(place).ready();
    let calls: Vec<_> = (0..EXECUTIONS)
        .map(|number| writer.run(SCHEMA, &format!("k{number}"), Policy::Attach))
        .collect();
    for call in calls {
        writer.answer(call).expect("an output");
    }
    writer.exit();
    let outbox = place.outbox(10_000).into_iter();
    let sent = outbox.map(|message| {
        // A header of two bytes, then JSON.
        let payload = serde_json::from_slice(&message.payload.0[2..]).expect("a nonce");
        (message.id.to_string(), message.execution.to_string(), payload)
    });
    sent.collect()
}

fn by_execution(messages: &[Sent]) -> HashMap<&str, Vec<&Sent>> {
    let mut executions: HashMap<&str, Vec<&Sent>> = HashMap::new();
    for message in messages {
        executions.entry(&message.1).or_default().push(message);
    }
    executions
}

fn until(place: &Place, relays: &[Victim], wanted: impl Fn(&Place) -> bool) {
    let deadline = Instant::now() + SOON;
    while !wanted(place) {
        assert!(
            Instant::now() < deadline,
            "{} deliveries\n{}\n{}",
            place.posted().len(),
            relays[0],
            relays[1]
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
