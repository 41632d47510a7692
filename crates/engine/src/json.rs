//! Which values survive being stored? JSON in and out, with the traps closed.
//!
//! `serde_json` turns NaN and infinities into `null` without a word, also inside an `Option`. The
//! [`Finite`] serializer stands in front of it and refuses them. Small values are also read back
//! and compared before they count, so that a value that can not be read is found by the run that
//! made it and not by the one that needs it.

use std::collections::HashSet;
use std::{fmt, io};

use bytes::Bytes;
use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{self, Serializer};
use serde::{Deserialize, Serialize};

/// Why a value can not be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// JSON has no such value.
    #[error("{0}")]
    NotJson(String),
    /// What was written reads back as something else.
    #[error("it does not survive a round trip through JSON: {0}")]
    RoundTrip(String),
}

impl ValueError {
    /// The failure code for outputs.
    pub(crate) const CODE: &'static str = "unstorable_output";
}

/// Encodes a value as JSON.
///
/// # Errors
/// [`ValueError::NotJson`] for NaN, infinities, map keys that are no text, and the like.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, ValueError> {
    let mut bytes = Vec::with_capacity(128);
    encode_into(value, &mut bytes)?;
    Ok(bytes.into())
}

fn encode_into<T: Serialize + ?Sized>(value: &T, to: impl io::Write) -> Result<(), ValueError> {
    let mut serializer = serde_json::Serializer::new(to);
    value
        .serialize(Finite(&mut serializer))
        .map_err(|error| ValueError::NotJson(describe(&error)))
}

/// Encodes a value and, up to `check_bytes`, reads it back and compares.
///
/// # Errors
/// As [`encode`], and [`ValueError::RoundTrip`].
pub(crate) fn encode_checked<T>(value: &T, check_bytes: usize) -> Result<Bytes, ValueError>
where
    T: Serialize + DeserializeOwned,
{
    let bytes = encode(value)?;
    if bytes.len() <= check_bytes {
        let back: T =
            serde_json::from_slice(&bytes).map_err(|error| ValueError::RoundTrip(describe(&error)))?;
        let mut same = Same(Some(&bytes));
        encode_into(&back, &mut same)?;
        if same.0 != Some(&[]) && !same_document(&encode(&back)?, &bytes) {
            return Err(ValueError::RoundTrip("it reads back as another value".into()));
        }
    }
    Ok(bytes)
}

/// Takes what is written and compares it: what is left of the expected, `None` once it differs.
struct Same<'a>(Option<&'a [u8]>);

impl io::Write for Same<'_> {
    fn write(&mut self, written: &[u8]) -> io::Result<usize> {
        self.0 = self.0.and_then(|expected| expected.strip_prefix(written));
        Ok(written.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hash maps give their members in any order; only then are the documents compared as values.
fn same_document(a: &[u8], b: &[u8]) -> bool {
    let parse = |bytes| serde_json::from_slice::<serde_json::Value>(bytes).ok();
    parse(a).is_some() && parse(a) == parse(b)
}

/// Refuses a document in which an object has a member twice.
///
/// # Errors
/// [`ValueError::NotJson`], also when it is not JSON at all.
pub(crate) fn refuse_members_twice(json: &[u8]) -> Result<(), ValueError> {
    match serde_json::from_slice::<NoMemberTwice>(json) {
        Ok(NoMemberTwice) => Ok(()),
        // The only data error there is.
        Err(error) if error.classify() == serde_json::error::Category::Data => {
            Err(ValueError::NotJson("an object has a member twice".to_owned()))
        }
        Err(error) => Err(ValueError::NotJson(describe(&error))),
    }
}

/// Any JSON in which no object has a member twice.
struct NoMemberTwice;

impl<'de> Deserialize<'de> for NoMemberTwice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for NoMemberTwice {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            members.next_value::<Self>()?;
            if !seen.insert(name) {
                return Err(de::Error::custom("a member twice"));
            }
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self, A::Error> {
        while elements.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
}

/// An error of `serde_json` without the value in it: payloads never reach a log or an error text.
pub(crate) fn describe(error: &serde_json::Error) -> String {
    let place = format!("line {} column {}", error.line(), error.column());
    match error.classify() {
        serde_json::error::Category::Data if error.line() > 0 => {
            format!("{} at {place}", wanted(error))
        }
        serde_json::error::Category::Data => unplaced(error),
        serde_json::error::Category::Syntax => format!("not valid JSON at {place}"),
        serde_json::error::Category::Eof => "the JSON ends too early".to_owned(),
        serde_json::error::Category::Io => "the JSON could not be written".to_owned(),
    }
}

/// The part of a data error that names types and fields of the program, not values of the payload:
/// `invalid type: string "secret", expected u64` becomes `expected u64`.
fn wanted(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&place).unwrap_or(&text);
    if text.starts_with("missing field `") {
        return text.to_owned();
    }
    // Only serde's own sentences have the value in front and the type behind; what else a type's
    // `Deserialize` may say is not known.
    let known = [
        "invalid type: ",
        "invalid value: ",
        "invalid length ",
        "unknown variant `",
        "unknown field `",
    ];
    match text.rsplit_once(", expected ") {
        Some((_value, expected)) if known.iter().any(|start| text.starts_with(start)) => {
            format!("expected {expected}")
        }
        _ => "a value does not fit its type".to_owned(),
    }
}

/// An error of writing, or of a type's own `Deserialize`: only texts of known origin are repeated.
fn unplaced(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let known = [NOT_FINITE, "key must be a string", "float key must be finite"];
    if known.iter().any(|start| text.starts_with(start)) {
        return text;
    }
    "a value is refused by its type".to_owned()
}

const NOT_FINITE: &str = "NaN and infinities have no place in JSON: use an Option or a text";

/// Passes everything on to another serializer, but refuses numbers that JSON does not have.
struct Finite<S>(S);

/// A value behind [`Finite`], for the members of compound values.
struct FiniteValue<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Serialize for FiniteValue<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Finite(serializer))
    }
}

fn not_finite<E: ser::Error>() -> E {
    E::custom(NOT_FINITE)
}

macro_rules! pass {
    ($($method:ident($type:ty)),* $(,)?) => {$(
        fn $method(self, value: $type) -> Result<S::Ok, S::Error> {
            self.0.$method(value)
        }
    )*};
}

impl<S: Serializer> Serializer for Finite<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Finite<S::SerializeSeq>;
    type SerializeTuple = Finite<S::SerializeTuple>;
    type SerializeTupleStruct = Finite<S::SerializeTupleStruct>;
    type SerializeTupleVariant = Finite<S::SerializeTupleVariant>;
    type SerializeMap = Finite<S::SerializeMap>;
    type SerializeStruct = Finite<S::SerializeStruct>;
    type SerializeStructVariant = Finite<S::SerializeStructVariant>;

    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            self.0.serialize_f32(value)
        } else {
            Err(not_finite())
        }
    }

    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            self.0.serialize_f64(value)
        } else {
            Err(not_finite())
        }
    }

    pass! {
        serialize_bool(bool), serialize_i8(i8), serialize_i16(i16), serialize_i32(i32),
        serialize_i64(i64), serialize_i128(i128), serialize_u8(u8), serialize_u16(u16),
        serialize_u32(u32), serialize_u64(u64), serialize_u128(u128), serialize_char(char),
        serialize_str(&str), serialize_bytes(&[u8]), serialize_unit_struct(&'static str),
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_none()
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_some(&FiniteValue(value))
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_struct(name, &FiniteValue(value))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0
            .serialize_newtype_variant(name, index, variant, &FiniteValue(value))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.0.serialize_seq(len).map(Finite)
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.0.serialize_tuple(len).map(Finite)
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.0.serialize_tuple_struct(name, len).map(Finite)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.0
            .serialize_tuple_variant(name, index, variant, len)
            .map(Finite)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        self.0.serialize_map(len).map(Finite)
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, S::Error> {
        self.0.serialize_struct(name, len).map(Finite)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.0
            .serialize_struct_variant(name, index, variant, len)
            .map(Finite)
    }
}

macro_rules! pass_members {
    ($($trait:ident: $method:ident),* $(,)?) => {$(
        impl<S: ser::$trait> ser::$trait for Finite<S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
                self.0.$method(&FiniteValue(value))
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.0.end()
            }
        }
    )*};
}

pass_members! {
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field,
}

macro_rules! pass_fields {
    ($($trait:ident),* $(,)?) => {$(
        impl<S: ser::$trait> ser::$trait for Finite<S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), S::Error> {
                self.0.serialize_field(key, &FiniteValue(value))
            }

            fn skip_field(&mut self, key: &'static str) -> Result<(), S::Error> {
                self.0.skip_field(key)
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.0.end()
            }
        }
    )*};
}

pass_fields! { SerializeStruct, SerializeStructVariant }

impl<S: ser::SerializeMap> ser::SerializeMap for Finite<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        // A float as a key becomes text; the same rule holds for it.
        self.0.serialize_key(&FiniteValue(key))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        self.0.serialize_value(&FiniteValue(value))
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Price {
        net: Option<f64>,
    }

    #[derive(Serialize, Deserialize)]
    struct Forgetful {
        kept: u8,
        #[serde(default, skip_deserializing)]
        lost: u8,
    }

    #[test]
    fn a_number_that_json_does_not_have_is_refused_wherever_it_hides() {
        let nan = f64::NAN;
        assert!(encode(&nan).is_err());
        assert!(encode(&Price { net: Some(nan) }).is_err());
        assert!(encode(&vec![(1, f32::INFINITY)]).is_err());
        assert!(encode(&HashMap::from([("a", Some(nan))])).is_err());
        assert!(encode(&Price { net: None }).is_ok());
    }

    #[test]
    fn a_value_that_reads_back_differently_is_refused() {
        let value = Forgetful { kept: 1, lost: 2 };
        assert!(matches!(
            encode_checked(&value, 1024),
            Err(ValueError::RoundTrip(_))
        ));
        assert!(
            encode_checked(&value, 0).is_ok(),
            "larger than the limit: not read back"
        );
    }

    #[test]
    fn the_order_of_a_hash_map_does_not_count() {
        let map: HashMap<u32, u32> = (0..100).map(|n| (n, n)).collect();
        for _round in 0..20 {
            encode_checked(&map, 1 << 20).expect("a map survives");
        }
    }

    #[test]
    fn an_error_text_does_not_repeat_a_value_that_looks_like_an_error() {
        let error = serde_json::from_str::<u64>(r#""x, expected canary at line 1""#).expect_err("no number");
        assert!(!describe(&error).contains("canary"), "{}", describe(&error));

        #[derive(Debug)]
        struct Strict;
        impl<'de> Deserialize<'de> for Strict {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Err(serde::de::Error::custom(format!("bad value, expected no {text}")))
            }
        }
        let error = serde_json::from_str::<Strict>(r#""canary""#).expect_err("always");
        assert!(!describe(&error).contains("canary"), "{}", describe(&error));
    }

    #[test]
    fn an_error_text_does_not_repeat_the_value() {
        let error = serde_json::from_str::<u64>("\"canary\"").expect_err("no number");
        assert!(!describe(&error).contains("canary"), "{}", describe(&error));
        assert!(describe(&error).contains("expected u64"));
    }
}
