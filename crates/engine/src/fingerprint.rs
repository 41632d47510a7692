//! When are two inputs the same? When their canonical JSON is.
//!
//! The canonical form is that of RFC 8785 (members sorted by UTF-16 code units, shortest escapes,
//! numbers as ECMAScript prints them), except that integers keep all their digits: 2^53 and
//! 2^53 + 1 are different inputs. Pure.

use std::borrow::Cow;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::canonical;
use crate::execution::InputHash;
use crate::json::{self, ValueError};

/// SHA-256 over the canonical form of a JSON document, without the members that `ignored` names
/// (JSON Pointers of RFC 6901).
///
/// # Errors
/// When the bytes are not JSON.
pub(crate) fn fingerprint(json: &[u8], ignored: &[String]) -> Result<InputHash, serde_json::Error> {
    let quick = if ignored.is_empty() {
        canonical::canonical(json)
    } else {
        None
    };
    let form = match quick {
        Some(form) => form,
        None => canonical_without(json, ignored)?.into_bytes(),
    };
    Ok(InputHash(Sha256::digest(form).into()))
}

/// The canonical form of a JSON document, without the members that `ignored` names (JSON Pointers of
/// RFC 6901): what [`InputHash`] is made of, for front doors that compare more than the document.
///
/// # Errors
/// When the bytes are not JSON, or an object has a member twice: two readers could pick different ones.
pub fn canonical_json(json: &[u8], ignored: &[String]) -> Result<Vec<u8>, ValueError> {
    // The quick way takes only documents whose members are written plainly and once.
    if !ignored.iter().any(|pointer| may_be_in(json, pointer))
        && let Some(form) = canonical::canonical(json)
    {
        return Ok(form);
    }
    let refused = |error: serde_json::Error| ValueError::NotJson(json::describe(&error));
    json::refuse_members_twice(json)?;
    let form = canonical_without(json, ignored).map_err(refused)?;
    Ok(form.into_bytes())
}

/// Whether a document that is written plainly may have what the pointer names.
fn may_be_in(json: &[u8], pointer: &str) -> bool {
    let last = pointer.rsplit('/').next().unwrap_or_default();
    let name: Cow<'_, str> = if last.contains('~') {
        last.replace("~1", "/").replace("~0", "~").into()
    } else {
        last.into()
    };
    name.is_empty() || json.windows(name.len()).any(|part| part == name.as_bytes())
}

/// The canonical form of any document, without some members.
pub(crate) fn canonical_without(json: &[u8], ignored: &[String]) -> Result<String, serde_json::Error> {
    let mut value = read(json)?;
    for pointer in ignored {
        remove(&mut value, pointer);
    }
    let mut text = String::with_capacity(json.len());
    write(&value, &mut text);
    Ok(text)
}

/// Reads a document. [`Value`] holds integers of 64 bits and turns larger ones into floats, so these
/// become objects of one member that holds their digits.
fn read(json: &[u8]) -> Result<Value, serde_json::Error> {
    let digits = json.split(|byte| !byte.is_ascii_digit());
    if digits.map(<[u8]>::len).max() < Some(SMALL_DIGITS) {
        return serde_json::from_slice(json);
    }
    let mut kept = Vec::with_capacity(json.len());
    let (mut rest, mut in_text) = (json, false);
    while let Some(&byte) = rest.first() {
        let taken = match byte {
            b'\\' if in_text => 2.min(rest.len()),
            _ if in_text => 1,
            _ => rest.iter().take_while(|&byte| is_of_number(*byte)).count().max(1),
        };
        let (token, after) = rest.split_at(taken);
        in_text ^= token == b"\"";
        if !in_text && is_large_integer(token) {
            kept.extend_from_slice(br#"{"\u0000":""#);
            kept.extend_from_slice(token);
            kept.extend_from_slice(br#""}"#);
        } else {
            kept.extend_from_slice(token);
        }
        rest = after;
    }
    serde_json::from_slice(&kept)
}

/// The name of the member that holds the digits of a large integer.
const DIGITS: &str = "\0";

/// Integers of fewer digits fit into 64 bits.
const SMALL_DIGITS: usize = 19;

fn is_of_number(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
}

fn is_large_integer(token: &[u8]) -> bool {
    let digits = token.strip_prefix(b"-").unwrap_or(token);
    let fits = |text: &str| text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok();
    digits.len() >= SMALL_DIGITS
        && digits.iter().all(u8::is_ascii_digit)
        && !str::from_utf8(token).is_ok_and(fits)
}

fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, last)) = pointer.rsplit_once('/') else {
        return;
    };
    let member = last.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            members.remove(&member);
        }
        Some(Value::Array(items)) => {
            if let Some(index) = member.parse().ok().filter(|index| *index < items.len()) {
                items.remove(index);
            }
        }
        _ => {}
    }
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            if let Some(digits) = digits_of(members) {
                return out.push_str(digits);
            }
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (index, (name, member)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(name, out);
                out.push(':');
                write(member, out);
            }
            out.push('}');
        }
    }
}

/// The digits that [`read`] kept.
fn digits_of(members: &serde_json::Map<String, Value>) -> Option<&str> {
    let digits = members.get(DIGITS).filter(|_| members.len() == 1)?.as_str()?;
    is_large_integer(digits.as_bytes()).then_some(digits)
}

fn write_number(number: &serde_json::Number, out: &mut String) {
    match number.as_f64() {
        Some(float) if number.is_f64() => out.push_str(ryu_js::Buffer::new().format(float)),
        _ => out.push_str(&number.to_string()),
    }
}

/// `serde_json` escapes as RFC 8785 asks.
fn write_text(text: &str, out: &mut String) {
    out.push_str(&Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(json: &str) -> String {
        canonical_without(json.as_bytes(), &[]).expect("JSON")
    }

    fn hash(json: &str) -> InputHash {
        fingerprint(json.as_bytes(), &[]).expect("JSON")
    }

    #[test]
    fn member_order_and_white_space_do_not_count() {
        assert_eq!(hash(r#"{"a":1,"b":[1,2]}"#), hash("{ \"b\" : [1, 2],\n\"a\":1 }"));
        assert_ne!(hash(r#"{"b":[2,1]}"#), hash(r#"{"b":[1,2]}"#));
    }

    #[test]
    fn large_integers_keep_all_their_digits() {
        assert_ne!(hash("9007199254740992"), hash("9007199254740993"));
        for number in [
            "18446744073709551615",
            "18446744073709551617",
            "-170141183460469231731687303715884105728",
        ] {
            assert_eq!(canonical(number), number);
            assert_eq!(
                canonical(&format!(r#"{{"a":[{number},"{number}"]}}"#)),
                format!(r#"{{"a":[{number},"{number}"]}}"#)
            );
        }
        assert_ne!(hash("18446744073709551617"), hash("18446744073709551618"));
        assert_ne!(hash("18446744073709551617"), hash(r#""18446744073709551617""#));
    }

    #[test]
    fn the_form_is_that_of_the_standard() {
        // The example of RFC 8785, section 3.2.2.
        let input = r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
            "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#;
        let wanted = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(canonical(input), wanted);
        // Sorted by UTF-16 code units: a surrogate pair comes before U+FB33.
        assert_eq!(
            canonical("{\"\\ufb33\":1,\"\\ud83d\\ude00\":2}"),
            "{\"😀\":2,\"\u{fb33}\":1}"
        );
    }

    #[test]
    fn a_member_twice_is_refused_where_it_would_be_picked() {
        for twice in [
            r#"{"a":1,"a":1}"#,
            r#"[{"b":{"a":1,"\u0061":2}}]"#,
            "{\"é\":1,\"é\":1}",
        ] {
            let refused = canonical_json(twice.as_bytes(), &[]).expect_err("twice");
            assert_eq!(refused.to_string(), "an object has a member twice");
        }
        let once = canonical_json(br#"{"b":{"a":1},"a":[{"a":1}]}"#, &[]).expect("once");
        assert_eq!(once, br#"{"a":[{"a":1}],"b":{"a":1}}"#);
    }

    #[test]
    fn the_quick_way_leaves_out_what_the_long_one_does() {
        let ignored = ["/a~1b".to_owned(), "/c/d".to_owned()];
        for (json, form) in [
            (r#"{"z":1,"a/b":2}"#, r#"{"z":1}"#),
            (r#"{"z":1,"a\/b":2}"#, r#"{"z":1}"#),
            (r#"{"z":1,"c":{"d":2,"e":3}}"#, r#"{"c":{"e":3},"z":1}"#),
            (r#"{"z":1,"y":0}"#, r#"{"y":0,"z":1}"#),
        ] {
            let made = canonical_json(json.as_bytes(), &ignored).expect("JSON");
            assert_eq!(made, form.as_bytes(), "{json}");
        }
    }

    #[test]
    fn members_that_are_left_out_do_not_count() {
        let ignored = [
            "/sent".to_owned(),
            "/meta/a~1b".to_owned(),
            "/absent/x".to_owned(),
        ];
        let one = fingerprint(br#"{"n":1,"sent":"now","meta":{"a/b":1,"c":2}}"#, &ignored);
        let two = fingerprint(br#"{"n":1,"sent":"then","meta":{"c":2}}"#, &ignored);
        assert_eq!(one.expect("JSON"), two.expect("JSON"));
    }
}
