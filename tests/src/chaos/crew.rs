//! Which processes are there, and how are they? A fixed number of places; who is gone is replaced.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use store_conformance::proxy::Proxy;

use super::ground::Ground;
use super::traffic::Order;
use crate::evidence::Evidence;
use crate::protocol::{Event, Run};
use crate::transcript::Transcript;
use crate::victim::{Launch, SOON, Victim};

/// The processes.
pub(super) struct Crew {
    launch: Launch,
    slots: Vec<Slot>,
    /// Those that were told to leave, and when.
    leaving: Vec<(Victim, Instant)>,
    calls: usize,
    cancels: usize,
    signals: usize,
}

/// A process, and its way to the database.
pub(super) struct Slot {
    victim: Victim,
    said: Transcript,
    proxy: Option<Proxy>,
    stopped: bool,
    /// Lines of what it said that were looked at.
    heard: usize,
    /// Orders that it has not answered, by their number.
    unanswered: HashMap<u64, Order>,
}

impl Crew {
    pub(super) fn start(processes: usize, launch: &Launch, ground: &Ground) -> Self {
        let slots = (0..processes)
            .map(|_process| Slot::start(launch, ground.proxy()))
            .collect();
        Self {
            launch: launch.clone(),
            slots,
            leaving: Vec::new(),
            calls: 0,
            cancels: 0,
            signals: 0,
        }
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Calls that were made.
    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    /// Wishes to cancel an execution.
    pub(super) fn cancels(&self) -> usize {
        self.cancels
    }

    /// Signals that were to be sent.
    pub(super) fn signals(&self) -> usize {
        self.signals
    }

    /// Orders to living processes that have no answer.
    pub(super) fn unanswered(&self) -> usize {
        self.slots.iter().map(|slot| slot.unanswered.len()).sum()
    }

    /// What those calls are, with what their processes said and logged last.
    pub(super) fn waiting(&self) -> Vec<String> {
        let slots = self.slots.iter().filter(|slot| !slot.unanswered.is_empty());
        slots
            .map(|slot| {
                format!(
                    "callers got no answer: {:?}\n{}",
                    slot.unanswered.values(),
                    slot.victim
                )
            })
            .collect()
    }

    /// Gives a process an order.
    pub(super) fn tell(&mut self, process: usize, order: Order, evidence: &mut Evidence) {
        let slot = &mut self.slots[process];
        let call = match &order {
            Order::Call(run) => {
                let call = slot.victim.call(Run::clone(run));
                evidence.asked_to(&slot.victim, call, run);
                self.calls += 1;
                call
            }
            Order::Cancel { schema, key, undo } => {
                self.cancels += 1;
                slot.victim.cancel(schema, key, *undo)
            }
            Order::Signal { schema, key } => {
                self.signals += 1;
                slot.victim.send_signal(schema, key)
            }
        };
        slot.unanswered.insert(call.number(), order);
    }

    /// Kills a process; its successor obeys as soon as it is there.
    pub(super) fn kill(&mut self, process: usize, evidence: &mut Evidence) {
        evidence.crashed(&self.slots[process].victim);
        // Dropping a victim kills it.
        drop(self.replace(process));
    }

    /// Stops a process; false when there is nothing to stop.
    pub(super) fn stop(&mut self, process: usize, evidence: &mut Evidence) -> bool {
        let slot = &mut self.slots[process];
        if slot.stopped || slot.victim.ended().is_some() {
            return false;
        }
        evidence.crashed(&slot.victim);
        slot.stopped = slot.victim.try_stop();
        slot.stopped
    }

    /// Lets a stopped process go on, if it is still there.
    pub(super) fn go_on(&mut self, process: usize) {
        let slot = &mut self.slots[process];
        if std::mem::take(&mut slot.stopped) {
            slot.victim.go_on();
        }
    }

    /// Tells a process to shut down, and starts another one at once; false when it is stopped.
    pub(super) fn relieve(&mut self, process: usize) -> bool {
        if self.slots[process].stopped {
            return false;
        }
        let mut leaving = self.replace(process);
        leaving.leave();
        self.leaving.push((leaving, Instant::now()));
        true
    }

    /// Hears what the processes say, and replaces those that ended by themselves. Gives what is
    /// wrong with them.
    pub(super) fn tend(&mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        for process in 0..self.slots.len() {
            let slot = &mut self.slots[process];
            slot.hear();
            if let Some(status) = slot.victim.ended() {
                if !could_not_start(&slot.victim) {
                    wrong.push(format!(
                        "a process ended with {status} by itself\n{}",
                        slot.victim
                    ));
                }
                self.replace(process);
            }
        }
        self.leaving.retain_mut(|(victim, since)| {
            match victim.ended() {
                Some(status) if !status.success() && !could_not_start(victim) => {
                    wrong.push(format!(
                        "a process that was told to leave ended with {status}\n{victim}"
                    ));
                }
                Some(_as_it_should) => {}
                None if since.elapsed() > SOON => {
                    wrong.push(format!("a process does not leave\n{victim}"));
                }
                None => return true,
            }
            false
        });
        wrong
    }

    /// Lets all processes shut down. Gives what is wrong with them.
    pub(super) fn leave(&mut self) -> Vec<String> {
        let now = Instant::now();
        // They hand back what they still run, and need their way to the database for it.
        let mut proxies = Vec::new();
        for mut slot in self.slots.drain(..) {
            slot.victim.leave();
            self.leaving.push((slot.victim, now));
            proxies.push(slot.proxy);
        }
        let mut wrong = Vec::new();
        while !self.leaving.is_empty() {
            wrong.extend(self.tend());
            std::thread::sleep(Duration::from_millis(5));
        }
        wrong
    }

    /// Starts another process at this place, and gives the one that was there.
    fn replace(&mut self, process: usize) -> Victim {
        let slot = &mut self.slots[process];
        let fresh = Slot::start(&self.launch, slot.proxy.take());
        std::mem::replace(slot, fresh).victim
    }
}

/// Whether a process that has ended could not reach its database when it started: it says so.
fn could_not_start(ended: &Victim) -> bool {
    // What it said last may still be on its way.
    let [said, logged] = ended.transcripts();
    said.to_the_end();
    logged.to_the_end();
    ended.heard(|event| matches!(event, Event::Refused { .. }))
}

impl Slot {
    fn start(launch: &Launch, proxy: Option<Proxy>) -> Self {
        let launch = match &proxy {
            Some(proxy) => launch.clone().option("url", proxy.url()),
            None => launch.clone(),
        };
        let victim = launch.start();
        let [said, _logged] = victim.transcripts();
        Self {
            victim,
            said,
            proxy,
            stopped: false,
            heard: 0,
            unanswered: HashMap::new(),
        }
    }

    pub(super) fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// Whether it keeps up with what it is asked.
    pub(super) fn has_room(&self) -> bool {
        const AT_MOST: usize = 60;
        self.unanswered.len() < AT_MOST
    }

    fn hear(&mut self) {
        let lines = self.said.since(self.heard);
        self.heard += lines.len();
        for line in lines.iter().filter(|line| line.contains(r#""event":"answer""#)) {
            if let Ok(Event::Answer { call, .. }) = serde_json::from_str(line) {
                self.unanswered.remove(&call);
            }
        }
    }
}
