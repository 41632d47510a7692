//! What does each change of a schema do to executions that are under way? One by one as the page
//! about changes says, with only the other release's binary there, forwards and back.
//!
//! All changes are tried at once, each with a schema and a key of its own. Every step looks at what
//! it is given: the result of another step, plan or run is a failure.

use keystep::{ParkReason, State};
use system_tests::place::{Kind, Place, execution_id};
use system_tests::protocol::{Event, Mark, Policy};
use system_tests::releases::{Change, Fate, LAZY, Part, Release, shape};
use system_tests::victim::{Call, Launch, Victim};

use crate::{binary, hasty};

on_both_stores!(
    the_new_binary_alone_does_what_the_page_says_to_old_executions,
    the_old_binary_alone_does_what_the_page_says_to_new_executions,
    a_binary_with_both_shapes_goes_on_with_old_and_new_executions,
);

fn the_new_binary_alone_does_what_the_page_says_to_old_executions(kind: Kind) {
    Deploy::new(kind, Release::Old, Release::New).plays();
}

fn the_old_binary_alone_does_what_the_page_says_to_new_executions(kind: Kind) {
    Deploy::new(kind, Release::New, Release::Old).plays();
}

fn a_binary_with_both_shapes_goes_on_with_old_and_new_executions(kind: Kind) {
    let place = Place::fresh(kind);
    let waiting: Vec<Change> = Change::ALL
        .into_iter()
        .filter(|change| change.fate(Release::Old) == Fate::Waits)
        .collect();
    let owners = [Release::Old, Release::New].map(|born| {
        let mut owner = stopped_in_the_second_step(&place, born).ready();
        for change in &waiting {
            let key = born.word();
            owner.run(change.schema(), key, Policy::Attach);
            owner.at_gate(change.schema(), key, &change.gate(born, 1));
        }
        owner
    });
    let mut both = binary(&place, Release::Both).ready();
    owners.into_iter().for_each(|owner| {
        owner.kill();
    });
    for change in &waiting {
        for born in [Release::Old, Release::New] {
            let call = both.run(change.schema(), born.word(), Policy::Attach);
            assert_eq!(
                both.marks(call),
                expected(&place, *change, born.word(), born, 0, born)
            );
        }
    }
}

const KEY: &str = "under-way";

/// Executions that are born in one release while the only other process has another one.
struct Deploy {
    born: Release,
    other: Release,
    /// Last: it goes when nobody uses it any more.
    place: Place,
}

impl Deploy {
    fn new(kind: Kind, born: Release, other: Release) -> Self {
        let place = Place::fresh(kind);
        place.audit();
        Self { place, born, other }
    }

    fn plays(&self) {
        let mut other = binary(&self.place, self.other).ready();
        self.owner_is_killed(&mut other);
        self.those_of_the_same_shape_go_on(&mut other);
        self.the_unreadable_are_parked(&mut other);
        self.those_of_another_shape_wait(&mut other);
        other.kill();

        let mut other = hasty(&self.place, self.other).ready();
        self.what_nobody_knows_is_parked(&mut other);
        let calls = self.they_go_on_when_their_code_is_back(&mut other);
        self.every_caller_gets_the_output_of_the_plan(&mut other, &calls);
        self.nothing_was_parked_while_somebody_could_run_it();
    }

    /// Those that have this fate in the other process.
    fn changes(&self, fate: Fate) -> Vec<Change> {
        let all = Change::ALL.into_iter();
        all.filter(|change| change.fate(self.born) == fate).collect()
    }

    /// One execution for each change, stopped in its second step.
    fn owner_is_killed(&self, other: &mut Victim) {
        let mut owner = stopped_in_the_second_step(&self.place, self.born).ready();
        for change in Change::ALL {
            owner.run(change.schema(), KEY, Policy::Attach);
        }
        for change in Change::ALL {
            owner.at_gate(change.schema(), KEY, &change.gate(self.born, 1));
            refused(other, change, "in_progress", None);
        }
        owner.kill();
    }

    /// New code, but parameters of stored steps are those that the execution was born with.
    fn those_of_the_same_shape_go_on(&self, other: &mut Victim) {
        for change in self.changes(Fate::GoesOn) {
            let call = other.run(change.schema(), KEY, Policy::Attach);
            let marks = expected(&self.place, change, KEY, self.born, 1, self.other);
            assert_eq!(other.marks(call), marks, "{change:?}");
            self.is_exact(change, 1);
        }
    }

    fn the_unreadable_are_parked(&self, other: &mut Victim) {
        for change in self.changes(Fate::Unreadable) {
            let schema = change.schema();
            let parked = self
                .place
                .until(schema, KEY, |record| record.state == State::Parked);
            assert_eq!(parked.parked, Some(ParkReason::Unreadable), "{change:?}");
            refused(other, change, "parked", Some("unreadable"));
        }
    }

    /// The other process has just seen that the owner is dead, and what it could take it has taken.
    fn those_of_another_shape_wait(&self, other: &mut Victim) {
        for change in self.changes(Fate::Waits) {
            refused(other, change, "in_progress", None);
            let left = self.place.execution(change.schema(), KEY).expect("an execution");
            assert_eq!((left.state, left.parked), (State::Running, None), "{change:?}");
        }
    }

    fn what_nobody_knows_is_parked(&self, other: &mut Victim) {
        for change in self.changes(Fate::Waits) {
            let schema = change.schema();
            let parked = self
                .place
                .until(schema, KEY, |record| record.state == State::Parked);
            assert_eq!(parked.parked, Some(ParkReason::UnknownShape), "{change:?}");
            refused(other, change, "parked", Some("unknown_shape"));
        }
    }

    /// By hand the unreadable ones. By themselves those of another shape: they wait for a second
    /// process of their release when the first dies too. Gives what the other process was asked for
    /// meanwhile.
    fn they_go_on_when_their_code_is_back(&self, other: &mut Victim) -> Vec<(Change, Call)> {
        let mut owner = binary(&self.place, self.born);
        for change in self.changes(Fate::Waits) {
            owner = owner.gate(&change.last_gate(self.born));
        }
        let mut owner = owner.ready();
        for change in self.changes(Fate::Unreadable) {
            refused(&mut owner, change, "parked", Some("unreadable"));
            let resumed = owner.resume(change.schema(), KEY);
            assert_eq!(owner.answer(resumed), Ok(Vec::new()), "{change:?}");
            let call = owner.run(change.schema(), KEY, Policy::Attach);
            let marks = expected(&self.place, change, KEY, self.born, 1, self.born);
            assert_eq!(owner.marks(call), marks, "{change:?}");
            self.is_exact(change, 1);
        }
        let mut calls = Vec::new();
        for change in self.changes(Fate::Waits) {
            owner.at_gate(change.schema(), KEY, &change.last_gate(self.born));
            refused(other, change, "in_progress", None);
            calls.push((change, other.run(change.schema(), KEY, Policy::Attach)));
        }
        for (change, call) in &calls {
            assert_eq!(other.admitted(*call).as_deref(), Ok("attached"), "{change:?}");
        }
        let successor = binary(&self.place, self.born).ready();
        owner.kill();
        for change in self.changes(Fate::Waits) {
            self.place
                .until(change.schema(), KEY, |record| record.state == State::Succeeded);
        }
        successor.exit();
        calls
    }

    fn every_caller_gets_the_output_of_the_plan(&self, other: &mut Victim, calls: &[(Change, Call)]) {
        for (change, call) in calls {
            let marks = expected(&self.place, *change, KEY, self.born, 1, self.born);
            assert_eq!(other.marks(*call), marks, "{change:?}");
            let again = other.run(change.schema(), KEY, Policy::Reject);
            assert_eq!(other.marks(again), marks, "{change:?}: its outcome is replayed");
            self.is_exact(*change, 2);
        }
        let has_run = other.heard(|event| matches!(event, Event::Entered(_)));
        assert!(!has_run, "it ran what is not its own\n{other}");
    }

    /// Each step of the plan is recorded once, in order; only those that were under way when their
    /// owner died were begun twice.
    fn is_exact(&self, change: Change, deaths: usize) {
        let plan = change.plan(self.born);
        let recorded = self.place.steps(change.schema(), KEY);
        let recorded: Vec<&str> = recorded.iter().map(|done| done.step.as_str()).collect();
        let steps: Vec<&str> = plan.iter().map(Part::name).collect();
        // A lazy output rides with the next one.
        let rides = change == Change::Careful && self.other == Release::New;
        let alone = steps.iter().filter(|step| !(rides && **step == LAZY));
        assert!(recorded.iter().eq(alone), "{change:?}: {recorded:?}");
        let attempts = self.place.attempts_by_step(change.schema(), KEY);
        let expected = steps.iter().enumerate().map(|(position, step)| {
            let twice = position == 1 || (deaths == 2 && position == steps.len() - 1);
            ((*step).to_owned(), if twice { 2 } else { 1 })
        });
        assert_eq!(attempts, expected.collect::<Vec<_>>(), "{change:?}");
    }

    /// One parking for each execution that nobody could run; none after its code was back.
    fn nothing_was_parked_while_somebody_could_run_it(&self) {
        let changes = self.place.changes();
        for change in Change::ALL {
            let id = execution_id(change.schema(), KEY).0;
            let parked = changes
                .iter()
                .filter(|seen| seen.execution == id && State::from_code(seen.state) == Some(State::Parked));
            let expected = usize::from(change.fate(self.born) != Fate::GoesOn);
            assert_eq!(parked.count(), expected, "{change:?}");
        }
    }
}

fn stopped_in_the_second_step(place: &Place, born: Release) -> Launch {
    let launch = binary(place, born);
    let gates = Change::ALL.map(|change| change.gate(born, 1));
    gates.iter().fold(launch, |launch, gate| launch.gate(gate))
}

/// A call that does not wait is refused so.
fn refused(process: &mut Victim, change: Change, kind: &str, reason: Option<&str>) {
    let call = process.run(change.schema(), KEY, Policy::Reject);
    let error = process.answer(call).expect_err("nobody can finish it now");
    let got = (error.kind.as_str(), error.reason.as_deref());
    assert_eq!(got, (kind, reason), "{change:?}: {error:?}");
}

/// The marks of a finished execution: the first `by_owner` steps made by the code that it was born
/// with, the rest by another; stored steps always with the parameters of its plan.
fn expected(
    place: &Place,
    change: Change,
    key: &str,
    born: Release,
    by_owner: usize,
    rest: Release,
) -> Vec<Mark> {
    let plan = change.plan(born);
    let run = place.execution(change.schema(), key).expect("an execution").run;
    let shape = shape(&plan);
    let marks = plan.iter().enumerate().map(|(position, part)| {
        let code = match part {
            Part::Stored(_name, _tag, parameter) => parameter,
            Part::Code(_name) | Part::Once(_name) if position < by_owner => born.word(),
            Part::Code(_name) | Part::Once(_name) => rest.word(),
        };
        Mark {
            step: part.name().to_owned(),
            code: code.to_owned(),
            plan: shape.clone(),
            run: run.to_string(),
        }
    });
    marks.collect()
}
