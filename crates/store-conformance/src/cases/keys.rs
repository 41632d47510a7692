//! Keys: three texts that compare byte for byte and come back as they were.

use std::sync::Arc;

use keystep::execution::{ExecutionId, FullKey};
use keystep::store::{Begun, ListQuery, Store, StoreError};

use crate::Harness;
use crate::fixture::{all_at_once, begin, begin_of, begin_of_key, find, key, record, start, started, write};

/// Texts that somebody, somewhere, has taken for one another or could not store.
fn awkward() -> Vec<String> {
    let mut all: Vec<String> = [
        "a",
        "A",
        "a ",
        " a",
        "a\t",
        "a\n",
        "á",
        "a\u{301}",
        "ａ",
        "а",
        "ß",
        "ss",
        "ẞ",
        "ﬁ",
        "fi",
        "I",
        "ı",
        "İ",
        "i̇",
        "%00",
        "%61",
        "a%20",
        "a+",
        "'",
        "''",
        "\"",
        "\\",
        "\\'",
        "a;--",
        "$1",
        "?1",
        "{}",
        "NULL",
        "null",
        "0",
        "00",
        "0.0",
        "1e0",
        "-0",
        "true",
        "☂",
        "𝄞",
        "\u{202e}abc",
        "\u{feff}",
        "\u{7f}",
        "\u{1}",
        "\u{10ffff}",
        "../a",
        "a/b",
        "a\\b",
    ]
    .into_iter()
    .map(Into::into)
    .collect();
    all.push("k".repeat(1024));
    all.push("k".repeat(1023));
    all.push("☂".repeat(341));
    all
}

pub async fn awkward_keys_stay_distinct_and_read_back_exactly<S: Store>(harness: Harness<S>) {
    let texts = awkward();
    for text in &texts {
        start(&*harness.here, &begin_of(text)).await;
    }
    for text in &texts {
        let found = record(&*harness.there, begin_of(text).id).await;
        assert_eq!(found.key, key(text), "byte for byte");
    }
    let everything = ListQuery {
        limit: 1000,
        ..ListQuery::default()
    };
    let listed = harness.there.list(everything).await.expect("answered");
    assert_eq!(listed.len(), texts.len(), "none merged, none lost");
}

pub async fn awkward_scopes_and_schemas_stay_distinct<S: Store>(harness: Harness<S>) {
    let mut keys = Vec::new();
    for text in awkward() {
        keys.push(FullKey {
            scope: text.chars().take(120).collect(),
            ..key("the same")
        });
        keys.push(FullKey {
            schema: text.chars().take(60).collect(),
            ..key("the same")
        });
    }
    keys.push(FullKey {
        scope: String::new(),
        ..key("the same")
    });
    keys.sort_by_key(ExecutionId::of);
    keys.dedup();
    for key in &keys {
        start(&*harness.here, &begin_of_key(key.clone())).await;
    }
    for key in keys {
        let found = record(&*harness.there, ExecutionId::of(&key)).await;
        assert_eq!(found.key, key, "byte for byte");
        let query = ListQuery {
            schema: Some(key.schema.clone()),
            scope: Some(key.scope.clone()),
            limit: 1000,
            ..ListQuery::default()
        };
        let listed = harness.there.list(query).await.expect("answered");
        let listed: Vec<FullKey> = listed.into_iter().map(|one| one.key).collect();
        assert_eq!(listed, [key], "a filter compares byte for byte");
    }
}

pub async fn a_text_with_nul_is_rejected_or_kept_and_harms_no_other<S: Store>(harness: Harness<S>) {
    started(&*harness.here, "another key, so that the plan is there").await;
    // Together, so that they meet in one batch where there are batches.
    let answers = all_at_once(24, |number| {
        let store = Arc::clone(&harness.here);
        let text = if number == 7 {
            "nul \0 nul".into()
        } else {
            format!("k{number}")
        };
        let wanted = begin_of(&text);
        async move { (store.begin(wanted.clone()).await, wanted) }
    })
    .await;
    for (answer, wanted) in answers {
        let poison = wanted.key.key.contains('\0');
        match answer {
            Ok(Begun::Started(_)) => {
                let found = record(&*harness.there, wanted.id).await;
                assert_eq!(found.key, *wanted.key, "never cut short");
            }
            Err(StoreError::Rejected(_)) if poison => {
                assert_eq!(find(&*harness.there, wanted.id).await, None);
            }
            other => panic!("{:?}: {other:?}", wanted.key),
        }
    }
}

pub async fn a_poison_step_among_others_harms_no_other<S: Store>(harness: Harness<S>) {
    let mut fences = Vec::new();
    for number in 0..24 {
        fences.push(started(&*harness.here, &format!("k{number}")).await);
    }
    let answers = all_at_once(24, |number| {
        let store = Arc::clone(&harness.here);
        let name = if number == 7 { "nul \0 nul" } else { "plain" };
        let sent = write(fences[number]).named_step(name, 0, crate::fixture::payload("x"));
        async move { (number, store.commit(sent.commit()).await) }
    })
    .await;
    for (number, answer) in answers {
        let fence = fences[number];
        let steps = harness.there.load(fence.execution, fence.run).await;
        let steps = steps.expect("answered").expect("there").checkpoints;
        match answer {
            Ok(verdict) => {
                assert_eq!(verdict, keystep::store::Verdict::Written);
                let name = if number == 7 { "nul \0 nul" } else { "plain" };
                assert_eq!(steps[0].step, name, "never cut short");
            }
            Err(StoreError::Rejected(_)) if number == 7 => assert_eq!(steps, []),
            Err(error) => panic!("{number}: {error}"),
        }
    }
    // Whoever was rejected is still the owner and can say so.
    write(fences[7])
        .then(crate::fixture::fail())
        .written(&*harness.here)
        .await;
}

pub async fn a_key_of_another_text_under_the_same_id_is_shown<S: Store>(harness: Harness<S>) {
    // Two texts with one id would be a hash collision: the caller compares the text it is shown.
    let first = begin_of("k");
    start(&*harness.here, &first).await;
    let mut colliding = begin_of("another text");
    colliding.id = first.id;
    match begin(&*harness.there, &colliding).await {
        Begun::Exists(found) => assert_eq!(found.key, *first.key),
        Begun::Started(_) => panic!("an id is the only index of executions"),
    }
}
