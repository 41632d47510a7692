//! The database server is restarted or away while processes work: what is lost, and who is given up?

use std::time::{Duration, Instant};

use system_tests::crowd::Crowd;
use system_tests::place::Place;
use xtask::postgres::{Cluster, Options, Stop};

use crate::{processes, show, victim};

/// How long the processes work on after the server is there again.
const AFTERWARDS: Duration = Duration::from_secs(3);

#[test]
fn a_restart_under_load_loses_nothing_and_gives_nobody_up() {
    let server = Cluster::start(Options::default()).expect("a server");
    let place = Place::on(&server.url());
    place.audit();
    place.settle();
    let mut crowd = Crowd::of(processes(3, &victim(&place)));
    crowd.work(5);
    for _restart in 0..2 {
        crowd.busy_while(|| {
            server.restart(Stop::Immediate).expect("a restart");
            std::thread::sleep(AFTERWARDS);
        });
    }
    let settled = crowd.settles(&place);
    let outcome = crowd.judge(&place);
    show(&format!(
        "2 restarts under {} keys: settled in {settled:?}, {outcome:?}",
        crowd.keys()
    ));
    assert_eq!(outcome.taken_over, 0, "live processes were given up");
}

#[test]
fn a_server_that_is_away_for_twenty_seconds_loses_nothing_and_all_goes_on_by_itself() {
    const AWAY: Duration = Duration::from_secs(20);
    let server = Cluster::start(Options::default()).expect("a server");
    let place = Place::on(&server.url());
    place.audit();
    place.settle();
    let crowd = Crowd::of(processes(3, &victim(&place)));
    let mut crowd = crowd.calling_each(Duration::from_millis(150));
    crowd.work(5);
    crowd.busy_while(|| {
        std::thread::sleep(Duration::from_millis(300));
        server.stop(Stop::Immediate).expect("it stops");
        std::thread::sleep(AWAY);
        server.start_again().expect("it comes back");
    });
    let back = Instant::now();
    crowd.settles(&place);
    let settled = back.elapsed();
    let outcome = crowd.judge(&place);
    show(&format!(
        "away for {AWAY:?} under {} keys: settled {settled:?} after it came back, {outcome:?}",
        crowd.keys()
    ));
    let options = keystep::WorkerOptions::default();
    let bound = options.grace + options.sweep + Duration::from_secs(5);
    assert!(
        settled < bound,
        "stranded for {settled:?}, at most {bound:?} is promised"
    );
    assert_eq!(outcome.taken_over, 0, "live processes were given up");
}
