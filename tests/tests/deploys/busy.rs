//! Is a live process with the right code enough, also when it takes up no more work for now? Others
//! must leave its executions alone, however soon they give up those that nobody knows.

use keystep::{ParkReason, State};
use system_tests::place::{Kind, Place};
use system_tests::protocol::Policy;
use system_tests::releases::{Release, gate};
use system_tests::victim::Victim;

use crate::{binary, hasty};

on_both_stores!(what_a_busy_process_has_the_code_for_is_parked_by_nobody);

const NAME: &str = "deploy.inserted";

fn what_a_busy_process_has_the_code_for_is_parked_by_nobody(kind: Kind) {
    let place = Place::fresh(kind);
    let new = binary(&place, Release::New)
        .option("in-flight", 0)
        .gate(&gate(NAME, "second"));
    let [mut first, mut second] = [new.ready(), new.ready()];
    begin(&mut first, "known");
    begin(&mut first, "strange");
    begin(&mut second, "stranger");
    for key in ["strange", "stranger"] {
        place.load(&of_a_shape_that_nobody_knows(kind, key));
    }
    let busy = binary(&place, Release::New).option("in-flight", 0).ready();
    let mut old = hasty(&place, Release::Old).ready();
    first.kill();
    is_parked(&place, "strange");
    // In another look than the first one.
    second.kill();
    is_parked(&place, "stranger");
    let call = old.run(NAME, "known", Policy::Reject);
    let refused = old.answer(call).expect_err("nobody runs it now");
    assert_eq!(refused.kind, "in_progress");
    let left = place.execution(NAME, "known").expect("an execution");
    assert_eq!((left.state, left.parked), (State::Running, None));

    let _helper = binary(&place, Release::New).ready();
    place.until(NAME, "known", |record| record.state == State::Succeeded);
    busy.exit();
}

fn begin(owner: &mut Victim, key: &str) {
    owner.run(NAME, key, Policy::Attach);
    owner.at_gate(NAME, key, &gate(NAME, "second"));
}

fn is_parked(place: &Place, key: &str) {
    place.until(NAME, key, |record| {
        record.parked == Some(ParkReason::UnknownShape)
    });
}

fn of_a_shape_that_nobody_knows(kind: Kind, key: &str) -> String {
    match kind {
        Kind::Sqlite => {
            format!("UPDATE keystep_executions SET shape_id = zeroblob(16) WHERE key_text = '{key}'")
        }
        Kind::Postgres => {
            let nil = "00000000-0000-0000-0000-000000000000";
            format!("UPDATE {{schema}}.executions SET shape = '{nil}' WHERE key = '{key}'")
        }
    }
}
