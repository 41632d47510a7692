//! What happens to a value that can not be stored? A clear error before anything is written, and the
//! key stays usable. On the memory store.

use keystep::{Engine, FailureKind, Filter, Key, Limits, MemoryStore, RunError, Schema};

#[derive(serde::Serialize, serde::Deserialize)]
struct Odd {
    number: Option<f64>,
    #[serde(default, skip_deserializing)]
    forgotten: u8,
    #[serde(default)]
    text: String,
}

fn odd(number: Option<f64>, forgotten: u8, text: &str) -> Odd {
    Odd {
        number,
        forgotten,
        text: text.to_owned(),
    }
}

#[tokio::test]
async fn bad_input_is_refused_before_anything_is_written_and_the_key_stays_usable() {
    let schema: Schema<Odd, u64> = Schema::new("test.odd")
        .step("one", |_cx, _n: Odd| async { Ok(1) })
        .build();
    let limits = Limits {
        payload_bytes: 100,
        ..Limits::default()
    };
    let engine = Engine::builder(MemoryStore::new())
        .schema(schema.clone())
        .limits(limits)
        .build();
    let engine = engine.await.expect("an engine");
    let fine = || odd(Some(1.5), 0, "");
    let not_finite = "the input: NaN and infinities have no place in JSON: use an Option or a text";
    let calls = [
        (Key::new(""), fine(), "the key is empty"),
        (
            Key::new("k".repeat(1025)),
            fine(),
            "the key has 1025 bytes, the limit is 1024",
        ),
        (Key::new("k\0"), fine(), "the key contains a NUL character"),
        (
            Key::new("k").scope("s".repeat(513)),
            fine(),
            "the scope has 513 bytes, the limit is 512",
        ),
        (
            Key::new("k").scope("\0"),
            fine(),
            "the scope contains a NUL character",
        ),
        (Key::new("k"), odd(Some(f64::NAN), 0, ""), not_finite),
        (Key::new("k"), odd(Some(f64::NEG_INFINITY), 0, ""), not_finite),
        (
            Key::new("k"),
            odd(None, 1, ""),
            "the input: it does not survive a round trip through JSON: it reads back as another value",
        ),
        (
            Key::new("k"),
            odd(None, 0, &"t".repeat(100)),
            "the input has 139 bytes, the limit is 100",
        ),
    ];
    for (key, input, text) in calls {
        let refused = engine.run(&schema, key, input).await;
        assert_eq!(refused, Err(RunError::Invalid(text.to_owned())));
    }
    let nothing = engine.list(Filter::default(), None).await.expect("a page");
    assert_eq!(nothing.executions, [], "nothing was written");
    assert_eq!(engine.run(&schema, "k", fine()).await, Ok(1));

    let stranger: Schema<u64, u64> = Schema::new("test.stranger")
        .step("one", |_cx, n: u64| async move { Ok(n) })
        .build();
    let refused = engine.run(&stranger, "k", 1).await;
    let text = "the schema `test.stranger` is not registered with this engine";
    assert_eq!(refused, Err(RunError::Invalid(text.to_owned())));
}

#[tokio::test]
async fn an_output_over_the_limit_fails_without_a_retry_and_can_be_resumed() {
    let schema: Schema<usize, String> = Schema::new("test.large")
        .step("large", |_cx, n: usize| async move { Ok("x".repeat(n)) })
        .build();
    let store = MemoryStore::new();
    let limits = Limits {
        payload_bytes: 100,
        ..Limits::default()
    };
    let small = Engine::builder(store.clone())
        .schema(schema.clone())
        .limits(limits)
        .build();
    let failed = small.await.expect("an engine").run(&schema, "k", 200).await;
    let Err(RunError::Failed(failure)) = failed else {
        panic!("{failed:?}")
    };
    assert_eq!(failure.code.as_deref(), Some("output_too_large"));
    assert_eq!(failure.message, "the output has 202 bytes, the limit is 100");
    assert_eq!((failure.attempt, failure.kind), (1, FailureKind::Exhausted));
    let large = Engine::builder(store.another_handle())
        .schema(schema.clone())
        .build()
        .await
        .expect("an engine");
    assert_eq!(
        large.run(&schema, "k", 200).await.map(|output| output.len()),
        Ok(200)
    );
}

#[tokio::test]
async fn an_output_that_can_not_be_recorded_fails_and_a_deploy_can_resume_it() {
    let nan: Schema<u64, Option<f64>> = Schema::new("test.nan")
        .step("same", |_cx, _n: u64| async { Ok(Some(f64::NAN)) })
        .build();
    let mended: Schema<u64, Option<f64>> = Schema::new("test.nan")
        .step("same", |_cx, _n: u64| async { Ok(Some(1.0)) })
        .build();
    let store = MemoryStore::new();
    let engine = Engine::builder(store.clone())
        .schema(nan.clone())
        .build()
        .await
        .expect("an engine");
    let failed = engine.run(&nan, "k", 1).await;
    let Err(RunError::Failed(failure)) = failed else {
        panic!("{failed:?}")
    };
    assert_eq!(failure.code.as_deref(), Some("unstorable_output"));
    assert_eq!(failure.attempt, 1, "trying again can not help");
    engine.shutdown().await;
    let deployed = Engine::builder(store)
        .schema(mended.clone())
        .build()
        .await
        .expect("an engine");
    assert_eq!(deployed.run(&mended, "k", 1).await, Ok(Some(1.0)));
}
