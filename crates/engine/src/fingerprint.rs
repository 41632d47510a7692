//! When are two inputs the same? When their canonical JSON is.
//!
//! The canonical form is that of RFC 8785 (members sorted by UTF-16 code units, shortest escapes,
//! numbers as ECMAScript prints them), except that integers keep all their digits: 2^53 and
//! 2^53 + 1 are different inputs. Pure.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::execution::InputHash;

/// SHA-256 over the canonical form of a JSON document, without the members that `ignored` names
/// (JSON Pointers of RFC 6901).
///
/// # Errors
/// When the bytes are not JSON.
pub(crate) fn fingerprint(json: &[u8], ignored: &[String]) -> Result<InputHash, serde_json::Error> {
    let mut value: Value = serde_json::from_slice(json)?;
    for pointer in ignored {
        remove(&mut value, pointer);
    }
    let mut text = String::with_capacity(json.len());
    write(&value, &mut text);
    Ok(InputHash(Sha256::digest(text.as_bytes()).into()))
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
        let mut text = String::new();
        write(&serde_json::from_str(json).expect("JSON"), &mut text);
        text
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
        assert_eq!(canonical("18446744073709551615"), "18446744073709551615");
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
