//! How do values become stored bytes? A header of two bytes, then what the codec makes of JSON.
//!
//! The first byte is the payload format (1), the second names the codec. A codec turns JSON into
//! bytes and back: encryption and compression are codecs. A stored value that can not be read is
//! an error that parks the execution; it is never a reason to run a step again.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::execution::{Payload, RunId};

const FORMAT: u8 = 1;

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
    /// The output of this step.
    Output(&'a str),
    /// A failure.
    Failure,
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
        let body = self.writes.encode(json, place)?;
        let mut bytes = Vec::with_capacity(body.len() + 2);
        bytes.extend_from_slice(&[FORMAT, self.writes.id()]);
        bytes.extend_from_slice(&body);
        Ok(Payload(bytes.into()))
    }

    /// As [`Json`] stores it, which every engine can read.
    pub(crate) fn plain(json: &[u8]) -> Payload {
        Payload([&[FORMAT, Json.id()], json].concat().into())
    }

    pub(crate) fn decode(&self, payload: &Payload, place: &Place<'_>) -> Result<Bytes, String> {
        let bytes = &payload.0;
        match bytes.get(..2) {
            Some(&[FORMAT, id]) => match self.reads.get(&id) {
                Some(codec) => codec.decode(bytes.slice(2..), place),
                None => Err(format!(
                    "it was written with codec {id}, which this engine does not have"
                )),
            },
            Some(&[format, _]) => Err(format!(
                "it has payload format {format}, which this version does not know"
            )),
            _ => Err("it has no header".to_owned()),
        }
    }
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
    fn bytes_of_an_unknown_codec_or_format_are_an_error() {
        let codecs = Codecs::default();
        for bytes in [&b""[..], b"\x01", b"\x01\x63x", b"\x02\x00x"] {
            assert!(
                codecs
                    .decode(&Payload(Bytes::from_static(bytes)), &PLACE)
                    .is_err()
            );
        }
    }
}
