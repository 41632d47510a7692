//! Which schemas has this binary of a deploy? For each change the old one, the new one, or both.
//!
//! Every step checks what it is given: see [`marked`].

pub(crate) mod marked;
pub(crate) mod stamps;

use std::sync::Arc;
use std::time::Duration;

use keystep::{Schema, SchemaBuilder, SchemaStart, StepContext, Verified};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::protocol::Trail;
use crate::releases::{Change, Fate, LAZY, Part, Release, Tag, shape};
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
        if release == Release::Both && change.fate(Release::Old) == Fate::Waits {
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
        former: (change == Change::Formerly).then(|| shape(&change.plan(Release::Old))),
        code: born.word().to_owned(),
        ..Maker::default()
    });
    let start = Schema::new(change.schema());
    match (change, born) {
        (Change::FieldAdded, Release::New) => between::<Noted>(start, &maker, &plan),
        (Change::TypeChanged, Release::New) => between::<Wrapped>(start, &maker, &plan),
        (Change::Formerly, Release::New) => plain(start, &maker, &plan, formerly),
        (Change::MadeOnce, Release::New) => plain(start, &maker, &plan, once),
        (Change::Careful, Release::New) => {
            plain(start.retention(50 * LONG).deadline(LONG), &maker, &plan, careful)
        }
        _ => plain(start, &maker, &plan, as_it_is),
    }
}

/// Steps whose outputs are trails, one at least.
type Chain = SchemaBuilder<Trail, Trail, Trail>;

/// What is said of a step, by its name, where it stands last in the chain.
type Options = fn(&str, Chain) -> Chain;

fn as_it_is(_step: &str, chain: Chain) -> Chain {
    chain
}

fn formerly(step: &str, chain: Chain) -> Chain {
    match step {
        "another" => chain.formerly("second"),
        _ => chain,
    }
}

/// Its effect is a line in a notebook, which may be there twice.
fn once(step: &str, chain: Chain) -> Chain {
    match step {
        "second" => chain.verify(|_cx, _trail: Trail| async { Ok(Verified::NotDone) }),
        _ => chain,
    }
}

const LONG: Duration = Duration::from_secs(3600);

fn careful(step: &str, chain: Chain) -> Chain {
    match step {
        "first" => chain.timeout(LONG),
        "second" => chain.undo(|_cx, _trail: Trail| async { Ok(()) }).timeout(LONG),
        LAZY => chain.lazy(),
        _ => chain.verify(|_cx, _trail: Trail| async { Ok(Verified::Unknown) }),
    }
}

/// All outputs are trails.
fn plain(start: SchemaStart, maker: &Arc<Maker>, plan: &[Part], options: Options) -> Schema<Trail, Trail> {
    let first = Arc::clone(maker);
    let start = start.step(plan[0].name(), move |cx, trail| Arc::clone(&first).run(cx, trail));
    rest(options(plan[0].name(), start), maker, plan, 1, options)
}

/// The first output is a `W`.
fn between<W>(start: SchemaStart, maker: &Arc<Maker>, plan: &[Part]) -> Schema<Trail, Trail>
where
    W: From<Trail> + Into<Trail> + Serialize + DeserializeOwned + Send + 'static,
{
    let (first, second) = (Arc::clone(maker), Arc::clone(maker));
    let gives = move |cx: StepContext, trail: Trail| {
        let done = Arc::clone(&first).run(cx, trail);
        async move { done.await.map(W::from) }
    };
    let takes = move |cx: StepContext, w: W| Arc::clone(&second).run(cx, w.into());
    let start = start.step(plan[0].name(), gives).step(plan[1].name(), takes);
    rest(start, maker, plan, 2, as_it_is)
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
    options: Options,
) -> Schema<Trail, Trail> {
    let mut pairs = plan.iter().skip(from - 1).zip(&plan[from..]);
    let (before, part) = pairs.next().expect("a step");
    let chain = options(part.name(), one(start, maker, before, part));
    let chain = pairs.fold(chain, |chain, (before, part)| {
        options(part.name(), one(chain, maker, before, part))
    });
    chain.build()
}

fn one<W>(chain: SchemaBuilder<Trail, W, Trail>, maker: &Arc<Maker>, before: &Part, part: &Part) -> Chain {
    let after = before.name().to_owned();
    match *part {
        Part::Code(name) => {
            let maker = Arc::clone(maker);
            chain.step(name, move |cx, trail| Arc::clone(&maker).run(cx, trail))
        }
        Part::Once(name) => one(chain, maker, before, &Part::Code(name)).at_most_once(),
        Part::Stored(name, Tag::Stamp, ink) => chain.stored_step(name, Stamp::new(after, ink)),
        Part::Stored(name, Tag::Seal, ink) => chain.stored_step(name, Seal(Stamp::new(after, ink))),
    }
}
