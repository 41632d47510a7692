//! Payloads: bytes go in and the same bytes come out, whatever they are.

use bytes::Bytes;
use keystep::execution::{InputHash, ParkReason, Payload, WaitReason};
use keystep::store::{Begin, Store, Then, Tries};

use crate::Harness;
use crate::fixture::{
    DAY, HOUR, acquire_of, begin_of, progress, record, restart, start, started, take, win, write,
};

/// Payloads that have broken one database or another.
fn awkward() -> Vec<Payload> {
    let every_byte: Vec<u8> = (0..=255).collect();
    let mut all = vec![
        Vec::new(),
        vec![0],
        every_byte.clone(),
        every_byte.into_iter().rev().collect(),
        vec![0; 70_000],
        b"\\x00 \\000 '; DROP TABLE executions; --".to_vec(),
        "\u{feff}☂ 𝄞 \u{202e}right to left".into(),
        b"\xff\xfe not utf-8 \xc3\x28".to_vec(),
        b"{\"a\":1e400,\"a\":[[[[]]]],\"\\u0000\":NaN}".to_vec(),
    ];
    // A megabyte that does not compress, so that it really is a megabyte on the way.
    let mut state: u32 = 12_345;
    all.push(
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(1 << 20)
        .collect(),
    );
    all.into_iter().map(|bytes| Payload(Bytes::from(bytes))).collect()
}

fn assert_same(left: &Payload, right: &Payload) {
    // Not assert_eq: a megabyte in a message helps nobody.
    assert!(left == right, "{left:?} came back as {right:?}");
}

pub async fn an_input_reads_back_byte_for_byte<S: Store>(harness: Harness<S>) {
    for (number, input) in awkward().into_iter().enumerate() {
        let wanted = Begin {
            input: input.clone(),
            ..begin_of(&format!("k{number}"))
        };
        let fence = start(&*harness.here, &wanted).await;
        let found = progress(&*harness.there, fence.execution, fence.run).await;
        assert_same(&input, &found.input);
    }
}

pub async fn an_output_reads_back_byte_for_byte<S: Store>(harness: Harness<S>) {
    for (number, output) in awkward().into_iter().enumerate() {
        let fence = started(&*harness.here, &format!("k{number}")).await;
        let then = Then::Succeed {
            output_step: "only".into(),
            retention: Some(DAY),
        };
        let sent = write(fence).named_step("only", 0, output.clone()).then(then);
        sent.written(&*harness.here).await;
        let steps = progress(&*harness.there, fence.execution, fence.run).await;
        assert_same(&output, &steps.checkpoints[0].output);
        let found = record(&*harness.there, fence.execution).await;
        assert_same(&output, &found.output.expect("an output, be it empty"));
    }
}

pub async fn a_failure_reads_back_byte_for_byte<S: Store>(harness: Harness<S>) {
    for (number, failure) in awkward().into_iter().enumerate() {
        let tries = Tries::default();
        let thens = [
            Then::Fail {
                failure: failure.clone(),
                tries,
                retention: None,
                yields: false,
            },
            Then::Wait {
                delay: Some(HOUR),
                reason: WaitReason::Retry,
                failure: Some(failure.clone()),
                tries,
                signals: None,
                wish: None,
            },
            Then::Park {
                reason: ParkReason::Unreadable,
                failure: Some(failure.clone()),
                wish: None,
            },
            Then::Undone {
                failure: failure.clone(),
                retention: None,
            },
        ];
        for then in thens {
            let fence = started(&*harness.here, &format!("{number} {:?}", then.state())).await;
            write(fence).then(then).written(&*harness.here).await;
            let found = record(&*harness.there, fence.execution).await;
            assert_same(&failure, &found.failure.expect("a failure, be it empty"));
        }
    }
}

pub async fn a_restarted_input_reads_back_byte_for_byte<S: Store>(harness: Harness<S>) {
    let fence = started(&*harness.here, "k").await;
    for input in awkward() {
        let seen = record(&*harness.here, fence.execution).await.seen();
        let mut wanted = acquire_of(seen, restart());
        if let keystep::store::How::Restart(fresh) = &mut wanted.how {
            fresh.input = input.clone();
        }
        let (won, _) = win(&*harness.here, &wanted).await;
        let found = progress(&*harness.there, won.id, won.run).await;
        assert_same(&input, &found.input);
    }
    take(&*harness.here, fence.execution, keystep::store::How::TakeOver).await;
}

pub async fn an_input_hash_reads_back_byte_for_byte<S: Store>(harness: Harness<S>) {
    let mut counting = [0; 32];
    for (place, byte) in (0..).zip(&mut counting) {
        *byte = 255 - place;
    }
    for (number, hash) in [[0; 32], [255; 32], counting].into_iter().enumerate() {
        let wanted = Begin {
            input_hash: InputHash(hash),
            ..begin_of(&format!("k{number}"))
        };
        let fence = start(&*harness.here, &wanted).await;
        let found = record(&*harness.there, fence.execution).await;
        assert_eq!(found.input_hash, InputHash(hash));
    }
}
