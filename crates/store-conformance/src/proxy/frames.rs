//! What does a client say to a PostgreSQL server? Its messages, one by one, and which statement each
//! of them executes.
//!
//! The format is the frontend protocol 3.0 of PostgreSQL's documentation ("Message Formats"): one
//! byte for the kind, then a length that counts itself. Only the first messages, up to the start-up,
//! have no kind.

use std::collections::HashMap;

/// A whole message, as it goes over the wire.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) bytes: Vec<u8>,
    /// The text of the statement that the message executes.
    pub(super) executes: Option<String>,
}

/// Cuts a client's stream into messages.
#[derive(Debug, Default)]
pub(super) struct Frames {
    waiting: Vec<u8>,
    started: bool,
    /// Texts by the names that the client gave them.
    prepared: HashMap<Vec<u8>, String>,
}

/// The protocol's number in the start-up message. Others without a kind ask for encryption or for
/// the end of a statement, and are answered before the start-up.
const VERSION_3: u32 = 3 << 16;

impl Frames {
    /// Takes in what was read.
    pub(super) fn push(&mut self, read: &[u8]) {
        self.waiting.extend_from_slice(read);
    }

    /// The next message that is complete.
    pub(super) fn next(&mut self) -> Option<Frame> {
        let kind = usize::from(self.started);
        let length = number(self.waiting.get(kind..kind + 4)?);
        let end = kind + usize::try_from(length).ok()?;
        if self.waiting.len() < end {
            return None;
        }
        let rest = self.waiting.split_off(end);
        let bytes = std::mem::replace(&mut self.waiting, rest);
        let executes = if self.started {
            self.executed(bytes[0], &bytes[5..])
        } else {
            self.started = bytes.get(4..8).is_some_and(|code| number(code) == VERSION_3);
            None
        };
        Some(Frame { bytes, executes })
    }

    fn executed(&mut self, kind: u8, body: &[u8]) -> Option<String> {
        let mut strings = body.split(|byte| *byte == 0);
        let mut string = || strings.next().unwrap_or_default();
        match kind {
            b'Q' => Some(text(string())),
            b'P' => {
                let name = string().to_vec();
                self.prepared.insert(name, text(string()));
                None
            }
            b'B' => {
                let _portal = string();
                self.prepared.get(string()).cloned()
            }
            _ => None,
        }
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0, |number, byte| (number << 8) | u32::from(*byte))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether a server's answer is complete: it ends with `ReadyForQuery`.
pub(super) fn is_complete(answer: &[u8]) -> bool {
    let end = answer.len().saturating_sub(6);
    answer[end..].starts_with(&[b'Z', 0, 0, 0, 5])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &[u8], body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
        [kind, &length, body].concat()
    }

    #[test]
    fn a_stream_is_cut_into_messages_wherever_it_is_torn() {
        let startup = message(b"", &[&VERSION_3.to_be_bytes()[..], b"user\0me\0\0"].concat());
        let ask_for_tls = message(b"", &80_877_103_u32.to_be_bytes());
        let parse = message(b"P", b"s1\0SELECT 1\0\0\0");
        let bind = message(b"B", b"\0s1\0\0\0\0\0\0\0");
        let query = message(b"Q", b"COMMIT\0");
        let stream = [ask_for_tls, startup, parse, bind, query].concat();
        let mut frames = Frames::default();
        let mut executed = Vec::new();
        let mut passed = Vec::new();
        for byte in &stream {
            frames.push(&[*byte]);
            while let Some(frame) = frames.next() {
                passed.extend(frame.bytes);
                executed.push(frame.executes);
            }
        }
        assert_eq!(passed, stream);
        let texts = [None, None, None, Some("SELECT 1"), Some("COMMIT")];
        assert_eq!(executed, texts.map(|text| text.map(str::to_owned)));
    }

    #[test]
    fn an_answer_is_complete_when_the_server_is_ready_again() {
        let ready = message(b"Z", b"I");
        assert!(is_complete(&ready));
        assert!(is_complete(&[message(b"C", b"COMMIT\0"), ready].concat()));
        assert!(!is_complete(&message(b"C", b"COMMIT\0")));
        assert!(!is_complete(b"N"));
    }
}
