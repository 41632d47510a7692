//! Who may use the service? Whoever shows a token that the operator has given out.
//!
//! Only hashes are kept: `ORDERS_TOKENS` names a file with a line for each token, the SHA-256 of the
//! token in hexadecimal, the user, and `blocked` if it may not be used now:
//!
//! ```text
//! # made with: order-example token alice
//! 5d5b09f6dcb2d53a5fffc60c4ac0d55fabdf556069d6631545f42aa6e3500f2e alice
//! ```
//!
//! Tokens are long and random, so a plain hash of them can not be guessed; a password's could.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// The user of a service without a file of tokens.
pub const DEMO_USER: &str = "demo";

/// Somebody the service knows. The name never comes from anything but a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct User(Arc<str>);

impl User {
    /// A user of this name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name: the scope of the user's keys, the owner of the user's orders.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// Whose it is.
    pub user: User,
    /// Whether the operator has blocked it.
    pub blocked: bool,
}

/// All tokens that are given out. Cheap to clone.
#[derive(Clone)]
pub struct Tokens(Arc<[(Hash, Bearer)]>);

/// SHA-256 of a token.
type Hash = [u8; 32];

impl Tokens {
    /// Reads a file of hashed tokens.
    ///
    /// # Errors
    ///
    /// It can not be read, names nobody, or has a line that is no token; the error says which line,
    /// and nothing of what is in it.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let what = || format!("read the tokens in {}", path.display());
        let text = fs::read_to_string(path).with_context(what)?;
        Self::parse(&text).with_context(what)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut tokens = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let token = parse_line(line);
            tokens.push(token.with_context(|| {
                let number = at + 1;
                format!("line {number} is not: SHA-256 in hexadecimal, user, and maybe `blocked`")
            })?);
        }
        ensure!(
            !tokens.is_empty(),
            "nobody has a token, so nobody could use the service"
        );
        Ok(Self(tokens.into()))
    }

    /// One demo user with a token made now, and the token: it is shown once and kept nowhere.
    pub fn demo() -> (Self, String) {
        let token = fresh_token();
        let bearer = Bearer {
            user: User::new(DEMO_USER),
            blocked: false,
        };
        (Self([(hash(&token), bearer)].into()), token)
    }

    /// What a token says; `None` for one that was not given out.
    pub fn bearer(&self, token: &str) -> Option<&Bearer> {
        let shown = hash(token);
        // Each is looked at, found or not, so that the time tells nothing.
        let mut found = u64::MAX;
        for ((known, _), at) in self.0.iter().zip(0_u64..) {
            let same: Choice = known.ct_eq(&shown);
            found.conditional_assign(&at, same);
        }
        let at = usize::try_from(found).ok()?;
        self.0.get(at).map(|(_, bearer)| bearer)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

/// A token for a user, and the line for the file that lets it in.
pub fn token_for(user: &str) -> anyhow::Result<(String, String)> {
    ensure!(
        is_user(user),
        "a user's name has 1 to 64 of a-z, A-Z, 0-9, `.`, `_`, `-`"
    );
    let token = fresh_token();
    let line = format!("{} {user}", hex(&hash(&token)));
    Ok((token, line))
}

/// 244 random bits.
fn fresh_token() -> String {
    let random = keystep::random::unpredictable;
    format!("{}{}", random().simple(), random().simple())
}

fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

fn parse_line(line: &str) -> Option<(Hash, Bearer)> {
    let mut words = line.split_whitespace();
    let hash = unhex(words.next()?)?;
    let user = words.next().filter(|user| is_user(user))?;
    let blocked = match words.next() {
        None => false,
        Some("blocked") => true,
        Some(_) => return None,
    };
    let user = User::new(user);
    words.next().is_none().then_some((hash, Bearer { user, blocked }))
}

fn is_user(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Hash> {
    let digits: Vec<u8> = text
        .bytes()
        .map(|byte| {
            char::from(byte)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect();
    (digits.len() == 64).then(|| bytes.try_into().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_was_given_out_says_whose_it_is() {
        let (alice, line) = token_for("alice").expect("a token");
        let (bob, other) = token_for("bob").expect("a token");
        let tokens = Tokens::parse(&format!("# people\n\n{line}\n  {other} blocked\n")).expect("reads");
        let bearer = tokens.bearer(&alice).expect("known");
        assert_eq!((bearer.user.name(), bearer.blocked), ("alice", false));
        let bearer = tokens.bearer(&bob).expect("known");
        assert_eq!((bearer.user.name(), bearer.blocked), ("bob", true));
        for stranger in ["", "alice", &alice[1..], &alice.to_uppercase()] {
            assert_eq!(tokens.bearer(stranger), None);
        }
        assert_ne!(alice, bob);
    }

    #[test]
    fn the_hash_is_the_one_that_sha256sum_prints() {
        assert_eq!(
            hex(&hash("hello")),
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        );
    }

    #[test]
    fn a_file_that_is_not_understood_whole_is_refused() {
        let hash = "a".repeat(64);
        for bad in [
            String::new(),
            "# nobody".into(),
            "alice".into(),
            hash.clone(),
            format!("{} alice", &hash[1..]),
            format!("{hash}a alice"),
            format!("{hash} alice locked"),
            format!("{hash} alice blocked now"),
            format!("{hash} al/ice"),
        ] {
            let error = Tokens::parse(&bad).expect_err(&bad);
            assert!(!format!("{error:#}").contains("alice"), "{error:#}");
        }
    }

    #[test]
    fn the_demo_user_has_a_token_of_its_own_each_time() {
        let (tokens, token) = Tokens::demo();
        assert_eq!(tokens.bearer(&token).expect("known").user.name(), DEMO_USER);
        let (_, other) = Tokens::demo();
        assert_eq!(tokens.bearer(&other), None);
    }
}
