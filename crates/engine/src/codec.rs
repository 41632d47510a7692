//! How do values become stored bytes? A header of two bytes, then what the codec makes of JSON.
//!
//! The first byte is the payload format (1, or 2 when outputs of lazy steps ride with it), the second
//! names the codec. A codec turns JSON into
//! bytes and back: encryption and compression are codecs. A stored value that can not be read is
//! an error that parks the execution; it is never a reason to run a step again.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::execution::{Payload, RunId};
use crate::json;

/// A value.
const FORMAT: u8 = 1;
/// A value, and others that were waiting for it.
const FORMAT_WITH_RIDERS: u8 = 2;

/// A decoded value, with those that ride with it.
pub(crate) struct Decoded {
    pub(crate) json: Bytes,
    pub(crate) riders: Vec<(String, Bytes)>,
}

/// How a value and its riders are stored.
#[derive(Serialize, Deserialize)]
struct Bundle<'a> {
    #[serde(borrow)]
    riders: Vec<(String, &'a RawValue)>,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// Turns JSON into the bytes that are stored, and back.
pub trait Codec: Send + Sync + 'static {
    /// Stored in front of every value: a promise. 0 is plain JSON; 1 to 127 are kept for keystep.
    fn id(&self) -> u8;

    /// Encodes JSON.
    ///
    /// # Errors
    /// A text without the value in it; the execution stops before anything is written.
    fn encode(&self, json: Bytes, place: &Place<'_>) -> Result<Bytes, String>;

    /// Decodes to JSON.
    ///
    /// # Errors
    /// A text without the value in it; the execution is parked as unreadable.
    fn decode(&self, bytes: Bytes, place: &Place<'_>) -> Result<Bytes, String>;
}

/// Where a value is stored, for codecs that bind it to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The run it belongs to.
    pub run: RunId,
    /// What it is.
    pub slot: Slot<'a>,
}

/// What a stored value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Slot<'a> {
    /// The input of the execution.
    Input,
    /// The output of this step, or what else is recorded under this name.
    Output(&'a str),
    /// A failure.
    Failure,
    /// The payload of a signal.
    Signal,
    /// The payload of a message.
    Message,
}

/// Plain JSON, the default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

impl Codec for Json {
    fn id(&self) -> u8 {
        0
    }

    fn encode(&self, json: Bytes, _place: &Place<'_>) -> Result<Bytes, String> {
        Ok(json)
    }

    fn decode(&self, bytes: Bytes, _place: &Place<'_>) -> Result<Bytes, String> {
        Ok(bytes)
    }
}

/// The codecs an engine knows: one that writes, and all that it can read.
#[derive(Clone)]
pub(crate) struct Codecs {
    writes: Arc<dyn Codec>,
    reads: HashMap<u8, Arc<dyn Codec>>,
}

impl Default for Codecs {
    fn default() -> Self {
        let json: Arc<dyn Codec> = Arc::new(Json);
        Self {
            writes: Arc::clone(&json),
            reads: HashMap::from([(json.id(), json)]),
        }
    }
}

impl Codecs {
    /// Writes with this codec from now on, and still reads what others wrote.
    pub(crate) fn write_with(&mut self, codec: Arc<dyn Codec>) {
        self.reads.insert(codec.id(), Arc::clone(&codec));
        self.writes = codec;
    }

    pub(crate) fn encode(&self, json: Bytes, place: &Place<'_>) -> Result<Payload, String> {
        self.encode_as(FORMAT, json, place)
    }

    /// A value together with others that were waiting for it.
    pub(crate) fn encode_all(
        &self,
        json: Bytes,
        riders: &[(String, Bytes)],
        place: &Place<'_>,
    ) -> Result<Payload, String> {
        if riders.is_empty() {
            return self.encode(json, place);
        }
        let raw = |json| serde_json::from_slice::<&RawValue>(json).map_err(|error| json::describe(&error));
        let waiting = riders.iter().map(|(name, json)| Ok((name.clone(), raw(json)?)));
        let bundle = Bundle {
            riders: waiting.collect::<Result<_, String>>()?,
            value: raw(&json)?,
        };
        let bundled = serde_json::to_vec(&bundle).map_err(|error| json::describe(&error))?;
        self.encode_as(FORMAT_WITH_RIDERS, bundled.into(), place)
    }

    fn encode_as(&self, format: u8, json: Bytes, place: &Place<'_>) -> Result<Payload, String> {
        let body = self.writes.encode(json, place)?;
        let mut bytes = Vec::with_capacity(body.len() + 2);
        bytes.extend_from_slice(&[format, self.writes.id()]);
        bytes.extend_from_slice(&body);
        Ok(Payload(bytes.into()))
    }

    /// As [`Json`] stores it, which every engine can read.
    pub(crate) fn plain(json: &[u8]) -> Payload {
        Payload([&[FORMAT, Json.id()], json].concat().into())
    }

    /// The value itself.
    pub(crate) fn decode(&self, payload: &Payload, place: &Place<'_>) -> Result<Bytes, String> {
        Ok(self.decode_all(payload, place)?.json)
    }

    /// The value, with what rides with it.
    pub(crate) fn decode_all(&self, payload: &Payload, place: &Place<'_>) -> Result<Decoded, String> {
        let bytes = &payload.0;
        match bytes.get(..2) {
            Some(&[format @ (FORMAT | FORMAT_WITH_RIDERS), id]) => {
                let Some(codec) = self.reads.get(&id) else {
                    return Err(format!(
                        "it was written with codec {id}, which this engine does not have"
                    ));
                };
                let json = codec.decode(bytes.slice(2..), place)?;
                if format == FORMAT {
                    return Ok(Decoded {
                        json,
                        riders: Vec::new(),
                    });
                }
                unbundled(&json)
            }
            Some(&[format, _]) => Err(format!(
                "it has payload format {format}, which this version does not know"
            )),
            _ => Err("it has no header".to_owned()),
        }
    }
}

fn unbundled(json: &Bytes) -> Result<Decoded, String> {
    let bundle: Bundle<'_> = serde_json::from_slice(json).map_err(|error| json::describe(&error))?;
    let owned = |raw: &RawValue| json.slice_ref(raw.get().as_bytes());
    Ok(Decoded {
        json: owned(bundle.value),
        riders: bundle
            .riders
            .into_iter()
            .map(|(name, raw)| (name, owned(raw)))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const PLACE: Place<'static> = Place {
        run: RunId(Uuid::nil()),
        slot: Slot::Input,
    };

    struct Reverse;

    impl Codec for Reverse {
        fn id(&self) -> u8 {
            200
        }

        fn encode(&self, json: Bytes, _place: &Place<'_>) -> Result<Bytes, String> {
            Ok(json.iter().rev().copied().collect())
        }

        fn decode(&self, bytes: Bytes, place: &Place<'_>) -> Result<Bytes, String> {
            self.encode(bytes, place)
        }
    }

    #[test]
    fn stored_bytes_are_a_header_and_what_the_codec_made() {
        let mut codecs = Codecs::default();
        let plain = codecs
            .encode(Bytes::from_static(b"123"), &PLACE)
            .expect("encoded");
        assert_eq!(plain.0, &b"\x01\x00123"[..]);
        codecs.write_with(Arc::new(Reverse));
        let reversed = codecs
            .encode(Bytes::from_static(b"123"), &PLACE)
            .expect("encoded");
        assert_eq!(reversed.0, &b"\x01\xc8321"[..]);
        for payload in [plain, reversed] {
            assert_eq!(codecs.decode(&payload, &PLACE).expect("decoded"), &b"123"[..]);
        }
    }

    #[test]
    fn riders_are_stored_with_the_value_that_they_waited_for() {
        let codecs = Codecs::default();
        let riders = [
            ("a".to_owned(), Bytes::from_static(b"{\"n\":1}")),
            ("b".to_owned(), Bytes::from_static(b"null")),
        ];
        let payload = codecs.encode_all(Bytes::from_static(b"[2]"), &riders, &PLACE);
        let payload = payload.expect("encoded");
        assert_eq!(
            payload.0,
            &b"\x02\x00{\"riders\":[[\"a\",{\"n\":1}],[\"b\",null]],\"value\":[2]}"[..]
        );
        let decoded = codecs.decode_all(&payload, &PLACE).expect("decoded");
        assert_eq!(decoded.json, &b"[2]"[..]);
        assert_eq!(decoded.riders, riders);
        assert_eq!(codecs.decode(&payload, &PLACE).expect("decoded"), &b"[2]"[..]);
    }

    #[test]
    fn bytes_of_an_unknown_codec_or_format_are_an_error() {
        let codecs = Codecs::default();
        for bytes in [&b""[..], b"\x01", b"\x01\x63x", b"\x02\x00x", b"\x03\x00x"] {
            assert!(
                codecs
                    .decode(&Payload(Bytes::from_static(bytes)), &PLACE)
                    .is_err()
            );
        }
    }
}
