//! Is a signal delivered once, whenever it comes?

use std::time::Duration;

use keystep::{
    Execution, RunError, Schema, SecondSignal, SignalSent, State, StepContext, StepError, StepResult,
    WaitReason,
};

use super::town::{HOUR, KEY, Town, note, soon};
use crate::faulty::Gate;
use crate::under_faults::Ground;

/// Asks whether it may go on, behind a gate if there is one.
fn asking(second: SecondSignal, deadline: Option<Duration>, gate: Option<&Gate>) -> Schema<u64, String> {
    let gate = gate.cloned();
    Schema::new("test.signals")
        .signal("approved", second)
        .signal("noise", SecondSignal::Queued)
        .step("first", move |cx: StepContext, n: u64| {
            let gate = gate.clone();
            async move {
                note(&cx, "first")?;
                if let Some(gate) = gate {
                    gate.pass().await;
                }
                Ok(n)
            }
        })
        .step("ask", move |cx: StepContext, _n: u64| async move {
            note(&cx, "ask")?;
            let answer: Option<String> = cx.signal("approved", deadline).await?;
            Ok(answer.unwrap_or_else(|| "too late".to_owned()))
        })
        .build()
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[track_caller]
fn assert_asks<Out>(told: Result<Out, RunError>) -> Option<Duration> {
    match told {
        Err(RunError::Waiting {
            reason: WaitReason::Signal,
            due_in,
            ..
        }) => due_in,
        Err(error) => panic!("told {error:?}"),
        Ok(_output) => panic!("it did not wait"),
    }
}

pub async fn a_signal_that_was_sent_before_the_wait_is_delivered_to_it<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let schema = asking(SecondSignal::Refused, None, Some(&gate));
    let process = town.process(&schema).await;
    let called = soon(process.run(&schema, KEY, 1).submit())
        .await
        .expect("it begins");
    soon(gate.arrived(1)).await;
    let sent = process.signal(&schema, KEY, "approved", &text("yes")).await;
    assert_eq!(sent, Ok(SignalSent::Stored));
    gate.open();
    assert_eq!(soon(called.wait()).await, Ok(text("yes")));
    town.notes.are(&["first", "ask"]);
}

pub async fn a_signal_from_another_process_ends_the_wait<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = asking(SecondSignal::Refused, None, None);
    let (here, there) = (town.process(&schema).await, town.process(&schema).await);
    assert_eq!(
        assert_asks(here.run(&schema, KEY, 1).await),
        None,
        "only a signal brings it on"
    );
    let waits = here.read(&schema).await;
    assert_eq!(
        (waits.state, waits.waits_for),
        (State::Waiting, Some(WaitReason::Signal))
    );
    assert_asks(there.run(&schema, KEY, 1).await);
    town.notes.are(&["first", "ask"]);
    let sent = there.signal(&schema, KEY, "approved", &text("yes")).await;
    assert_eq!(sent, Ok(SignalSent::Stored));
    here.until_is(&schema, State::Succeeded).await;
    assert_eq!(here.run(&schema, KEY, 1).await, Ok(text("yes")));
    town.notes.are(&["first", "ask", "ask"]);
}

pub async fn a_signal_that_comes_while_the_wait_is_put_down_is_not_missed<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = asking(SecondSignal::Refused, None, None);
    let process = town.process(&schema).await;
    // The first step's checkpoint is the first commit; the second one puts the wait down.
    let gate = process.holds_commit(2);
    let called = soon(process.run(&schema, KEY, 1).submit())
        .await
        .expect("it begins");
    soon(gate.arrived(1)).await;
    let sent = process.signal(&schema, KEY, "approved", &text("yes")).await;
    assert_eq!(sent, Ok(SignalSent::Stored));
    gate.open();
    assert_asks(soon(called.wait()).await);
    process.until_is(&schema, State::Succeeded).await;
    assert_eq!(process.run(&schema, KEY, 1).await, Ok(text("yes")));
}

pub async fn a_signal_to_what_is_finished_says_so<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = asking(SecondSignal::Queued, None, None);
    let process = town.process(&schema).await;
    assert_asks(process.run(&schema, KEY, 1).await);
    let (yes, no) = (text("yes"), text("no"));
    let send = |answer| process.signal(&schema, KEY, "approved", answer);
    assert_eq!(send(&yes).await, Ok(SignalSent::Stored));
    process.until_is(&schema, State::Succeeded).await;
    assert_eq!(send(&no).await, Ok(SignalSent::Finished));
    assert_eq!(process.run(&schema, KEY, 1).await, Ok(text("yes")));
}

pub async fn a_second_signal_is_refused_where_the_schema_says_so<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let schema = asking(SecondSignal::Refused, None, Some(&gate));
    let process = town.process(&schema).await;
    let called = soon(process.run(&schema, KEY, 1).submit())
        .await
        .expect("it begins");
    let (yes, no) = (text("yes"), text("no"));
    let send = |answer| process.signal(&schema, KEY, "approved", answer);
    assert_eq!(send(&yes).await, Ok(SignalSent::Stored));
    assert_eq!(send(&no).await, Ok(SignalSent::Refused));
    gate.open();
    assert_eq!(soon(called.wait()).await, Ok(text("yes")));
}

pub async fn a_wait_ends_at_its_deadline_counted_from_its_first_run<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = asking(SecondSignal::Refused, Some(2 * HOUR), None);
    let process = town.process(&schema).await;
    let due_in = assert_asks(process.run(&schema, KEY, 1).await);
    assert!(due_in.is_some_and(|due_in| due_in > HOUR && due_in <= 2 * HOUR));
    town.clock.advance(HOUR);
    let asks = process.read(&schema).await;
    // It looks, finds nothing for itself, and does not begin to count anew.
    let sent = process.signal(&schema, KEY, "noise", &1).await;
    assert_eq!(sent, Ok(SignalSent::Stored));
    let looked = process
        .until(&schema, |execution| {
            execution.epoch > asks.epoch && execution.state == State::Waiting
        })
        .await;
    assert!(looked.due_in.is_some_and(|due_in| due_in <= HOUR), "{looked:?}");
    town.clock.advance(HOUR);
    process.until_is(&schema, State::Succeeded).await;
    assert_eq!(process.run(&schema, KEY, 1).await, Ok(text("too late")));
}

/// A wait that nobody answered has had no signal: the next one gets what was sent since.
pub async fn a_signal_that_comes_after_a_wait_that_was_too_late_goes_to_the_next_wait<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema: Schema<u64, Option<u64>> = Schema::new("test.signals")
        .signal("answer", SecondSignal::Refused)
        .step("first", |cx: StepContext, _n: u64| async move {
            Ok(cx.signal::<u64>("answer", Some(HOUR)).await?.is_none())
        })
        .step("second", |cx: StepContext, late: bool| async move {
            assert!(late, "nobody had answered");
            cx.signal::<u64>("answer", Some(HOUR)).await?;
            cx.signal::<u64>("answer", None).await
        })
        .build();
    let process = town.process(&schema).await;
    assert_asks(process.run(&schema, KEY, 1).await);
    for _wait in 0..2 {
        let epoch = process.read(&schema).await.epoch;
        town.clock.advance(HOUR);
        let is_next = |execution: &Execution| execution.epoch > epoch && execution.state == State::Waiting;
        process.until(&schema, is_next).await;
    }
    let sent = process.signal(&schema, KEY, "answer", &7).await;
    assert_eq!(sent, Ok(SignalSent::Stored));
    process.until_is(&schema, State::Succeeded).await;
    assert_eq!(process.run(&schema, KEY, 1).await, Ok(Some(7)));
}

/// Waits beside each other end with the first of them, and each counts from its own begin.
pub async fn of_a_sleep_and_a_signal_beside_each_other_the_first_one_ends_the_wait<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema: Schema<u64, String> = Schema::new("test.signals")
        .signal("answer", SecondSignal::Refused)
        .step("ask", |cx: StepContext, _n: u64| async move {
            let one = cx.sleep("one", 2 * HOUR);
            let other = cx.sleep("other", 3 * HOUR);
            let sleeps = async { futures::future::try_join(one, other).await };
            let signal = cx.signal::<String>("answer", None);
            tokio::select! {
                biased;
                came = signal => Ok(came?.unwrap_or_default()),
                slept = sleeps => slept.map(|_both| "slept".to_owned()),
            }
        })
        .build();
    for (key, sent, wanted) in [("sent", true, "yes"), ("slept", false, "slept")] {
        let process = town.process(&schema).await;
        let call = async || process.run(&schema, key, 1).await;
        let told = call().await;
        assert!(matches!(told, Err(RunError::Waiting { .. })), "{told:?}");
        if sent {
            let sent = process.signal(&schema, key, "answer", &text("yes")).await;
            assert_eq!(sent, Ok(SignalSent::Stored));
        } else {
            // Three hours in all, and not two and three. What is left for the other one is reckoned when it
            // is put down, so the clock stands still meanwhile.
            town.clock.advance(HOUR);
            town.clock.advance(HOUR);
            let _an_hour_is_left = until_told(call, |told| match told {
                Err(RunError::Waiting {
                    due_in: Some(left), ..
                }) if *left <= HOUR => *left > HOUR / 2,
                other => panic!("one hour is left: {other:?}"),
            })
            .await;
            town.clock.advance(HOUR);
        }
        let waits = |told: &Result<String, RunError>| matches!(told, Err(RunError::Waiting { .. }));
        assert_eq!(until_told(call, |told| !waits(told)).await, Ok(text(wanted)));
    }
}

/// Calls until it is told what is wanted.
async fn until_told<Out>(
    call: impl AsyncFn() -> Result<Out, RunError>,
    wanted: impl Fn(&Result<Out, RunError>) -> bool,
) -> Result<Out, RunError> {
    soon(async {
        loop {
            let told = call().await;
            if wanted(&told) {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

/// Waits for two answers in one step, and for a third one in the next.
fn asking_thrice(gate: Option<&Gate>) -> Schema<u64, Vec<String>> {
    let gate = gate.cloned();
    Schema::new("test.signals")
        .signal("answer", SecondSignal::Queued)
        .step("two", move |cx: StepContext, _n: u64| {
            let gate = gate.clone();
            async move {
                let mut answers = Vec::new();
                for _answer in 0..2 {
                    answers.extend(cx.signal::<String>("answer", None).await?);
                    note(&cx, answers.join(" "))?;
                }
                if let Some(gate) = gate {
                    gate.pass().await;
                }
                Ok(answers)
            }
        })
        .step("third", |cx: StepContext, mut answers: Vec<String>| async move {
            answers.extend(cx.signal::<String>("answer", None).await?);
            Ok(answers)
        })
        .build()
}

pub async fn queued_signals_come_to_the_waits_in_the_order_in_which_they_were_sent<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = asking_thrice(None);
    let process = town.process(&schema).await;
    assert_asks(process.run(&schema, KEY, 1).await);
    for answer in ["a", "b", "c", "d"] {
        let sent = process.signal(&schema, KEY, "answer", &text(answer)).await;
        assert!(
            matches!(sent, Ok(SignalSent::Stored | SignalSent::Finished)),
            "{sent:?}"
        );
    }
    process.until_is(&schema, State::Succeeded).await;
    let answers = process.run(&schema, KEY, 1).await;
    assert_eq!(answers, Ok(["a", "b", "c"].map(text).to_vec()));
}

pub async fn what_was_delivered_stays_delivered_when_the_owner_dies<G: Ground>(ground: G) {
    let (town, gate) = (Town::on(ground).await, Gate::closed());
    let schema = asking_thrice(Some(&gate));
    let here = town.process(&schema).await;
    assert_asks(here.run(&schema, KEY, 1).await);
    for answer in ["a", "b"] {
        let sent = here.signal(&schema, KEY, "answer", &text(answer)).await;
        assert_eq!(sent, Ok(SignalSent::Stored));
    }
    soon(gate.arrived(1)).await;
    let before = town.notes.all();
    town.kill(&here).await;
    let there = town.process(&schema).await;
    soon(gate.arrived(2)).await;
    assert_eq!(
        town.notes.all()[before.len()..],
        ["a", "a b"],
        "the same answers again"
    );
    let sent = there.signal(&schema, KEY, "answer", &text("c")).await;
    assert_eq!(sent, Ok(SignalSent::Stored));
    gate.open();
    there.until_is(&schema, State::Succeeded).await;
    let answers = there.run(&schema, KEY, 1).await;
    assert_eq!(answers, Ok(["a", "b", "c"].map(text).to_vec()));
    let stored = town.stored(&schema).await;
    let delivered: Vec<_> = stored.iter().filter(|name| name.contains("@signal")).collect();
    let wanted = [
        "third::@signal/answer/1",
        "two::@signal/answer/1",
        "two::@signal/answer/2",
    ];
    assert_eq!(delivered, wanted);
}

/// Nobody could send it, so the wait would never end.
pub async fn a_signal_that_the_schema_does_not_declare_is_an_error_on_both_sides<G: Ground>(ground: G) {
    let town = Town::on(ground).await;
    let schema = Schema::new("test.signals")
        .step("ask", |cx: StepContext, _n: u64| async move {
            note(&cx, "ask")?;
            let answer: Option<u64> = cx.signal("approved", None).await?;
            answer.ok_or_else(|| StepError::terminal("no answer"))
        })
        .build();
    let process = town.process(&schema).await;
    let told = process.run(&schema, KEY, 1).await;
    assert!(
        matches!(&told, Err(RunError::Failed(failure)) if failure.code.as_deref() == Some("unknown_signal")),
        "{told:?}"
    );
    town.notes.are(&["ask"]);
    let sent = process.signal(&schema, KEY, "approved", &1).await;
    assert!(matches!(sent, Err(RunError::Invalid(_))), "{sent:?}");
    let declared = asking(SecondSignal::Refused, None, None);
    let sent = process.signal(&declared, "nobody", "approved", &1).await;
    assert!(matches!(sent, Err(RunError::Invalid(_))), "{sent:?}");
}

/// Many send while the wait is put down again and again: each of them is delivered, and once.
pub async fn signals_that_race_with_the_waits_are_all_delivered_once<G: Ground>(ground: G) {
    const SENT: u64 = 40;
    let town = Town::on(ground).await;
    let schema = Schema::new("test.signals")
        .signal("answer", SecondSignal::Queued)
        .step("many", |cx: StepContext, _n: u64| async move {
            let mut answers = Vec::new();
            while answers.len() < 40 {
                answers.extend(cx.signal::<u64>("answer", None).await?);
            }
            StepResult::Ok(answers)
        })
        .build();
    let (here, there) = (town.process(&schema).await, town.process(&schema).await);
    assert_asks(here.run(&schema, KEY, 1).await);
    for n in 0..SENT {
        let sender = if n % 2 == 0 { &here } else { &there };
        let sent = sender.signal(&schema, KEY, "answer", &n).await;
        assert_eq!(sent, Ok(SignalSent::Stored));
        if n % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    here.until_is(&schema, State::Succeeded).await;
    let answers = here.run(&schema, KEY, 1).await;
    assert_eq!(answers, Ok((0..SENT).collect()));
}
