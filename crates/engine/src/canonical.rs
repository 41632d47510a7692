//! Which documents are canonical but for the order of their members? Most inputs: what is written by
//! `serde_json` has no white space, and most texts and numbers are written in one way only.
//!
//! The quick way to the canonical form that [`fingerprint`](crate::fingerprint) describes. It copies
//! and sorts, and leaves everything that could be written in another way to the long one. Pure.

/// The canonical form of a document; `None` when the long way has to be taken.
pub(crate) fn canonical(json: &[u8]) -> Option<Vec<u8>> {
    str::from_utf8(json).ok()?;
    let mut form = Form {
        rest: json,
        // The members of an object are copied once more to be sorted.
        out: Vec::with_capacity(2 * json.len()),
        members: Vec::with_capacity(16),
    };
    form.value(DEPTH)?;
    form.rest.is_empty().then_some(form.out)
}

/// Deeper documents take the long way, which knows how deep is too deep.
const DEPTH: usize = 16;

/// Integers of so many digits are written in one way, also by ECMAScript.
const EXACT_DIGITS: usize = 15;

struct Form<'a> {
    rest: &'a [u8],
    out: Vec<u8>,
    /// Of the objects that are open, the innermost last.
    members: Vec<Member<'a>>,
}

/// A member of an object: its name, and where it stands in what was written.
struct Member<'a> {
    name: &'a [u8],
    from: usize,
    to: usize,
}

impl<'a> Form<'a> {
    fn value(&mut self, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match self.rest.first()? {
            b'"' => self.text().map(drop),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'-' | b'0'..=b'9' => self.integer(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            _ => self.word(b"null"),
        }
    }

    /// Copies so many bytes.
    fn copy(&mut self, count: usize) -> &'a [u8] {
        let (copied, rest) = self.rest.split_at(count);
        self.out.extend_from_slice(copied);
        self.rest = rest;
        copied
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest.starts_with(word).then(|| self.copy(word.len()))?;
        Some(())
    }

    /// Whether this byte was next, and was copied.
    fn took(&mut self, byte: u8) -> bool {
        self.word(&[byte]).is_some()
    }

    /// A text without escapes; gives it with its quotes.
    fn text(&mut self) -> Option<&'a [u8]> {
        let inside = self.rest.strip_prefix(b"\"")?;
        let length = inside
            .iter()
            .position(|&byte| byte == b'"' || byte == b'\\' || byte < b' ')?;
        (inside[length] == b'"').then(|| self.copy(length + 2))
    }

    fn integer(&mut self) -> Option<()> {
        let sign = usize::from(self.rest.starts_with(b"-"));
        let digits = self.rest[sign..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let zero = self.rest.get(sign) == Some(&b'0');
        let exact = (1..=EXACT_DIGITS).contains(&digits) && (!zero || (digits == 1 && sign == 0));
        self.copy(sign + digits);
        // A fraction or an exponent is nothing that may follow a value.
        exact.then_some(())
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.word(b"[")?;
        if self.took(b']') {
            return Some(());
        }
        loop {
            self.value(depth)?;
            if !self.took(b',') {
                return self.word(b"]");
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        self.word(b"{")?;
        let (start, outer) = (self.out.len(), self.members.len());
        if self.took(b'}') {
            return Some(());
        }
        loop {
            let from = self.out.len();
            let text = self.text()?;
            let name = &text[1..text.len() - 1];
            self.word(b":")?;
            self.value(depth)?;
            let to = self.out.len();
            self.members.push(Member { name, from, to });
            if !self.took(b',') {
                break;
            }
        }
        self.sort(start, outer)?;
        self.members.truncate(outer);
        self.word(b"}")
    }

    /// Sorts the members from `outer` on, which were written from `start` on.
    fn sort(&mut self, start: usize, outer: usize) -> Option<()> {
        let (out, members) = (&mut self.out, &mut self.members[outer..]);
        // In ASCII, bytes have the order of UTF-16 code units.
        if !members.iter().all(|member| member.name.is_ascii()) {
            return None;
        }
        members.sort_unstable_by_key(|member| member.name);
        if members.windows(2).any(|two| two[0].name == two[1].name) {
            return None;
        }
        let end = out.len();
        for (index, member) in members.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_within(member.from..member.to);
        }
        out.drain(start..end);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;
    use crate::fingerprint::canonical_without;

    /// Documents of which many, but not all, are written in one way only.
    fn document() -> impl Strategy<Value = Value> {
        let text = || prop_oneof!["[a-c !~]{0,3}", "\\PC{0,4}", any::<String>()];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1000_i64..1000).prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((text(), inner), 0..6)
                    .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    fn long_way(json: &str) -> Option<Vec<u8>> {
        let form = canonical_without(json.as_bytes(), &[]).ok()?;
        Some(form.into_bytes())
    }

    proptest! {
        #[test]
        fn the_quick_way_ends_where_the_long_one_does(value in document()) {
            let json = value.to_string();
            if let Some(form) = canonical(json.as_bytes()) {
                prop_assert_eq!(Some(form), long_way(&json));
            }
        }

        /// Also of texts that are no documents, or that nobody would write so.
        #[test]
        fn what_is_no_document_has_no_quick_way(json in r#"[\[\]{}:,"a1.0e \-]{0,12}"#) {
            if let Some(form) = canonical(json.as_bytes()) {
                prop_assert_eq!(Some(form), long_way(&json));
            }
        }
    }

    #[test]
    fn usual_inputs_take_the_quick_way_and_their_members_are_sorted() {
        let json =
            r#"{"order":7,"lines":[{"sku":"ä","count":-2,"co":[]}],"paid":true,"note":null,"empty":{}}"#;
        let form = canonical(json.as_bytes()).map(String::from_utf8);
        let wanted =
            r#"{"empty":{},"lines":[{"co":[],"count":-2,"sku":"ä"}],"note":null,"order":7,"paid":true}"#;
        assert_eq!(form, Some(Ok(wanted.to_owned())));
    }

    #[test]
    fn what_could_be_written_in_another_way_takes_the_long_one() {
        for json in [
            "1.0",
            "1e2",
            "-0",
            "01",
            "1234567890123456",
            r#""\u0041""#,
            r#"{"a":1,"a":2}"#,
            "[1, 2]",
            " 1",
            "1 ",
            r#"{"é":1}"#,
            "\"\u{1}\"",
            "",
            "[",
            r#"{"a"}"#,
            "[1,]",
            "nul",
            "-",
        ] {
            assert_eq!(canonical(json.as_bytes()), None, "{json}");
        }
        let deep = "[".repeat(DEPTH) + &"]".repeat(DEPTH);
        assert!(canonical(deep.as_bytes()).is_some());
        assert_eq!(canonical(format!("[{deep}]").as_bytes()), None);
    }
}
