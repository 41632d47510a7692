//! Processes are killed, stopped, cut off and restarted at random while keys are called: what must
//! never happen?
//!
//! Nobody can foretell what happens here. Everything is noted (by the steps, by the callers, by
//! triggers in the database), and the history checker judges it afterwards. What the driver decides
//! comes from one seed; when things happen to the processes does not, so a seed repeats the
//! decisions and not the outcome.
//!
//! | room | question |
//! |---|---|
//! | `options` | What can be chosen? |
//! | `ground` | On which store, and what can be done to it? |
//! | `crew` | Which processes are there, and how are they? |
//! | `traffic` | Who calls which keys, and how? |
//! | `faults` | What goes wrong next? |
//! | `messages` | Was each message of a recorded step delivered, and nothing else? |
//! | `verdict` | Was every promise kept, and what is told of the run? |

mod crew;
mod faults;
mod ground;
mod messages;
mod options;
mod traffic;
mod verdict;

use std::time::{Duration, Instant};

use keystep::State;
use rand::SeedableRng;
use rand::rngs::StdRng;
use store_conformance::history::History;
use uuid::Uuid;

use crate::evidence::Evidence;
use crate::victim::{Launch, SOON};
use crew::Crew;
use faults::Faults;
use ground::Ground;
use traffic::Traffic;

pub use options::Options;
pub use verdict::{Broken, Verdict};

const PROCESSES: usize = 4;
const BEAT: Duration = Duration::from_millis(200);
const BEAT_LIMIT: Duration = Duration::from_millis(1_500);
const GRACE: Duration = Duration::from_millis(300);
const SWEEP: Duration = Duration::from_millis(500);
const RECONNECT_BUDGET: Duration = Duration::from_secs(2);
/// When no fault has come for so long, everything is at rest.
const RECOVERY: Duration = GRACE.saturating_add(SWEEP).saturating_add(Duration::from_secs(5));
/// How often the driver does something.
const TICK: Duration = Duration::from_millis(25);

/// A run of chaos from its first fault to its verdict.
pub struct Chaos {
    random: StdRng,
    crew: Crew,
    traffic: Traffic,
    faults: Faults,
    evidence: Evidence,
    /// What the driver itself saw go wrong.
    seen: Vec<String>,
    /// Last: it goes when nobody uses it any more.
    ground: Ground,
}

/// What was seen after the faults.
#[derive(Debug, Default)]
struct Recovery {
    /// From the last fault until no execution was left to be run.
    executions: Duration,
    /// The last of them.
    last: Vec<Uuid>,
    /// And until every caller had its answer.
    callers: Duration,
}

/// Makes chaos, and judges what came of it. `worker` starts a process of a program that is a
/// [`worker`](crate::worker). Gives the verdict and the history that was judged.
///
/// # Panics
/// When there is no store to be had, or the driver itself fails.
pub fn run(options: &Options, worker: &Launch) -> (Verdict, History) {
    let mut chaos = Chaos::new(options, worker);
    chaos.rage(options.time());
    let recovery = chaos.calm_down();
    chaos.ask_once_more();
    // Nobody changes anything while it is read.
    let wrong = chaos.crew.leave();
    chaos.seen.extend(wrong);
    let history = chaos.evidence.history(chaos.ground.place());
    let verdict = verdict::judge(options, &chaos, &recovery, &history);
    (verdict, history)
}

impl Chaos {
    fn new(options: &Options, worker: &Launch) -> Self {
        let ground = Ground::new(options);
        let launch = ground
            .launch(worker)
            .beat(BEAT)
            .beat_limit(BEAT_LIMIT)
            .grace(GRACE)
            .drain(Duration::from_millis(200))
            .option("sweep-ms", SWEEP.as_millis())
            .option("reconnect-budget-ms", RECONNECT_BUDGET.as_millis())
            .option("purge-ms", 5_000)
            .option("relay-ms", 0)
            .option("log", "warn")
            // One that is stopped does not see that its standard input has ended.
            .switch("dies-with-starter");
        Self {
            random: StdRng::seed_from_u64(options.seed()),
            crew: Crew::start(PROCESSES, &launch, &ground),
            traffic: Traffic::new(),
            faults: Faults::new(options.time()),
            evidence: Evidence::new(),
            seen: Vec::new(),
            ground,
        }
    }

    /// Faults and calls until the time is over.
    fn rage(&mut self, time: Duration) {
        const TELL_EVERY: Duration = Duration::from_secs(10);
        let begun = Instant::now();
        let mut tell = TELL_EVERY;
        while begun.elapsed() < time {
            let asked = self.traffic.next(&mut self.random, &self.crew);
            for (process, order) in asked {
                self.crew.tell(process, order, &mut self.evidence);
            }
            self.faults.tick(
                &mut self.random,
                &mut self.crew,
                &mut self.ground,
                &mut self.evidence,
            );
            self.seen.extend(self.crew.tend());
            if begun.elapsed() >= tell {
                eprintln!(
                    "chaos: {} s of {} s: {} keys called {} times, {}",
                    begun.elapsed().as_secs(),
                    time.as_secs(),
                    self.traffic.keys(),
                    self.crew.calls(),
                    self.faults.counts()
                );
                tell += TELL_EVERY;
            }
            std::thread::sleep(TICK);
        }
    }

    /// No more faults: every execution comes to rest, and every living caller gets its answer.
    fn calm_down(&mut self) -> Recovery {
        self.faults
            .end(&mut self.crew, &mut self.ground, &mut self.evidence);
        self.rest()
    }

    /// Calls each key again: what was stored is what is answered now.
    fn ask_once_more(&mut self) {
        for (number, order) in self.traffic.all_again().into_iter().enumerate() {
            self.crew.tell(number % PROCESSES, order, &mut self.evidence);
        }
        self.rest();
        // Now: those whose process has ended are not waited for.
        self.seen.extend(self.crew.waiting());
    }

    /// Waits until nobody waits for anything, no execution is left to be run and no message to be
    /// delivered.
    fn rest(&mut self) -> Recovery {
        let begun = Instant::now();
        let left = [State::Ready, State::Running, State::Waiting];
        let mut recovery = Recovery::default();
        loop {
            self.seen.extend(self.crew.tend());
            // Callers first: one that waits in a pipe may still begin an execution.
            let callers_wait = self.crew.unanswered() > 0;
            let looked = begun.elapsed();
            let still_run = self.ground.place().executions(&left);
            if !still_run.is_empty() {
                recovery.executions = looked;
                recovery.last = still_run.iter().map(|record| record.id.0).collect();
            }
            if callers_wait {
                recovery.callers = looked;
            }
            let at_rest = !callers_wait && still_run.is_empty();
            if at_rest && self.ground.place().outbox(1).is_empty() || looked > SOON {
                return recovery;
            }
            std::thread::sleep(TICK);
        }
    }
}
