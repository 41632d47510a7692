//! What holds for every key and every document? Tried with many of both.
//!
//! The same entry functions are fuzzed in `crates/http/fuzz`.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use keystep::canonical_json;
use keystep_http::{KeySyntax, Preconditions, Prefer, parse_key};
use proptest::prelude::*;
use serde_json::{Map, Value};

#[path = "../fuzz/entry/document.rs"]
mod document;
#[path = "../fuzz/entry/key.rs"]
mod key;

fn any_document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,4}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let members = prop::collection::vec(("[a-c]{0,2}|\\PC{0,2}", inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(Value::from),
            members.prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A document with the members of each object in the other order, and white space between.
fn written_otherwise(value: &Value) -> String {
    let list = |parts: Vec<String>| parts.join(" ,\n");
    match value {
        Value::Array(items) => format!("[ {} ]", list(items.iter().map(written_otherwise).collect())),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                format!("{} : {}", Value::from(name.as_str()), written_otherwise(value))
            };
            format!("{{ {} }}", list(members.iter().rev().map(member).collect()))
        }
        other => other.to_string(),
    }
}

fn canonical(json: &str) -> Vec<u8> {
    canonical_json(json.as_bytes(), &[]).expect("JSON")
}

proptest! {
    #[test]
    fn a_key_reads_back_from_its_quoted_form(text in "[ -~]{1,255}") {
        let quoted = keystep_http::ClientKey::new(text.as_str()).expect("a key").quoted();
        for syntax in [KeySyntax::Strict, KeySyntax::Lenient] {
            let read = parse_key(quoted.as_bytes(), syntax).expect("a string");
            prop_assert_eq!(read.as_str(), text.as_str());
        }
    }

    #[test]
    fn a_bare_token_is_the_same_key_as_its_string(token in "[A-Za-z0-9._~:/+=@-]{1,255}") {
        let bare = parse_key(token.as_bytes(), KeySyntax::Lenient);
        prop_assert_eq!(bare.as_ref().map(|key| key.as_str()), Some(token.as_str()));
        prop_assert_eq!(bare, parse_key(format!("\"{token}\"").as_bytes(), KeySyntax::Strict));
        prop_assert_eq!(parse_key(token.as_bytes(), KeySyntax::Strict), None);
    }

    #[test]
    fn what_is_read_as_a_key_is_one(line in prop::collection::vec(any::<u8>(), 0..40)) {
        key::try_one(&line);
    }

    #[test]
    fn lines_that_look_like_keys_do_too(line in r#"["\\a;= ,()*?:1.-]{0,12}"#) {
        key::try_one(line.as_bytes());
    }

    #[test]
    fn the_canonical_form_does_not_depend_on_how_a_document_is_written(value in any_document()) {
        prop_assert_eq!(canonical(&value.to_string()), canonical(&written_otherwise(&value)));
    }

    #[test]
    fn the_canonical_form_is_its_own(value in any_document()) {
        let form = canonical(&value.to_string());
        let again = canonical_json(&form, &[]).expect("it is JSON");
        prop_assert_eq!(form, again);
    }

    #[test]
    fn a_member_twice_is_refused_wherever_it_is(value in any_document(), name in "[a-c]{0,2}") {
        let name = Value::from(name);
        let twice = format!("{{\"x\":[{{{name}:1,\"y\":2,{name}:{value}}}]}}");
        prop_assert!(canonical_json(twice.as_bytes(), &[]).is_err());
    }

    #[test]
    fn any_bytes_are_a_document_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        document::try_one(&bytes);
    }

    #[test]
    fn texts_that_look_like_documents_too(text in r#"[\[\]{}:,"ab1.0e \\\-]{0,16}"#) {
        document::try_one(text.as_bytes());
    }

    #[test]
    fn no_header_makes_a_reader_panic(line in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(line)) {
            let mut headers = HeaderMap::new();
            for name in ["prefer", "if-match", "if-none-match"] {
                headers.insert(name, value.clone());
            }
            let _wishes = Prefer::of(&headers);
            let _conditions = Preconditions::of(&headers);
        }
    }
}
