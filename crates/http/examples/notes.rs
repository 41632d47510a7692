//! Notes with a key: send `POST /notes` twice with one, and there is one note.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::post;
use axum::{Extension, Json, Router};
use keystep::{Engine, StepContext};
use keystep_http::{AfterCrash, Operation};
use keystep_sqlite::SqliteStore;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct NewNote {
    text: String,
}

#[derive(Serialize)]
struct Note {
    id: String,
    text: String,
}

#[derive(Clone)]
struct User(String);

// Your authentication stands here. It is outside of the layer: nobody's requests are not keyed.
async fn authenticate(mut request: Request, next: Next) -> Result<Response, StatusCode> {
    let token = request.headers().get("authorization");
    if token.is_none_or(|token| token != "Bearer secret-of-ann") {
        return Err(StatusCode::UNAUTHORIZED);
    }
    request.extensions_mut().insert(User("ann".to_owned()));
    Ok(next.run(request).await)
}

async fn create(Extension(cx): Extension<StepContext>, Json(new): Json<NewNote>) -> (StatusCode, Json<Note>) {
    // The same when the handler runs again after a crash: store the note under it, or send it on.
    let id = cx.idempotency_key();
    (StatusCode::CREATED, Json(Note { id, text: new.text }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let notes = Operation::post("note.create", "/notes")
        .scope(|request| request.extensions.get::<User>().map(|user| user.0.clone()))
        .after_crash(AfterCrash::Rerun);
    let store = SqliteStore::open("notes.db").await?;
    let engine = Engine::builder(store).schema(notes.schema()).build().await?;
    let app = Router::new()
        .route("/notes", post(create).layer(notes.layer(&engine)))
        .layer(middleware::from_fn(authenticate));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app).await?;
    Ok(())
}
