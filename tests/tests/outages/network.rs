//! The network between processes and their database is slow, loses a connection now and then, or is
//! half-open: nothing passes and nothing ends. Who is given up, and how long does anybody wait?

use std::time::{Duration, Instant};

use store_conformance::proxy::Proxy;
use system_tests::crowd::Crowd;
use system_tests::place::{Kind, Place, server_url};
use system_tests::protocol::Policy;
use system_tests::victim::Launch;

use crate::taken_over::TakenOver;
use crate::{processes, show, victim};

/// A place, a proxy before its server, and a process that works through it.
fn behind_a_proxy() -> (Place, Proxy, Launch) {
    let place = Place::fresh(Kind::Postgres);
    let proxy = Proxy::before(&server_url()).expect("a proxy");
    let launch = victim(&place).option("url", proxy.through(place.url()));
    (place, proxy, launch)
}

#[test]
fn on_a_slow_network_with_hiccups_nobody_is_given_up() {
    const ONE_WAY: Duration = Duration::from_millis(250);
    const HICCUP: (u64, Duration) = (100, Duration::from_secs(5));
    const WORK: Duration = Duration::from_secs(12);
    let (place, proxy, launch) = behind_a_proxy();
    place.audit();
    place.settle();
    // A new connection takes six round trips.
    let launch = launch.option("connect-timeout-ms", 10_000);
    let crowd = Crowd::of(processes(3, &launch));
    let mut crowd = crowd.calling_each(Duration::from_millis(250));
    proxy.delay(ONE_WAY);
    proxy.delay_each(HICCUP.0, HICCUP.1);
    crowd.busy_while(|| std::thread::sleep(WORK));
    proxy.pass();
    let outcome = crowd.judge(&place);
    show(&format!(
        "round trips of {:?}, every {}th statement {:?} late, {} keys: {outcome:?}",
        2 * ONE_WAY,
        HICCUP.0,
        HICCUP.1,
        crowd.keys()
    ));
    assert_eq!(outcome.taken_over, 0, "live processes were given up");
    assert_eq!(outcome.refused, 0, "it is slow, and no more");
}

#[test]
fn processes_whose_connections_are_cut_are_back_before_anybody_gives_them_up() {
    const CUTS: usize = 8;
    let (place, proxy, launch) = behind_a_proxy();
    place.audit();
    place.settle();
    // One keeps its connections and watches the others.
    let mut crowd = Crowd::of([victim(&place), launch.clone(), launch]);
    crowd.busy_while(|| {
        for _cut in 0..CUTS {
            proxy.cut();
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    let outcome = crowd.judge(&place);
    show(&format!(
        "all connections cut {CUTS} times, {} keys: {outcome:?}",
        crowd.keys()
    ));
    assert_eq!(outcome.taken_over, 0, "live processes were given up");
}

/// How long a statement may take in these tests.
const DEADLINE: Duration = Duration::from_secs(2);

/// How long a call may wait when nothing comes back, as the guide says.
const BOUND: Duration = Duration::from_secs(30);

#[test]
fn an_owner_behind_a_half_open_link_is_followed_and_its_callers_do_not_wait_for_ever() {
    let (place, proxy, launch) = behind_a_proxy();
    let others = victim(&place);
    let owner = launch
        .option("deadline-ms", DEADLINE.as_millis())
        .beat(Duration::from_millis(100));
    let started = Instant::now();
    let mut taken = TakenOver::from(place, &owner, &others, |_owner| proxy.stall(true));
    show(&format!(
        "taken over {:?} after the link was half-open",
        started.elapsed()
    ));
    let asked = Instant::now();
    let call = taken.owner.run("chain-1", "asked meanwhile", Policy::Attach);
    let refused = taken.owner.answer(call).expect_err("no answer of the store");
    show(&format!(
        "a call on the dead side: {} after {:?}",
        refused.kind,
        asked.elapsed()
    ));
    assert_eq!(refused.kind, "unavailable");
    assert!(asked.elapsed() < BOUND, "{:?}", asked.elapsed());
    assert_eq!(taken.recorded(), [("first".to_owned(), 1)]);

    proxy.stall(false);
    taken.owner.cancelled(&taken.stale.nonce);
    taken.the_successor_finishes_and_nothing_else_is_recorded();
    // What the dead side began is found: its owner is one that was given up.
    if taken.place.execution("chain-1", "asked meanwhile").is_some() {
        taken
            .place
            .until("chain-1", "asked meanwhile", |record| record.state.is_finished());
    }
    taken.it_goes_on_as_a_new_worker();
}
