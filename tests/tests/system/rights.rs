//! Which rights does a running service need? To read and write rows, and none to make anything.

use std::time::Duration;

use system_tests::place::{Kind, Place};
use system_tests::protocol::Policy;

use crate::victim;

#[test]
fn a_role_that_can_create_nothing_runs_takes_over_and_finishes() {
    let place = Place::fresh(Kind::Postgres);
    let role = place.role("secret", None);
    let can_create: bool = place.as_superuser(async |admin| {
        sqlx::query_scalar(
            "SELECT bool_or(has_schema_privilege($1, nspname, 'CREATE'))
                OR has_database_privilege($1, current_database(), 'CREATE')
             FROM pg_namespace WHERE nspname !~ '^pg_'",
        )
        .bind(&role.name)
        .fetch_one(admin)
        .await
    });
    assert!(
        !can_create,
        "the role of this test has rights that it must do without"
    );

    let launch = victim(&place)
        .option("url", &role.url)
        .option("notebook", &role.url)
        .grace(Duration::ZERO);
    let mut owner = launch.clone().gate("last").switch("migrate").ready();
    owner.run("booked", "k", Policy::Attach);
    owner.at_gate("booked", "k", "last");
    let mut successor = launch.ready();
    owner.kill();
    successor.entered("booked", "k", "last");
    let call = successor.run("booked", "k", Policy::Attach);
    assert_eq!(successor.answer(call).map(|nonces| nonces.len()), Ok(3));
    assert_eq!(place.ledger("booked", "k").len(), 1);

    // A stopped process is declared dead although its session stands.
    let mut stopped = launch.clone().gate("second").ready();
    stopped.run("three", "k", Policy::Attach);
    stopped.at_gate("three", "k", "second");
    stopped.stop();
    let observer = launch.beat_limit(Duration::from_secs(1)).ready();
    observer.entered("three", "k", "third");
}
