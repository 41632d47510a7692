//! PgBouncer stands between the processes and their database: what works through it?

use system_tests::crowd::Crowd;
use system_tests::place::Place;
use system_tests::protocol::Policy;
use system_tests::victim::Launch;
use xtask::pgbouncer::{Mode, PgBouncer};
use xtask::postgres::{Cluster, Options};

use crate::{processes, show, victim};

/// A place whose processes come through a pooler.
struct Pooled {
    launch: Launch,
    place: Place,
    _pooler: PgBouncer,
    _server: Cluster,
}

impl Pooled {
    fn in_mode(mode: Mode) -> Self {
        let server = Cluster::start(Options::default()).expect("a server");
        let place = Place::on(&server.url());
        // A pooler passes no options on, so that the database has to know where the ledger is.
        let find_ledger = format!(
            "ALTER DATABASE postgres SET search_path = {}_seen",
            place.schema()
        );
        place.as_superuser(async |admin| {
            sqlx::raw_sql(sqlx::AssertSqlSafe(find_ledger))
                .execute(admin)
                .await
        });
        let pooler = PgBouncer::before(&server, mode).expect("PgBouncer");
        let launch = victim(&place).option("url", pooler.url());
        Self {
            launch,
            place,
            _pooler: pooler,
            _server: server,
        }
    }
}

#[test]
fn through_a_pooler_in_session_mode_all_works_and_a_death_is_seen_at_once() {
    let pooled = Pooled::in_mode(Mode::Session);
    pooled.place.audit();
    pooled.place.settle();
    let mut crowd = Crowd::of(processes(2, &pooled.launch));
    crowd.work(20);
    let outcome = crowd.judge(&pooled.place);
    show(&format!("session mode, {} keys: {outcome:?}", crowd.keys()));
    assert_eq!((outcome.taken_over, outcome.refused), (0, 0));

    let mut owner = pooled.launch.clone().gate("second").ready();
    let _never_answered = owner.run("three", "left", Policy::Attach);
    owner.at_gate("three", "left", "second");
    let killed = owner.kill();
    pooled
        .place
        .until("three", "left", |record| record.claim.epoch == 2);
    let took = killed.elapsed();
    show(&format!(
        "session mode: {took:?} from a kill until another process has taken over"
    ));
    let options = keystep::WorkerOptions::default();
    assert!(
        took < options.beat_limit / 2,
        "seen by the end of its session, not by its beats: {took:?}"
    );
    pooled
        .place
        .until("three", "left", |record| record.state.is_finished());
}

#[test]
fn a_pooler_in_transaction_mode_that_knows_no_prepared_statements_is_refused_with_the_reason() {
    let pooled = Pooled::in_mode(Mode::Transaction);
    for launch in [pooled.launch.clone(), pooled.launch.clone().switch("pooled")] {
        let refused = launch.start().refused();
        show(&format!("transaction mode: {refused}"));
        assert!(refused.contains("pooler"), "{refused}");
    }
}
