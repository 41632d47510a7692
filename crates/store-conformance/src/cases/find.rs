//! Find and list: what can be seen from outside.

use std::collections::HashSet;

use keystep::execution::{ExecutionId, FullKey, State};
use keystep::store::{ListQuery, Store};

use crate::Harness;
use crate::fixture::{
    SCHEMA, assert_unchanged, begin_of, begin_of_key, key, one_in_each_state, record, start, started,
};

pub async fn find_answers_those_that_exist<S: Store>(harness: Harness<S>) {
    let mut wanted = vec![begin_of("never begun").id];
    let mut there = HashSet::new();
    for number in 0..30 {
        let fence = started(&*harness.here, &format!("k{number}")).await;
        wanted.push(fence.execution);
        wanted.push(begin_of(&format!("never begun {number}")).id);
        there.insert(fence.execution);
    }
    let found = harness.there.find(wanted).await.expect("answered");
    assert_eq!(found.len(), there.len(), "each once");
    let found: HashSet<ExecutionId> = found.into_iter().map(|one| one.id).collect();
    assert_eq!(found, there);
}

pub async fn find_of_nothing_is_nothing<S: Store>(harness: Harness<S>) {
    started(&*harness.here, "k").await;
    assert_eq!(harness.here.find(Vec::new()).await.expect("answered"), []);
}

pub async fn reading_changes_nothing<S: Store>(harness: Harness<S>) {
    let all = one_in_each_state(&*harness.here).await;
    for (_, fence) in &all {
        let before = record(&*harness.here, fence.execution).await;
        harness
            .there
            .load(fence.execution, fence.run)
            .await
            .expect("answered");
        harness.there.list(everything()).await.expect("answered");
        super::due::due_ids(&*harness.there).await;
        super::orphans::orphan_ids(&*harness.there).await;
        let after = record(&*harness.there, fence.execution).await;
        assert_unchanged(&before, &after, "looking is not touching");
    }
}

fn everything() -> ListQuery {
    ListQuery {
        limit: 1000,
        ..ListQuery::default()
    }
}

async fn ids<S: Store>(store: &S, query: ListQuery) -> Vec<ExecutionId> {
    let found = store.list(query).await.expect("answered");
    found.into_iter().map(|one| one.id).collect()
}

pub async fn pages_of_a_list_give_each_execution_once_in_the_order_of_ids<S: Store>(harness: Harness<S>) {
    let mut expected = Vec::new();
    for number in 0..25 {
        expected.push(started(&*harness.here, &format!("k{number}")).await.execution);
    }
    expected.sort_unstable();
    assert_eq!(ids(&*harness.there, everything()).await, expected);
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = ListQuery {
            after,
            limit: 7,
            ..ListQuery::default()
        };
        let page = ids(&*harness.there, page).await;
        assert!(page.len() <= 7, "at most the limit");
        let Some(last) = page.last() else { break };
        after = Some(*last);
        pages.extend(page);
    }
    assert_eq!(pages, expected);
    let none = ListQuery {
        limit: 0,
        ..ListQuery::default()
    };
    assert_eq!(ids(&*harness.there, none).await, []);
}

pub async fn a_list_holds_what_matches_the_filter<S: Store>(harness: Harness<S>) {
    let mut keys = Vec::new();
    for schema in [SCHEMA, "order.cancel", "order.create "] {
        for scope in ["", "user-7", "USER-7"] {
            for text in ["a", "b"] {
                let key = FullKey {
                    schema: schema.into(),
                    scope: scope.into(),
                    ..key(text)
                };
                start(&*harness.here, &begin_of_key(key.clone())).await;
                keys.push(key);
            }
        }
    }
    for schema in [None, Some(SCHEMA), Some("order.create "), Some("unknown")] {
        for scope in [None, Some(""), Some("user-7"), Some("nobody")] {
            let query = ListQuery {
                schema: schema.map(Into::into),
                scope: scope.map(Into::into),
                ..everything()
            };
            let mut expected: Vec<ExecutionId> = keys
                .iter()
                .filter(|key| schema.is_none_or(|schema| schema == key.schema))
                .filter(|key| scope.is_none_or(|scope| scope == key.scope))
                .map(ExecutionId::of)
                .collect();
            expected.sort_unstable();
            let found = ids(&*harness.there, query.clone()).await;
            assert_eq!(found, expected, "{query:?}");
        }
    }
}

pub async fn a_list_by_states_holds_only_those<S: Store>(harness: Harness<S>) {
    let all = one_in_each_state(&*harness.here).await;
    for states in [
        vec![State::Running],
        vec![State::Ready],
        vec![State::Waiting, State::Parked],
        vec![State::Succeeded, State::Failed, State::Running],
    ] {
        let mut expected: Vec<ExecutionId> = all
            .iter()
            .filter(|(state, _)| states.contains(state))
            .map(|(_, fence)| fence.execution)
            .collect();
        expected.sort_unstable();
        let query = ListQuery {
            states: states.clone(),
            ..everything()
        };
        assert_eq!(ids(&*harness.there, query).await, expected, "{states:?}");
    }
    let all_states = ids(&*harness.there, everything()).await;
    assert_eq!(all_states.len(), all.len(), "no states asked for: all");
}

pub async fn a_listed_execution_is_the_one_that_find_gives<S: Store>(harness: Harness<S>) {
    one_in_each_state(&*harness.here).await;
    for listed in harness.there.list(everything()).await.expect("answered") {
        let found = record(&*harness.there, listed.id).await;
        assert_unchanged(&found, &listed, "one reading of a row");
    }
}
