//! The primary dies and its standby takes its place, under the same name: what is kept, and what is
//! lost?

use std::time::{Duration, Instant};

use keystep::WorkerOptions;
use store_conformance::proxy::Proxy;
use system_tests::crowd::Crowd;
use system_tests::evidence::nonces;
use system_tests::place::Place;
use system_tests::protocol::Policy;
use system_tests::victim::{Launch, SOON};
use xtask::postgres::{Cluster, Options, Stop};

use crate::{processes, quiet_victim, show, victim};

/// How long the processes work on after the failover.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// How much later the slow name leads to the standby: longer than the grace, which is 1 s, so that
/// those who are there see the session of the others gone, and within the reconnect budget of 5 s.
const BEHIND: Duration = Duration::from_secs(3);

/// A primary and its standby, and two names that lead to the primary. What is at the place goes by
/// the first, which is changed at once in a failover.
struct Pair {
    place: Place,
    name: Proxy,
    slow_name: Proxy,
    /// Both servers are up.
    both_since: Instant,
    standby: Cluster,
    primary: Cluster,
}

impl Pair {
    fn asynchronous() -> Self {
        let primary = Cluster::start(Options::default()).expect("a server");
        let standby = Cluster::standby_of(&primary, "standby").expect("a standby");
        let name = Proxy::before(&primary.url()).expect("a proxy");
        let slow_name = Proxy::before(&primary.url()).expect("a proxy");
        let place = Place::on(name.url());
        Self {
            place,
            name,
            slow_name,
            both_since: Instant::now(),
            standby,
            primary,
        }
    }

    fn synchronous() -> Self {
        let pair = Self::asynchronous();
        let wait_for_it = [("synchronous_standby_names", "standby")];
        pair.primary.configure(&wait_for_it).expect("configured");
        pair.until(
            "SELECT EXISTS (SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync')",
            "the standby is synchronous",
        );
        pair
    }

    /// Waits until the standby has all that the primary has written.
    fn catch_up(&self) {
        self.until(
            "SELECT EXISTS (SELECT 1 FROM pg_stat_replication WHERE flush_lsn >= pg_current_wal_flush_lsn())",
            "the standby has all",
        );
    }

    fn until(&self, question: &'static str, what: &str) {
        let deadline = Instant::now() + SOON;
        while !self
            .place
            .as_superuser(async |admin| sqlx::query_scalar::<_, bool>(question).fetch_one(admin).await)
        {
            assert!(Instant::now() < deadline, "waited in vain: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A victim that goes by the slow name.
    fn slow_victim(&self) -> Launch {
        let [name, slow_name] = [&self.name, &self.slow_name].map(|proxy| proxy.url());
        victim(&self.place).option("url", self.place.url().replace(name, slow_name))
    }

    /// Waits until both servers are so old that only the failover itself gives their clients time.
    fn settle(&self) {
        let options = WorkerOptions::default();
        let age = options.reconnect_budget + options.grace;
        std::thread::sleep(age.saturating_sub(self.both_since.elapsed()));
    }

    /// The primary dies, and the standby is promoted. The slow name is left behind.
    fn fail_over(&self) {
        self.primary.stop(Stop::Immediate).expect("it dies");
        self.standby.promote().expect("promoted");
        self.name.redirect(&self.standby.url());
    }
}

#[test]
fn a_failover_to_a_synchronous_standby_loses_nothing_that_was_acknowledged() {
    let pair = Pair::synchronous();
    pair.place.audit();
    pair.settle();
    let slow = std::iter::once(pair.slow_victim());
    let mut crowd = Crowd::of(processes(2, &victim(&pair.place)).chain(slow));
    crowd.work(5);
    crowd.busy_while(|| {
        std::thread::sleep(Duration::from_secs(1));
        pair.fail_over();
        std::thread::sleep(BEHIND);
        pair.slow_name.redirect(&pair.standby.url());
        std::thread::sleep(AFTERWARDS);
    });
    let settled = crowd.settles(&pair.place);
    let outcome = crowd.judge(&pair.place);
    show(&format!(
        "failover under {} keys: settled in {settled:?}, {outcome:?}",
        crowd.keys()
    ));
    assert_eq!(outcome.taken_over, 0, "live processes were given up");
    for member in crowd.members() {
        let [_said, logged] = member.transcripts();
        let died = logged.all().iter().any(|line| line.contains("declared dead"));
        assert!(!died, "given up while it lived\n{member}");
    }
}

/// The standby knows the first step of one key, and nothing of two others, one of them finished.
#[test]
fn after_a_failover_that_lost_the_tail_nothing_is_built_on_what_was_lost() {
    let pair = Pair::asynchronous();
    let mut owner = victim(&pair.place).gate("second").gate("third").ready();
    let known = owner.run("three", "known", Policy::Attach);
    owner.at_gate("three", "known", "second");
    pair.catch_up();
    pair.standby.stop(Stop::Fast).expect("it stops");
    owner.open("second");
    let unknown = owner.run("three", "unknown", Policy::Attach);
    owner.at_gate("three", "known", "third");
    owner.at_gate("three", "unknown", "third");
    let told = owner.run("chain-1", "told", Policy::Attach);
    let told = owner.answer(told).expect("an output");

    pair.primary.stop(Stop::Immediate).expect("it dies");
    pair.standby.start_again().expect("it starts");
    pair.standby.promote().expect("promoted");
    pair.name.redirect(&pair.standby.url());
    owner.open("third");
    // Second and third of the one, all of the other.
    for (key, call, attempted) in [("known", known, 5), ("unknown", unknown, 6)] {
        let output = owner.answer(call).expect("an output");
        let recorded = pair.place.checkpoints("three", key);
        let chain: Vec<Vec<String>> = recorded.iter().map(nonces).collect();
        assert_eq!(chain.last(), Some(&output));
        for (length, nonces) in (1..).zip(&chain) {
            assert_eq!(
                nonces[..],
                output[..length],
                "{key}: each step got what is stored"
            );
        }
        let attempts = pair.place.attempts("three", key);
        assert_eq!(attempts.len(), attempted, "{key}: what was lost was run again");
    }
    let known = pair.place.execution("three", "known").expect("an execution");
    assert_eq!(
        (known.claim.epoch, known.lost),
        (2, 0),
        "its owner acquired it anew"
    );
    // The documented loss: what a caller has seen is computed again.
    let again = owner.run("chain-1", "told", Policy::Attach);
    assert_ne!(owner.answer(again).expect("an output"), told);
}

#[test]
fn while_a_synchronous_standby_is_away_nothing_is_acknowledged_and_afterwards_all_is_found() {
    let pair = Pair::synchronous();
    let launch = quiet_victim(&pair.place).option("deadline-ms", 2_000);
    let mut caller = launch.ready();
    let mut owner = launch.gate("second").ready();
    let under_way = owner.run("three", "k", Policy::Attach);
    owner.at_gate("three", "k", "second");
    pair.standby.stop(Stop::Fast).expect("it stops");
    owner.open("second");
    let new = caller.run("chain-1", "new", Policy::Attach);
    // The one waits for its step to be recorded, the other for its begin.
    for (process, call) in [(&owner, under_way), (&caller, new)] {
        process.logged("class=\"unknown\"");
        assert!(
            !process.has_answered(call),
            "acknowledged, but on one server only"
        );
    }

    let back = Instant::now();
    pair.standby.start_again().expect("it comes back");
    let output = owner.answer(under_way).expect("an output");
    show(&format!(
        "and {:?} after it came back the one under way is done",
        back.elapsed()
    ));
    let attempts = pair.place.attempts("three", "k").into_iter();
    assert_eq!(
        output,
        attempts.map(|attempt| attempt.nonce).collect::<Vec<_>>(),
        "each step ran once"
    );
    assert!(caller.answer(new).is_ok(), "what came of its begin is found out");
}
