//! What may a client expect? The policy of keys, and a page for each type of problem.

use std::fmt::Write;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use keystep_http::{Kind, PolicyDocument, Problem, kinds};
use serde::Serialize;

use super::{Api, openapi, problems};

/// The policy of keys: which operations have them, how they are written, how long they are kept.
#[utoipa::path(
    get, path = "/api/v1/idempotency", tag = "what to expect",
    responses((status = 200, description = "The policy.", body = openapi::Policy)),
)]
pub(super) async fn policy(State(api): State<Arc<Api>>) -> Json<PolicyDocument> {
    let doors = &api.doors;
    let operations = [
        doors.create.operation(),
        doors.change.operation(),
        doors.pay.operation(),
    ];
    Json(PolicyDocument::of(&operations, api.policies.lease_ms))
}

/// A type of problem, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    r#type: String,
    title: &'static str,
    status: u16,
    retryable: bool,
    same_key: bool,
    next: &'static str,
}

impl Page {
    fn of(kind: &Kind) -> Self {
        Self {
            r#type: format!("/problems/{}", kind.slug),
            title: kind.title,
            status: kind.status.as_u16(),
            retryable: kind.retryable,
            same_key: kind.same_key,
            next: kind.next,
        }
    }
}

/// What a problem means, and what to do next.
#[utoipa::path(
    get, path = "/problems/{slug}", tag = "what to expect",
    params(("slug" = String, Path, description = "The last part of the problem's type.", example = "offer-stale")),
    responses(
        (
            status = 200, description = "The page.", headers(("Vary" = String)),
            content((openapi::ProblemPage = "application/json"), (String = "text/html; charset=utf-8")),
        ),
        openapi::Explains,
    ),
)]
pub(super) async fn problem(headers: HeaderMap, slug: Result<Path<String>, PathRejection>) -> Response {
    let slug = slug.map_or_else(|_| String::new(), |Path(slug)| slug);
    let Some(kind) = problems::kind(&slug) else {
        return Problem::new(kinds::NOT_FOUND, "There is no such problem.").into_response();
    };
    let page = Page::of(kind);
    if wants_html(&headers) {
        varying(Html(html(kind.title, [page])))
    } else {
        varying(Json(page))
    }
}

/// `GET /problems`: all of them on one page.
pub(super) async fn problems(headers: HeaderMap) -> Response {
    let pages = problems::all().map(Page::of);
    if wants_html(&headers) {
        varying(Html(html("Problems", pages)))
    } else {
        varying(Json(pages.collect::<Vec<_>>()))
    }
}

/// Browsers ask for it by name; programs get JSON.
fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

fn varying(response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    response
        .headers_mut()
        .insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// All texts are our own: nothing that a client wrote gets here.
fn html(title: &str, pages: impl IntoIterator<Item = Page>) -> String {
    let mut text = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <style>body{{font:16px/1.5 sans-serif;max-width:42em;margin:2em auto;padding:0 1em}}</style>"
    );
    for page in pages {
        let Page {
            r#type,
            title,
            status,
            next,
            ..
        } = page;
        let again = match (page.retryable, page.same_key) {
            (true, _) => "The same request with the same key may be sent again.",
            (false, true) => "The key was not used up: it may be sent again with what was mended.",
            (false, false) => "The key is used up, or belongs to another request.",
        };
        let written = write!(
            text,
            "<h1><a href=\"{type}\">{title}</a></h1><p>Status {status}, type <code>{type}</code></p>\
             <p><strong>{next}</strong></p><p>{again}</p>"
        );
        debug_assert!(written.is_ok(), "a text takes whatever is written");
    }
    text
}
