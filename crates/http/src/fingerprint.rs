//! When are two requests the same? When method, route, path, query, media type and body are.
//!
//! Headers do not count: neither `If-Match` nor `Prefer`, nor anything that a proxy adds. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::header;
use http::request::Parts;
use keystep::{InputHash, canonical_json};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::operation::Settings;
use crate::policy::Fingerprint;

/// The fingerprint of a request. A JSON body is checked whatever the policy is.
///
/// # Errors
/// What is wrong with the body, as the end of a sentence.
pub(crate) fn of(
    operation: &Settings,
    parts: &Parts,
    media_type: &str,
    body: &[u8],
) -> Result<InputHash, String> {
    let form = form(operation, parts, media_type, body)?;
    let target = [parts.method.as_str(), &operation.path, parts.uri.path()];
    let mut query: Vec<&str> = parts.uri.query().unwrap_or_default().split('&').collect();
    query.sort_unstable();
    let query = query.join("&");
    let content = [query.as_bytes(), media_type.as_bytes(), &form];
    let counts = operation.fingerprint != Fingerprint::Off;
    let content = content.into_iter().filter(|_part| counts);
    let mut hash = Sha256::new();
    for part in target.into_iter().map(str::as_bytes).chain(content) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Ok(InputHash(hash.finalize().into()))
}

/// What of the body counts.
fn form<'a>(
    operation: &Settings,
    parts: &Parts,
    media_type: &str,
    body: &'a [u8],
) -> Result<Cow<'a, [u8]>, String> {
    let canonical = |ignored: &[String]| canonical_json(body, ignored).map_err(|error| error.to_string());
    // Where any body is taken, one that only calls itself JSON is taken as it is.
    let is_json = is_json(media_type) && (!operation.media_types.is_empty() || canonical(&[]).is_ok());
    match (&operation.fingerprint, is_json) {
        (Fingerprint::Canonical, true) => return canonical(&operation.ignored).map(Cow::Owned),
        (_, true) => drop(canonical(&[])?),
        (_, false) => {}
    }
    Ok(match (&operation.fingerprint, boundary(parts, media_type)) {
        (Fingerprint::Fields(pointers), None) if is_json => fields(body, pointers)?.into(),
        (Fingerprint::Canonical, Some(boundary)) => without(body, boundary.as_bytes()).into(),
        _ => body.into(),
    })
}

fn is_json(media_type: &str) -> bool {
    media_type == "application/json" || media_type.ends_with("+json")
}

/// What separates the parts of a multipart body: clients choose it anew for each attempt.
fn boundary<'a>(parts: &'a Parts, media_type: &str) -> Option<&'a str> {
    if !media_type.starts_with("multipart/") {
        return None;
    }
    let value = parts.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let mut parameters = value
        .split(';')
        .skip(1)
        .filter_map(|text| text.trim().split_once('='));
    let (_name, boundary) = parameters.find(|(name, _)| name.eq_ignore_ascii_case("boundary"))?;
    Some(boundary.trim_matches('"')).filter(|boundary| !boundary.is_empty())
}

/// A body without the boundary of its lines.
fn without(body: &[u8], boundary: &[u8]) -> Vec<u8> {
    let mut form = Vec::with_capacity(body.len());
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let after = line
            .strip_prefix(b"--")
            .and_then(|line| line.strip_prefix(boundary));
        form.extend_from_slice(after.unwrap_or(line));
    }
    form
}

/// The canonical form of some members; one that is absent is told from one that is null.
fn fields(body: &[u8], pointers: &[String]) -> Result<Vec<u8>, String> {
    let document: &RawValue =
        serde_json::from_slice(body).map_err(|_not_json| "it is not JSON".to_owned())?;
    let mut form = Vec::new();
    for pointer in pointers {
        let found = at(document, pointer).map(|found| canonical_json(found.get().as_bytes(), &[]));
        let found = found.transpose().map_err(|error| error.to_string())?;
        let length = found.as_ref().map_or(u64::MAX, |found| found.len() as u64);
        form.extend_from_slice(&length.to_be_bytes());
        form.extend(found.into_iter().flatten());
    }
    Ok(form)
}

/// What a JSON Pointer names, with all digits of its numbers.
fn at<'a>(document: &'a RawValue, pointer: &str) -> Option<&'a RawValue> {
    let mut found = document;
    for name in pointer.split('/').skip(1) {
        let name = name.replace("~1", "/").replace("~0", "~");
        found = if found.get().starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(found.get()).ok()?;
            items.get(name.parse::<usize>().ok()?).copied()?
        } else {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(found.get()).ok()?;
            members.get(&name).copied()?
        };
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Operation;

    fn hash(operation: &Operation, uri: &str, media_type: &str, body: &str) -> InputHash {
        let request = http::Request::post(uri).body(()).expect("a request");
        let (parts, ()) = request.into_parts();
        of(&operation.0, &parts, media_type, body.as_bytes()).expect("a body")
    }

    fn orders() -> Operation {
        Operation::post("order.create", "/orders")
    }

    const JSON: &str = "application/json";

    #[test]
    fn member_order_white_space_and_the_order_of_the_query_do_not_count() {
        let operation = orders();
        let one = hash(&operation, "/orders?a=1&b=2", JSON, r#"{"x":1,"y":2.0}"#);
        assert_eq!(
            one,
            hash(&operation, "/orders?b=2&a=1", JSON, "{ \"y\": 2.0e0, \"x\": 1 }")
        );
        assert_ne!(
            one,
            hash(&operation, "/orders?b=2&a=1", JSON, r#"{"x":1,"y":3.0}"#)
        );
        assert_ne!(one, hash(&operation, "/orders?a=1", JSON, r#"{"x":1,"y":2.0}"#));
        assert_ne!(
            one,
            hash(&operation, "/others?a=1&b=2", JSON, r#"{"x":1,"y":2.0}"#)
        );
        assert_ne!(
            one,
            hash(&operation, "/orders?a=1&b=2", "a/b+json", r#"{"x":1,"y":2.0}"#)
        );
    }

    #[test]
    fn what_is_left_out_does_not_count_whether_it_is_there_or_not() {
        let operation = orders().ignore("/known");
        let one = hash(&operation, "/orders", JSON, r#"{"x":1}"#);
        assert_eq!(one, hash(&operation, "/orders", JSON, r#"{"x":1,"known":7}"#));
        assert_eq!(
            one,
            hash(&operation, "/orders", JSON, r#"{"kno\u0077n":7,"x":1}"#)
        );
    }

    #[test]
    fn chosen_fields_are_all_that_counts() {
        let operation = orders().fingerprint(Fingerprint::Fields(vec!["/a/0".into(), "/b".into()]));
        let one = hash(&operation, "/orders", JSON, r#"{"a":[1,2],"b":null,"c":3}"#);
        assert_eq!(
            one,
            hash(&operation, "/orders", JSON, r#"{"c":4,"b":null,"a":[1.0]}"#)
        );
        assert_ne!(
            one,
            hash(&operation, "/orders", JSON, r#"{"a":[1]}"#),
            "absent is not null"
        );
        assert_ne!(
            hash(&operation, "/orders", JSON, r#"{"b":18446744073709551617}"#),
            hash(&operation, "/orders", JSON, r#"{"b":18446744073709551618}"#)
        );
    }

    #[test]
    fn the_boundary_of_a_multipart_body_does_not_count() {
        let hash = |boundary: &str, text: &str| {
            let media_type = format!("multipart/form-data; boundary=\"{boundary}\"");
            let request = http::Request::post("/notes").header(header::CONTENT_TYPE, media_type);
            let (parts, ()) = request.body(()).expect("a request").into_parts();
            let body = format!("--{boundary}\r\n\r\n{text}\r\n--{boundary}--\r\n");
            of(&orders().0, &parts, "multipart/form-data", body.as_bytes()).expect("a body")
        };
        assert_eq!(hash("one", "tea"), hash("other", "tea"));
        assert_ne!(hash("one", "tea"), hash("one", "cup"));
        assert_ne!(
            hash("a", "banana"),
            hash("a", "bnn"),
            "it is one at the start of a line only"
        );
    }

    #[test]
    fn where_any_body_is_taken_one_that_only_calls_itself_json_is_taken_as_it_is() {
        let any = orders().media_types(Vec::<String>::new());
        assert_ne!(hash(&any, "/orders", JSON, ""), hash(&any, "/orders", JSON, "{"));
        assert_eq!(
            hash(&any, "/orders", JSON, r#"{"a":1}"#),
            hash(&any, "/orders", JSON, r#"{ "a": 1 }"#)
        );
    }

    #[test]
    fn raw_compares_bytes_and_off_only_what_is_acted_on() {
        let raw = orders().fingerprint(Fingerprint::Raw);
        assert_ne!(
            hash(&raw, "/orders", JSON, "{}"),
            hash(&raw, "/orders", JSON, "{ }")
        );
        let off = orders().fingerprint(Fingerprint::Off);
        let one = hash(&off, "/orders/1?a=1", JSON, "{}");
        assert_eq!(one, hash(&off, "/orders/1", JSON, "[1]"));
        assert_ne!(
            one,
            hash(&off, "/orders/2?a=1", JSON, "{}"),
            "another order is another request"
        );
    }

    #[test]
    fn a_member_twice_is_refused_under_every_policy() {
        let request = http::Request::post("/orders").body(()).expect("a request");
        let (parts, ()) = request.into_parts();
        let policies = [
            Fingerprint::Canonical,
            Fingerprint::Raw,
            Fingerprint::Off,
            Fingerprint::Fields(Vec::new()),
        ];
        for policy in policies {
            let operation = orders().fingerprint(policy).ignore("/a");
            for body in [
                r#"{"a":1,"a":1}"#,
                r#"{"b":[{"a":1,"\u0061":2}]}"#,
                "{",
                "",
                "\u{feff}{}",
            ] {
                assert!(of(&operation.0, &parts, JSON, body.as_bytes()).is_err(), "{body}");
            }
        }
    }
}
