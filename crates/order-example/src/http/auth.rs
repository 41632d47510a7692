//! Who is asking? Known before anything else of a request is read: whoever shows no valid token learns
//! nothing (401), whoever is blocked neither (403), and what belongs to others is not there (404).

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use keystep_http::{Problem, kinds};

use super::Api;
use crate::hooks::Hooks;
use crate::tokens::{Tokens, User};

/// Decides who is let in.
#[derive(Clone)]
pub struct Gate {
    /// The tokens that were given out.
    pub tokens: Tokens,
    /// Lets tests be anybody; empty in a program that people run.
    pub hooks: Hooks,
}

/// Who asks: the first argument of every handler that shows or changes something of somebody's.
///
/// It is an argument and not a layer, so that a path or a method that does not exist is said first.
pub(super) struct Caller(pub(super) User);

impl Caller {
    /// The owner of what is asked for, and the scope of the request's key.
    pub(super) fn name(&self) -> &str {
        self.0.name()
    }
}

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        api.gate.let_in(&parts.headers).map(Self)
    }
}

/// Who asks at a mount of an older service: those knew no users, so whoever runs this one may let their
/// clients in without a token.
pub(crate) struct Visitor(User);

impl Visitor {
    /// The owner of what is asked for.
    pub(crate) fn name(&self) -> &str {
        self.0.name()
    }
}

impl FromRequestParts<Arc<Api>> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let is_open = api.policies.compat_anonymous || api.gate.hooks.are_open();
        if is_open && !parts.headers.contains_key(header::AUTHORIZATION) {
            return Ok(Self(User::new(ANYBODY)));
        }
        api.gate.let_in(&parts.headers).map(Self)
    }
}

/// The one customer that clients without a token are. A user's name has no `*`.
const ANYBODY: &str = "*";

impl Gate {
    /// Who shows these headers.
    ///
    /// # Errors
    ///
    /// 401 or 403: answer with it.
    pub(crate) fn let_in(&self, headers: &HeaderMap) -> Result<User, Problem> {
        let Some(token) = bearer_token(headers) else {
            return Err(unauthorized(
                "Bearer realm=\"orders\"",
                "Send Authorization: Bearer and a token.",
            ));
        };
        if let Some(user) = self.hooks.user(token) {
            return if self.hooks.is_blocked(&user) {
                Err(forbidden())
            } else {
                Ok(User::new(&user))
            };
        }
        match self.tokens.bearer(token) {
            None => Err(unauthorized(
                "Bearer realm=\"orders\", error=\"invalid_token\"",
                "This token is not known here.",
            )),
            Some(bearer) if bearer.blocked => Err(forbidden()),
            Some(bearer) => Ok(bearer.user.clone()),
        }
    }
}

/// The token of the one `Authorization: Bearer …`.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let line = lines.next()?.to_str().ok()?;
    let (scheme, token) = line.split_once(' ')?;
    let token = token.trim();
    let one = lines.next().is_none() && !token.is_empty();
    (one && scheme.eq_ignore_ascii_case("bearer")).then_some(token)
}

fn unauthorized(challenge: &'static str, detail: &str) -> Problem {
    Problem::new(kinds::UNAUTHORIZED, detail)
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

fn forbidden() -> Problem {
    Problem::new(kinds::FORBIDDEN, "This user is blocked. Nothing was done.")
}
