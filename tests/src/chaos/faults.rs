//! What goes wrong next? Kills, stops, cuts and restarts, drawn at random; some last for a while.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::index;
use store_conformance::proxy::{Fate, Proxy, Trap};

use super::crew::{Crew, Slot};
use super::ground::Ground;
use crate::evidence::Evidence;
use crate::place::Kind;

/// What has gone wrong so far, and what still does.
pub(super) struct Faults {
    counts: Counts,
    next: Instant,
    /// When the server may be restarted again.
    next_server_restart: Instant,
    long_locks: bool,
    /// What comes before all that is drawn, last first: each kind once.
    opening: Vec<u32>,
    lasting: Vec<Lasting>,
    traps: Vec<(Instant, Trap)>,
}

/// How often what went wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) kills: usize,
    pub(super) stops: usize,
    pub(super) cuts: usize,
    pub(super) worker_restarts: usize,
    pub(super) server_restarts: usize,
}

/// A fault of a process that ends by itself.
struct Lasting {
    process: usize,
    since: Instant,
    until: Instant,
    end: End,
}

#[derive(Clone, Copy)]
enum End {
    GoOn,
    Pass,
    /// What was swallowed would be missing in the middle of a connection.
    CutAndPass,
}

/// How many of a hundred faults are of which kind. A restart that can not be is a cut.
const KILL: Range<u32> = 0..40;
const STOP: Range<u32> = 40..65;
const RELIEF: Range<u32> = 65..75;
const RESTART: Range<u32> = 75..80;
const CUT: Range<u32> = 80..100;

/// Between two faults.
const PAUSE_MS: Range<u64> = 150..450;
const BETWEEN_SERVER_RESTARTS: Duration = Duration::from_secs(15);

impl Faults {
    /// For a run of this length.
    pub(super) fn new(time: Duration) -> Self {
        let now = Instant::now();
        Self {
            counts: Counts::default(),
            next: now + Duration::from_millis(PAUSE_MS.end),
            next_server_restart: now + time.min(BETWEEN_SERVER_RESTARTS) / 3,
            // They stop all work for seconds.
            long_locks: time > Duration::from_secs(60),
            opening: vec![KILL.start, CUT.start, STOP.start, RELIEF.start],
            lasting: Vec::new(),
            traps: Vec::new(),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Ends what is over, and begins what is due.
    pub(super) fn tick(
        &mut self,
        random: &mut StdRng,
        crew: &mut Crew,
        ground: &mut Ground,
        evidence: &mut Evidence,
    ) {
        let now = Instant::now();
        if let Some(since) = ground.restarted() {
            evidence.cut_off(since);
        }
        self.traps.retain(|(since, trap)| {
            if trap.is_sprung() {
                evidence.cut_off(*since);
            }
            !trap.is_sprung()
        });
        self.lasting.retain(|lasting| {
            let over = lasting.until <= now;
            if over {
                lasting.end(crew, evidence);
            }
            !over
        });
        if now >= self.next {
            self.next = now + Duration::from_millis(random.random_range(PAUSE_MS));
            self.strike(random, crew, ground, evidence);
        }
    }

    fn strike(&mut self, random: &mut StdRng, crew: &mut Crew, ground: &mut Ground, evidence: &mut Evidence) {
        let process = random.random_range(0..crew.slots().len());
        let drawn = random.random_range(0..CUT.end);
        let kind = self.opening.pop().unwrap_or(drawn);
        let restart = ground.can_restart()
            && Instant::now() >= self.next_server_restart
            && (self.counts.server_restarts == 0 || RESTART.contains(&kind));
        match kind {
            _ if restart => {
                ground.restart();
                self.counts.server_restarts += 1;
                self.next_server_restart = Instant::now() + BETWEEN_SERVER_RESTARTS;
            }
            kind if KILL.contains(&kind) => {
                crew.kill(process, evidence);
                self.counts.kills += 1;
            }
            kind if STOP.contains(&kind) => {
                let time = millis(random, 50..2_500);
                if crew.stop(process, evidence) {
                    self.counts.stops += 1;
                    self.last(process, time, End::GoOn);
                }
            }
            kind if RELIEF.contains(&kind) => {
                if crew.relieve(process) {
                    self.counts.worker_restarts += 1;
                }
            }
            _ => {
                if self.cut(random, process, crew, ground, evidence) {
                    self.counts.cuts += 1;
                }
            }
        }
    }

    /// Parts a process from its database, or, on a file, all of them; false when it can not be done
    /// now.
    fn cut(
        &mut self,
        random: &mut StdRng,
        process: usize,
        crew: &Crew,
        ground: &mut Ground,
        evidence: &mut Evidence,
    ) -> bool {
        match (ground.store(), crew.slots()[process].proxy()) {
            (Kind::Sqlite, _) => {
                // Longer than the busy timeout, now and then.
                let time = match self.long_locks && random.random_bool(0.05) {
                    true => Duration::from_secs(6),
                    false => millis(random, 50..1_500),
                };
                ground.lock(time)
            }
            (Kind::Postgres, Some(proxy)) => match random.random_range(0..8) {
                0 if !ground.is_restarting() => {
                    evidence.cut_off(Instant::now());
                    ground.end_sessions(|there| {
                        let ends = random.random_range(1..=3).min(there);
                        index::sample(random, there, ends).into_vec()
                    });
                    true
                }
                _ => {
                    evidence.cut_off(Instant::now());
                    if let Some((time, end)) = self.part(random, proxy) {
                        self.last(process, time, end);
                    }
                    true
                }
            },
            (Kind::Postgres, None) => false,
        }
    }

    /// Does something to the connections of a proxy. How long it lasts, and what ends it, if it
    /// does.
    fn part(&mut self, random: &mut StdRng, proxy: &Proxy) -> Option<(Duration, End)> {
        Some(match random.random_range(0..7) {
            0 => {
                proxy.cut();
                return None;
            }
            1 => {
                proxy.cut_after(random.random_range(1..20_000));
                (millis(random, 200..1_000), End::Pass)
            }
            2 => {
                proxy.stall(true);
                (millis(random, 100..2_500), End::Pass)
            }
            3 => {
                proxy.delay(millis(random, 5..150));
                (millis(random, 200..1_500), End::Pass)
            }
            4 => {
                proxy.swallow_answers(true);
                (millis(random, 20..500), End::CutAndPass)
            }
            5 => {
                proxy.refuse(true);
                (millis(random, 50..1_000), End::Pass)
            }
            _ => {
                let fate = match random.random_bool(0.7) {
                    true => Fate::LoseAnswer,
                    false => Fate::CutBefore,
                };
                let is_commit = random.random_bool(0.5);
                let nth = random.random_range(1..10);
                let trap = proxy.trap(move |text| is_meant(text, is_commit), nth, fate);
                self.traps.push((Instant::now(), trap));
                return None;
            }
        })
    }

    /// Ends every fault, and waits until the store is whole.
    pub(super) fn end(&mut self, crew: &mut Crew, ground: &mut Ground, evidence: &mut Evidence) {
        for lasting in self.lasting.drain(..) {
            lasting.end(crew, evidence);
        }
        for proxy in crew.slots().iter().filter_map(Slot::proxy) {
            proxy.pass();
            proxy.disarm();
        }
        for (since, _trap) in self.traps.drain(..) {
            evidence.cut_off(since);
        }
        if let Some(since) = ground.whole() {
            evidence.cut_off(since);
        }
    }

    fn last(&mut self, process: usize, time: Duration, end: End) {
        let since = Instant::now();
        self.lasting.push(Lasting {
            process,
            since,
            until: since + time,
            end,
        });
    }
}

impl Lasting {
    fn end(&self, crew: &mut Crew, evidence: &mut Evidence) {
        match (self.end, crew.slots()[self.process].proxy()) {
            (End::GoOn, _) => crew.go_on(self.process),
            (End::Pass, Some(proxy)) => {
                evidence.cut_off(self.since);
                proxy.pass();
            }
            (End::CutAndPass, Some(proxy)) => {
                evidence.cut_off(self.since);
                proxy.cut();
                proxy.pass();
            }
            (_, None) => {}
        }
    }
}

/// The end of a step's transaction, or a statement of the store that writes.
fn is_meant(text: &str, is_commit: bool) -> bool {
    match is_commit {
        true => text == "COMMIT",
        false => text.contains("INSERT INTO") || text.contains("UPDATE"),
    }
}

fn millis(random: &mut StdRng, range: Range<u64>) -> Duration {
    Duration::from_millis(random.random_range(range))
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} kills, {} stops, {} cuts, {} restarts of processes, {} of the server",
            self.kills, self.stops, self.cuts, self.worker_restarts, self.server_restarts
        )
    }
}
