//! Payloads, keys and passwords: does any line that a process writes have one in it?

use std::time::Duration;

use system_tests::place::{Kind, Place};
use system_tests::protocol::{Mishap, Policy, Trail};
use system_tests::victim::Victim;

use crate::victim;

on_both_stores!(no_line_of_any_log_shows_a_payload_a_key_or_a_password);

/// In every payload, every key and every password of this test.
const CANARY: &str = "c4n4ry";

fn no_line_of_any_log_shows_a_payload_a_key_or_a_password(kind: Kind) {
    let place = Place::fresh(kind);
    let mut launch = victim(&place).option("log", "trace").grace(Duration::ZERO);
    if kind == Kind::Postgres {
        let url = place.role(CANARY, None).url;
        launch = launch.option("url", &url).option("notebook", &url);
    }

    let mut owner = launch.clone().gate("second").ready();
    let key = format!("{CANARY}-taken-over");
    owner.run_with("three", &key, payload(None), Policy::Attach);
    owner.at_gate("three", &key, "second");
    let other_input = Trail {
        payload: format!("another {CANARY}"),
        ..Trail::default()
    };
    let call = owner.run_with("three", &key, other_input, Policy::Attach);
    assert_eq!(
        owner.answer(call).expect_err("another input").kind,
        "input_mismatch"
    );
    let call = owner.run_with("three", &key, payload(None), Policy::Reject);
    assert_eq!(owner.answer(call).expect_err("it is running").kind, "in_progress");
    let mut lines = killed(owner);

    let mut successor = launch.ready();
    let call = successor.run_with("three", &key, payload(None), Policy::Attach);
    assert!(successor.answer(call).is_ok());
    everything_that_goes_wrong(&mut successor);
    lines.extend(killed(successor));

    for url in wrong_urls() {
        let refused = launch.clone().option("url", &url).start();
        refused.refused();
        let [said, logged] = refused.transcripts();
        lines.extend([said.to_the_end(), logged.to_the_end()].concat());
    }

    assert!(
        lines.iter().any(|line| line.contains("TRACE")),
        "the log is not as chatty as it can be"
    );
    let shown: Vec<&String> = lines.iter().filter(|line| line.contains(CANARY)).collect();
    assert!(
        shown.is_empty(),
        "{} of {} lines:\n{shown:#?}",
        shown.len(),
        lines.len()
    );
}

fn payload(mishap: Option<(&str, Mishap)>) -> Trail {
    Trail {
        payload: format!("the number of the card is {CANARY}"),
        mishap: mishap.map(|(step, mishap)| (step.to_owned(), mishap)),
        ..Trail::default()
    }
}

/// Errors are where values slip into texts.
fn everything_that_goes_wrong(process: &mut Victim) {
    for (mishap, kind) in [
        (Mishap::Error, None),
        (Mishap::Panic, None),
        (Mishap::Terminal, Some("failed")),
        (Mishap::Misread, Some("failed")),
    ] {
        let key = format!("{CANARY}-{mishap:?}");
        let call = process.run_with("three", &key, payload(Some(("second", mishap))), Policy::Attach);
        let answer = process.answer(call);
        assert_eq!(
            answer.err().map(|error| error.kind).as_deref(),
            kind,
            "{mishap:?}"
        );
    }
    for key in [format!("{CANARY}\0"), CANARY.repeat(1_000)] {
        let call = process.run_with("three", &key, payload(None), Policy::Attach);
        assert_eq!(process.answer(call).expect_err("no key").kind, "invalid");
    }
}

/// URLs with a password that lead nowhere, or are none.
fn wrong_urls() -> [String; 4] {
    [
        format!("postgres://someone:{CANARY}@127.0.0.1:1/nowhere"),
        format!("postgres://someone:{CANARY}@127.0.0.1:notaport/nowhere"),
        format!("postgres://someone:{CANARY}@[half/nowhere?strange={CANARY}"),
        format!("postgres://{CANARY}:{CANARY}@127.0.0.1:1/nowhere?sslmode={CANARY}"),
    ]
}

/// Every line of a process that ends now.
fn killed(process: Victim) -> Vec<String> {
    let [said, logged] = process.transcripts();
    process.kill();
    [said.to_the_end(), logged.to_the_end()].concat()
}
