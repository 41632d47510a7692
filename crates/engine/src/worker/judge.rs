//! Is that worker dead? Judged from what was seen of it, by the observer's monotonic clock. Pure.
//!
//! A judgement may be wrong at any time without breaking a promise: safety is the fence in each
//! write. It only decides *when* somebody else goes on.

use std::collections::HashMap;
use std::time::{Duration, Instant};

#[cfg(feature = "planted")]
use crate::bugs::{self, Bug};
use crate::execution::WorkerId;
use crate::store::Observation;

/// How long to wait before believing what is seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// How long a session must be gone without a break.
    pub(crate) grace: Duration,
    /// How long a beat may stand still although the session stands.
    pub(crate) beat_limit: Duration,
    /// How long after a start of the database server its clients are given to come back, since a
    /// restart ends all sessions at once.
    pub(crate) reconnect_budget: Duration,
}

/// What an observer remembers of the others.
#[derive(Debug)]
pub(crate) struct Judge {
    patience: Patience,
    last_look: Option<Instant>,
    /// Which start of the database server was seen last.
    incarnation: Option<i64>,
    /// When another one was seen in its place.
    failed_over: Option<Instant>,
    peers: HashMap<WorkerId, Peer>,
}

#[derive(Debug, Clone, Copy)]
struct Peer {
    beat: i64,
    beat_since: Instant,
    gone_since: Option<Instant>,
}

impl Judge {
    pub(crate) fn new(patience: Patience) -> Self {
        Self {
            patience,
            last_look: None,
            incarnation: None,
            failed_over: None,
            peers: HashMap::new(),
        }
    }

    /// Takes in one look at the others and names those to declare dead, each with the beat it was
    /// judged by.
    pub(crate) fn look(&mut self, observation: &Observation, now: Instant) -> Vec<(WorkerId, i64)> {
        // An observer that was itself stopped has seen nothing for a while: it starts anew.
        let paused = self
            .last_look
            .is_some_and(|last| now.duration_since(last) > self.patience.beat_limit / 2);
        if paused {
            self.peers.clear();
        }
        self.last_look = Some(now);
        let settled = self.settled(observation, now);
        #[cfg(feature = "planted")]
        let settled = settled || bugs::is_planted(Bug::GraceNotReset);

        let mut dead = Vec::new();
        let mut seen = HashMap::with_capacity(observation.others.len());
        for other in &observation.others {
            let before = self.peers.get(&other.worker);
            let beat_since = match before {
                Some(peer) if peer.beat == other.beat => peer.beat_since,
                _ => now,
            };
            let gone_since = match other.session {
                Some(false) if settled => before.and_then(|peer| peer.gone_since).or(Some(now)),
                _ => None,
            };
            let gone = gone_since.is_some_and(|since| now.duration_since(since) >= self.patience.grace);
            let silent = now.duration_since(beat_since) >= self.patience.beat_limit;
            if gone || silent {
                dead.push((other.worker, other.beat));
            }
            let peer = Peer {
                beat: other.beat,
                beat_since,
                gone_since,
            };
            seen.insert(other.worker, peer);
        }
        self.peers = seen;
        dead
    }

    /// Whether the clients of the database server have had time to come to it: since it was started,
    /// or since it took the place of another one in a failover, however old it is.
    fn settled(&mut self, observation: &Observation, now: Instant) -> bool {
        let before = std::mem::replace(&mut self.incarnation, observation.incarnation);
        if before.is_some() && before != self.incarnation {
            self.failed_over = Some(now);
        }
        let since_failover = self.failed_over.map(|since| now.duration_since(since));
        let here = observation.server_age.into_iter().chain(since_failover).min();
        here.is_none_or(|here| here >= self.patience.reconnect_budget + self.patience.grace)
    }

    /// When the grace of the first one ends that is seen to be gone: waiting longer for a look would
    /// only make its executions wait longer.
    pub(crate) fn next_death(&self) -> Option<Instant> {
        let ends = |peer: &Peer| peer.gone_since.map(|since| since + self.patience.grace);
        self.peers.values().filter_map(ends).min()
    }

    /// The observer could not look: what it saw of sessions is no longer without a break.
    pub(crate) fn could_not_look(&mut self) {
        for peer in self.peers.values_mut() {
            peer.gone_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Observed;

    const PATIENCE: Patience = Patience {
        grace: Duration::from_secs(1),
        beat_limit: Duration::from_secs(10),
        reconnect_budget: Duration::from_secs(5),
    };
    const OTHER: WorkerId = WorkerId(7);

    struct Scene {
        judge: Judge,
        start: Instant,
    }

    impl Scene {
        fn new(patience: Patience) -> Self {
            Self {
                judge: Judge::new(patience),
                start: crate::clock::monotonic(),
            }
        }

        /// One look after so many milliseconds; true when the other is declared dead. A server is its
        /// number and its age in seconds.
        fn at(&mut self, millis: u64, session: Option<bool>, beat: i64, server: Option<(i64, u64)>) -> bool {
            let observation = Observation {
                server_age: server.map(|(_number, age)| Duration::from_secs(age)),
                incarnation: server.map(|(number, _age)| number),
                others: vec![Observed {
                    worker: OTHER,
                    beat,
                    session,
                    shapes: Vec::new(),
                }],
            };
            let now = self.start + Duration::from_millis(millis);
            self.judge.look(&observation, now) == [(OTHER, beat)]
        }
    }

    #[test]
    fn a_session_gone_for_the_grace_is_a_death() {
        let mut scene = Scene::new(PATIENCE);
        assert!(!scene.at(0, Some(false), 1, None));
        assert!(!scene.at(900, Some(false), 1, None));
        assert!(scene.at(1000, Some(false), 1, None));
    }

    #[test]
    fn the_next_death_is_at_the_end_of_the_grace_of_who_is_gone() {
        let mut scene = Scene::new(PATIENCE);
        scene.at(0, Some(true), 1, None);
        assert_eq!(scene.judge.next_death(), None);
        scene.at(300, Some(false), 1, None);
        scene.at(600, Some(false), 1, None);
        let end = scene.start + Duration::from_millis(1300);
        assert_eq!(scene.judge.next_death(), Some(end));
        scene.at(900, Some(true), 2, None);
        assert_eq!(scene.judge.next_death(), None, "it came back");
    }

    #[test]
    fn a_session_that_comes_back_within_the_grace_is_no_death() {
        let mut scene = Scene::new(PATIENCE);
        assert!(!scene.at(0, Some(false), 1, None));
        assert!(!scene.at(500, Some(true), 2, None));
        assert!(!scene.at(1200, Some(false), 2, None));
        scene.judge.could_not_look();
        assert!(!scene.at(2300, Some(false), 2, None), "not without a break");
    }

    #[test]
    fn a_beat_that_stands_still_is_a_death_although_the_session_stands() {
        let mut scene = Scene::new(PATIENCE);
        for second in 0..10 {
            assert!(!scene.at(second * 1000, Some(true), 5, None));
        }
        assert!(scene.at(10_000, Some(true), 5, None));
    }

    #[test]
    fn after_a_restart_of_the_database_sessions_are_given_time_to_come_back() {
        let mut scene = Scene::new(PATIENCE);
        assert!(!scene.at(0, Some(false), 1, Some((1, 0))));
        assert!(!scene.at(3000, Some(false), 1, Some((1, 3))));
        assert!(
            !scene.at(6000, Some(false), 1, Some((1, 6))),
            "the grace begins now"
        );
        assert!(scene.at(7000, Some(false), 1, Some((1, 7))));
    }

    #[test]
    fn after_a_failover_to_a_server_that_ran_before_sessions_are_given_time_too() {
        // Also when both were started together.
        for age in [1800, 3600] {
            let mut scene = Scene::new(PATIENCE);
            assert!(!scene.at(0, Some(true), 1, Some((1, 3600))));
            for (beat, second) in [(1, 4), (2, 8), (3, 10)] {
                let standby = Some((2, age + second));
                assert!(!scene.at(second * 1000, Some(false), beat, standby));
            }
            // The grace began with the look before.
            assert!(scene.at(11_000, Some(false), 3, Some((2, age + 11))));
        }
    }

    #[test]
    fn an_answer_that_was_long_on_its_way_is_no_failover() {
        let mut scene = Scene::new(PATIENCE);
        assert!(!scene.at(0, Some(false), 1, Some((1, 3600))));
        assert!(
            !scene.at(900, Some(false), 1, Some((1, 3590))),
            "the grace goes on"
        );
        assert!(scene.at(1000, Some(false), 1, Some((1, 3601))));
    }

    #[test]
    fn a_young_observer_beside_an_old_database_need_not_wait() {
        let mut scene = Scene::new(Patience {
            grace: Duration::ZERO,
            ..PATIENCE
        });
        assert!(scene.at(0, Some(false), 1, Some((1, 3600))));
    }

    #[test]
    fn an_observer_that_was_stopped_itself_accuses_nobody() {
        let mut scene = Scene::new(PATIENCE);
        assert!(!scene.at(0, Some(true), 5, None));
        assert!(!scene.at(60_000, Some(true), 5, None));
    }
}
