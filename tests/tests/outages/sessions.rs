//! Database sessions are ended by the server, one by one and all at once: who is given up?

use std::time::{Duration, Instant};

use rand::seq::IndexedRandom;
use rustix::process::{Pid, Signal, kill_process};
use system_tests::crowd::Crowd;
use system_tests::place::{Kind, Place};
use xtask::postgres::{Cluster, Options};

use crate::{processes, show, victim};

const ENDINGS: usize = 40;

#[test]
fn no_process_is_taken_over_because_an_administrator_ends_its_sessions() {
    let place = Place::fresh(Kind::Postgres);
    place.audit();
    place.settle();
    // A role of its own tells its sessions from those of other tests.
    let role = place.role("secret", None);
    let launch = victim(&place).option("url", &role.url);
    let mut crowd = Crowd::of(processes(3, &launch));
    let (ended, of_liveness) = crowd.busy_while(|| {
        let mut count = (0, 0);
        for ending in 0..ENDINGS {
            let shows_life = end_a_session(&place, &role.name, ending % 5 == 0);
            count = (count.0 + 1, count.1 + usize::from(shows_life));
            std::thread::sleep(Duration::from_millis(100));
        }
        count
    });
    assert!(of_liveness > 0, "no liveness session was ended");
    let outcome = crowd.judge(&place);
    show(&format!(
        "{ended} sessions ended, {of_liveness} of them for liveness, under {} keys: {outcome:?}",
        crowd.keys()
    ));
    assert_eq!(outcome.taken_over, 0, "live processes were given up");
    assert_eq!(outcome.refused, 0, "no caller hears of it");
}

/// Ends a random session of a role, one that shows that its process lives if there is one and it is
/// `for_liveness`. Tells whether it was such a session.
fn end_a_session(place: &Place, role: &str, for_liveness: bool) -> bool {
    place.as_superuser(async |admin| {
        let sessions: Vec<(i32, bool)> = sqlx::query_as(
            "SELECT a.pid, EXISTS (
                 SELECT 1 FROM pg_locks AS l WHERE l.pid = a.pid AND l.locktype = 'advisory'
                 AND l.mode = 'ExclusiveLock'
             )
             FROM pg_stat_activity AS a WHERE a.usename = $1",
        )
        .bind(role)
        .fetch_all(admin)
        .await?;
        let of_liveness = sessions.iter().filter(|(_pid, shows_life)| *shows_life);
        let of_liveness: Vec<_> = of_liveness.filter(|_any| for_liveness).copied().collect();
        let chosen = of_liveness.choose(&mut rand::rng());
        let chosen = chosen.or_else(|| sessions.choose(&mut rand::rng()));
        let (pid, shows_life) = *chosen.expect("sessions of the role");
        sqlx::query("SELECT pg_terminate_backend($1)")
            .bind(pid)
            .execute(admin)
            .await?;
        Ok(shows_life)
    })
}

#[test]
fn a_backend_that_is_killed_resets_the_server_and_nobody_is_taken_over() {
    let server = Cluster::start(Options::default()).expect("a server");
    let place = Place::on(&server.url());
    place.audit();
    place.settle();
    let mut crowd = Crowd::of(processes(3, &victim(&place)));
    crowd.work(5);
    for _reset in 0..2 {
        crowd.busy_while(|| {
            let pid = place.as_superuser(async |admin| {
                sqlx::query_scalar::<_, i32>(
                    "SELECT pid FROM pg_stat_activity
                     WHERE application_name = 'keystep' AND state IS NOT NULL ORDER BY random() LIMIT 1",
                )
                .fetch_one(admin)
                .await
            });
            let ready = || server.log().matches("ready to accept connections").count();
            let before = ready();
            kill_process(Pid::from_raw(pid).expect("a process id"), Signal::KILL).expect("a backend");
            until("the server to reset itself", || ready() > before);
            std::thread::sleep(Duration::from_secs(2));
        });
    }
    let outcome = crowd.judge(&place);
    show(&format!("2 resets under {} keys: {outcome:?}", crowd.keys()));
    assert_eq!(outcome.taken_over, 0, "live processes were given up");
}

fn until(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
