//! Does the request speak of the version that is current? `If-Match` and `If-None-Match` (RFC 9110, 13).
//!
//! `If-Match` compares strongly: a weak tag matches nothing. `If-None-Match` compares weakly.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::problem::{Problem, kinds};

/// An entity tag: `"…"`, or `W/"…"` for a weak one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag {
    weak: bool,
    opaque: String,
}

impl Tag {
    /// A strong tag.
    ///
    /// # Panics
    /// When the text has a quote, white space, or what is not visible ASCII: it is the server's own.
    #[track_caller]
    pub fn strong(opaque: impl ToString) -> Self {
        Self::checked(false, opaque.to_string())
    }

    /// A weak tag.
    ///
    /// # Panics
    /// As [`strong`](Self::strong).
    #[track_caller]
    pub fn weak(opaque: impl ToString) -> Self {
        Self::checked(true, opaque.to_string())
    }

    #[track_caller]
    fn checked(weak: bool, opaque: String) -> Self {
        let visible = |byte: u8| byte.is_ascii_graphic() && byte != b'"';
        assert!(
            opaque.bytes().all(visible),
            "`{opaque}` can not be in an entity tag"
        );
        Self { weak, opaque }
    }

    /// The text between the quotes.
    pub fn opaque(&self) -> &str {
        &self.opaque
    }

    /// Whether it is a weak one.
    pub fn is_weak(&self) -> bool {
        self.weak
    }

    /// As the header `ETag` has it.
    pub fn to_value(&self) -> HeaderValue {
        let mark = if self.weak { "W/" } else { "" };
        HeaderValue::try_from(format!("{mark}\"{}\"", self.opaque))
            .expect("a tag holds visible characters only")
    }
}

/// The tags that one of the two headers names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tags {
    /// `*`: any that there is.
    Any,
    /// One of these.
    List(Vec<Tag>),
}

impl Tags {
    /// Whether the strong comparison finds the current tag; `None` when there is no such resource.
    pub fn match_strongly(&self, current: Option<&Tag>) -> bool {
        match (self, current) {
            (Self::Any, current) => current.is_some(),
            (Self::List(tags), Some(current)) => !current.weak && tags.iter().any(|tag| tag == current),
            (Self::List(_), None) => false,
        }
    }

    /// Whether the weak comparison finds it.
    pub fn match_weakly(&self, current: Option<&Tag>) -> bool {
        match (self, current) {
            (Self::Any, current) => current.is_some(),
            (Self::List(tags), Some(current)) => tags.iter().any(|tag| tag.opaque == current.opaque),
            (Self::List(_), None) => false,
        }
    }
}

/// Both conditions of a request.
///
/// ```
/// use http::HeaderMap;
/// use keystep_http::{Preconditions, Tag};
///
/// let mut headers = HeaderMap::new();
/// headers.insert("if-match", "\"3\", \"4\"".parse().unwrap());
/// let conditions = Preconditions::of(&headers)?;
/// assert!(conditions.required(Some(&Tag::strong(4))).is_ok());
/// assert_eq!(conditions.required(Some(&Tag::strong(5))).unwrap_err().status(), 412);
/// # Ok::<(), keystep_http::Problem>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preconditions {
    /// `If-Match`.
    pub if_match: Option<Tags>,
    /// `If-None-Match`.
    pub if_none_match: Option<Tags>,
}

impl Preconditions {
    /// Reads both headers.
    ///
    /// # Errors
    /// [`MALFORMED_PRECONDITION`](kinds::MALFORMED_PRECONDITION): answer with it.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self {
            if_match: read(headers, &header::IF_MATCH)?,
            if_none_match: read(headers, &header::IF_NONE_MATCH)?,
        })
    }

    /// Checks the conditions of a request that changes something; one without `If-Match` passes.
    ///
    /// # Errors
    /// [`VERSION_MISMATCH`](kinds::VERSION_MISMATCH), 412, with `ETag` and the member `current`.
    pub fn optional(&self, current: Option<&Tag>) -> Result<(), Problem> {
        let holds = self
            .if_match
            .as_ref()
            .is_none_or(|tags| tags.match_strongly(current));
        let absent = self
            .if_none_match
            .as_ref()
            .is_none_or(|tags| !tags.match_weakly(current));
        if holds && absent {
            return Ok(());
        }
        let problem = Problem::new(
            kinds::VERSION_MISMATCH,
            "It is not the version that the request names.",
        );
        Err(match current {
            Some(tag) => problem
                .header(header::ETAG, tag.to_value())
                .member("current", tag.opaque()),
            None => problem,
        })
    }

    /// As [`optional`](Self::optional), but `If-Match` must be there.
    ///
    /// # Errors
    /// [`PRECONDITION_REQUIRED`](kinds::PRECONDITION_REQUIRED), 428, and as there.
    pub fn required(&self, current: Option<&Tag>) -> Result<(), Problem> {
        if self.if_match.is_none() {
            let detail = "Send If-Match with the version that the request is about.";
            return Err(Problem::new(kinds::PRECONDITION_REQUIRED, detail));
        }
        self.optional(current)
    }

    /// Whether a `GET` or `HEAD` is answered with 304: the client has the current version.
    pub fn is_not_modified(&self, current: &Tag) -> bool {
        self.if_none_match
            .as_ref()
            .is_some_and(|tags| tags.match_weakly(Some(current)))
    }
}

/// The lines of one header, taken together as a list.
fn read(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    if !headers.contains_key(name) {
        return Ok(None);
    }
    let malformed = || {
        let detail = format!("{name} must be * or a list of tags in double quotes.");
        Problem::new(kinds::MALFORMED_PRECONDITION, detail)
    };
    let lines: Vec<&str> = headers
        .get_all(name)
        .iter()
        .map(HeaderValue::to_str)
        .collect::<Result<_, _>>()
        .map_err(|_not_ascii| malformed())?;
    let text = lines.join(",");
    if text.trim_matches([' ', '\t']) == "*" {
        return Ok(Some(Tags::Any));
    }
    let tags = list(&text)
        .filter(|tags| !tags.is_empty())
        .ok_or_else(malformed)?;
    Ok(Some(Tags::List(tags)))
}

/// `#entity-tag`: empty elements are allowed and do not count. A tag may contain commas.
fn list(mut rest: &str) -> Option<Vec<Tag>> {
    let mut tags = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(tags);
        }
        let (weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let (opaque, after) = quoted.strip_prefix('"')?.split_once('"')?;
        if !opaque.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        tags.push(Tag {
            weak,
            opaque: opaque.to_owned(),
        });
        rest = after.trim_start_matches([' ', '\t']);
        if !(rest.is_empty() || rest.starts_with(',')) {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(name: &'static str, lines: &[&str]) -> Result<Preconditions, &'static str> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_str(line).expect("ASCII"));
        }
        Preconditions::of(&headers).map_err(|problem| problem.kind().slug)
    }

    fn if_match(lines: &[&str], current: Option<&Tag>) -> u16 {
        match conditions("if-match", lines).expect("tags").required(current) {
            Ok(()) => 200,
            Err(problem) => problem.status().as_u16(),
        }
    }

    #[test]
    fn if_match_compares_strongly() {
        let three = Tag::strong(3);
        assert_eq!(if_match(&["\"3\""], Some(&three)), 200);
        assert_eq!(if_match(&["\"2\" , \"3\""], Some(&three)), 200);
        assert_eq!(if_match(&["\"2\"", "\"3\""], Some(&three)), 200, "two lines");
        assert_eq!(if_match(&["*"], Some(&three)), 200);
        assert_eq!(if_match(&["*"], None), 412);
        assert_eq!(if_match(&["W/\"3\""], Some(&three)), 412);
        assert_eq!(if_match(&["\"3\""], Some(&Tag::weak(3))), 412);
        assert_eq!(if_match(&["\"4\""], Some(&three)), 412);
        assert_eq!(if_match(&[], Some(&three)), 428);
    }

    #[test]
    fn a_tag_may_hold_a_comma() {
        assert_eq!(if_match(&["\"a,b\",\"c\""], Some(&Tag::strong("a,b"))), 200);
    }

    #[test]
    fn if_none_match_compares_weakly() {
        let read = |line| conditions("if-none-match", &[line]).expect("tags");
        for line in ["\"3\"", "W/\"3\"", "*", "\"1\", W/\"3\""] {
            assert!(read(line).is_not_modified(&Tag::strong(3)), "{line}");
            assert!(read(line).optional(Some(&Tag::strong(3))).is_err(), "{line}");
        }
        assert!(!read("\"4\"").is_not_modified(&Tag::strong(3)));
        assert!(
            read("*").optional(None).is_ok(),
            "only where there is nothing yet"
        );
    }

    #[test]
    fn what_is_no_list_of_tags_is_malformed() {
        for bad in [
            "",
            ",",
            "3",
            "\"3",
            "3\"",
            "w/\"3\"",
            "\"a\" \"b\"",
            "\"a\"b",
            "*, \"3\"",
            "\"a b\"",
            "W/3",
        ] {
            assert_eq!(
                conditions("if-match", &[bad]),
                Err("malformed-precondition"),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_mismatch_says_what_is_current() {
        let refused = conditions("if-match", &["\"1\""])
            .expect("tags")
            .required(Some(&Tag::strong(2)));
        let response: http::Response<bytes::Bytes> = refused.expect_err("stale").into_response();
        assert_eq!(response.headers()[header::ETAG], "\"2\"");
        let body: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
        assert_eq!(body["current"], "2");
    }
}
