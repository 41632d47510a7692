//! All processes die at once, each in the middle of several executions, and one is started.

use system_tests::evidence::Evidence;
use system_tests::place::Kind;
use system_tests::protocol::Policy;
use system_tests::victim::Victim;

use crate::story::{Life, SCHEMA, Scene};

on_both_stores!(one_process_finishes_what_all_others_left_when_they_died);

const GATES: [&str; 4] = ["first/entered", "first", "last/entered", "last"];

fn one_process_finishes_what_all_others_left_when_they_died(kind: Kind) {
    let scene = Scene::new(kind);
    let mut left = Vec::new();
    let mut dying = Vec::new();
    for gate in GATES {
        let mut process = scene.launch().gate(gate).ready();
        for number in 0..3 {
            let (key, mut evidence) = (format!("{gate} {number}"), Evidence::new());
            let call = process.run(SCHEMA, &key, Policy::Attach);
            evidence.asked(&process, call, SCHEMA, &key);
            process.at_gate(SCHEMA, &key, gate);
            evidence.crashed(&process);
            left.push((key, evidence, Life::at_gate(gate, 0)));
        }
        dying.push(process);
    }
    // None of them lives long enough to take over from another one.
    dying.iter().for_each(Victim::stop);
    for process in dying {
        process.kill();
    }
    for (key, _evidence, life) in &left {
        scene.is_left(key, &[*life]);
    }
    let mut last = scene.launch().start();
    for (key, evidence, life) in left {
        scene.is_finished(&mut last, evidence, &key, &[life]);
    }
    last.exit();
}
