//! Which schemas has this binary of a deploy? For each change the old one, the new one, or both.
//!
//! Every step checks what it is given: see [`marked`].

pub(crate) mod marked;
pub(crate) mod stamps;

use std::sync::Arc;

use keystep::{Schema, SchemaBuilder, StepContext};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::protocol::Trail;
use crate::releases::{Change, Fate, Part, Release, Tag, shape};
use marked::Maker;
use stamps::{Seal, Stamp};

/// The schemas of a release, by the name that a test uses. A binary that knows both shapes begins
/// executions in the new one; the old one is `NAME/old`.
pub(crate) fn schemas(release: Release) -> Vec<(String, Schema<Trail, Trail>)> {
    let mut all = Vec::new();
    for change in Change::ALL {
        let born = if release == Release::Old {
            Release::Old
        } else {
            Release::New
        };
        all.push((change.schema().to_owned(), schema(change, born)));
        // Where the shape is the same only one can be registered.
        if release == Release::Both && change.fate() == Fate::Waits {
            let name = format!("{}/old", change.schema());
            all.push((name, schema(change, Release::Old)));
        }
    }
    all
}

fn schema(change: Change, born: Release) -> Schema<Trail, Trail> {
    let plan = change.plan(born);
    let maker = Arc::new(Maker {
        shape: shape(&plan),
        code: born.word().to_owned(),
        ..Maker::default()
    });
    match (change, born) {
        (Change::FieldAdded, Release::New) => between::<Noted>(change.schema(), &maker, &plan),
        (Change::TypeChanged, Release::New) => between::<Wrapped>(change.schema(), &maker, &plan),
        _ => plain(change.schema(), &maker, &plan),
    }
}

/// All outputs are trails.
pub(crate) fn plain(name: &str, maker: &Arc<Maker>, plan: &[Part]) -> Schema<Trail, Trail> {
    let first = Arc::clone(maker);
    let start = Schema::new(name).step(plan[0].name(), move |cx, trail| Arc::clone(&first).run(cx, trail));
    rest(start, maker, plan, 1)
}

/// The first output is a `W`.
fn between<W>(name: &str, maker: &Arc<Maker>, plan: &[Part]) -> Schema<Trail, Trail>
where
    W: From<Trail> + Into<Trail> + Serialize + DeserializeOwned + Send + 'static,
{
    let (first, second) = (Arc::clone(maker), Arc::clone(maker));
    let gives = move |cx: StepContext, trail: Trail| {
        let done = Arc::clone(&first).run(cx, trail);
        async move { done.await.map(W::from) }
    };
    let takes = move |cx: StepContext, w: W| Arc::clone(&second).run(cx, w.into());
    let start = Schema::new(name)
        .step(plan[0].name(), gives)
        .step(plan[1].name(), takes);
    rest(start, maker, plan, 2)
}

/// A trail with a field more, which old ones lack.
#[derive(Serialize, Deserialize)]
struct Noted {
    #[serde(flatten)]
    trail: Trail,
    #[serde(default)]
    note: Option<String>,
}

impl From<Trail> for Noted {
    fn from(trail: Trail) -> Self {
        let note = Some("new in this release".to_owned());
        Self { trail, note }
    }
}

impl From<Noted> for Trail {
    fn from(noted: Noted) -> Self {
        noted.trail
    }
}

/// A trail that can not be read as one, nor the other way round.
#[derive(Serialize, Deserialize)]
struct Wrapped {
    wrapped: Trail,
}

impl From<Trail> for Wrapped {
    fn from(wrapped: Trail) -> Self {
        Self { wrapped }
    }
}

impl From<Wrapped> for Trail {
    fn from(wrapped: Wrapped) -> Self {
        wrapped.wrapped
    }
}

/// The steps from this position on, at least one.
fn rest<W>(
    start: SchemaBuilder<Trail, W, Trail>,
    maker: &Arc<Maker>,
    plan: &[Part],
    from: usize,
) -> Schema<Trail, Trail> {
    let mut pairs = plan.iter().skip(from - 1).zip(&plan[from..]);
    let (before, part) = pairs.next().expect("a step");
    let chain = pairs.fold(one(start, maker, before, part), |chain, (before, part)| {
        one(chain, maker, before, part)
    });
    chain.build()
}

fn one<W>(
    chain: SchemaBuilder<Trail, W, Trail>,
    maker: &Arc<Maker>,
    before: &Part,
    part: &Part,
) -> SchemaBuilder<Trail, Trail, Trail> {
    let after = before.name().to_owned();
    match *part {
        Part::Code(name) => {
            let maker = Arc::clone(maker);
            chain.step(name, move |cx, trail| Arc::clone(&maker).run(cx, trail))
        }
        Part::Stored(name, Tag::Stamp, ink) => chain.stored_step(name, Stamp::new(after, ink)),
        Part::Stored(name, Tag::Seal, ink) => chain.stored_step(name, Seal(Stamp::new(after, ink))),
    }
}
