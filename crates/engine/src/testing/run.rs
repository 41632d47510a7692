//! In which order are the stories of a trial told, and what becomes of each?

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::{FutureExt, StreamExt, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::client::{Ending, KEY};
use super::faulty::Call;
use super::plot::{self, Family};
use super::process::Maker;
use super::report::{Counts, Report};
use super::script::Script;
use super::stage::Stage;
use super::trial::{Story, Trial};
use super::watch::Notes;
use crate::attempt::text_of;
use crate::clock::Clock;
use crate::error::Failure;
use crate::execution::{ExecutionId, State};
use crate::key::Key;
use crate::random::{self, Repeatable};

impl<In, Out, W> Trial<In, Out, W>
where
    In: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
    Out: Serialize + DeserializeOwned + Send + 'static,
    W: Send + Sync + 'static,
{
    /// Plays the stories: one without faults; then with each act of a [`Script`] at each call,
    /// until a story needs no more calls; then the random ones. Must be called inside a tokio
    /// runtime.
    ///
    /// In every story each caller must get one and the same outcome, also a late one; each step is
    /// recorded once, in order, and never runs again; an owner that was replaced writes nothing; one
    /// that is at work and was not given up is not replaced; and nothing stays unfinished.
    ///
    /// # Panics
    /// When a promise is broken or a check panics: with the sentence, the seed and the script. When a
    /// script that is to be [replayed](Self::replay) does not happen, because the story ends before it.
    pub async fn run(self) -> Report {
        let seed = self.seed.unwrap_or_else(|| random::positive().unsigned_abs());
        let mut run = Run {
            trial: &self,
            report: Report {
                seed,
                ..Report::default()
            },
            quiet: None,
        };
        let quiet = run.story(Script::default()).await;
        run.report.boundaries = quiet.calls.len();
        run.quiet = Some(quiet.ending);
        if let Some(script) = &self.replay {
            let told = run.story(script.clone()).await;
            assert!(
                told.as_scripted,
                "`{}` was not replayed: not all of the script \"{script}\" happened, because the story \
                 ended before it and needed fewer such calls",
                self.schema.name()
            );
            return run.report;
        }
        for family in plot::families(&quiet.calls, &quiet.enlisting) {
            run.family(&family).await;
        }
        let mut numbers = Repeatable::new(seed);
        let random = (0..self.random).map(|_story| plot::random(&quiet.calls, &mut numbers));
        run.stories(random.collect()).await;
        run.report
    }
}

/// A run of a trial.
struct Run<'a, In, Out, W> {
    trial: &'a Trial<In, Out, W>,
    report: Report,
    /// How the story without faults ends; `None` before it was played.
    quiet: Option<Ending>,
}

/// What the next stories need to know of one.
struct Told {
    ending: Ending,
    as_scripted: bool,
    calls: Vec<Call>,
    /// Which commits brought a transaction of their step, from 1.
    enlisting: Vec<u64>,
    counts: Counts,
}

impl<In, Out, W> Run<'_, In, Out, W>
where
    In: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
    Out: Serialize + DeserializeOwned + Send + 'static,
    W: Send + Sync + 'static,
{
    /// Plays the stories about the first call of a kind, then about the second, until a story makes
    /// no such call any more.
    async fn family(&mut self, family: &Family) {
        for nth in 1..=family.most {
            let mut scripts = family.at(nth);
            for script in scripts.by_ref().take(1) {
                if !self.story(script).await.as_scripted {
                    return;
                }
            }
            self.stories(scripts.collect()).await;
        }
    }

    async fn story(&mut self, script: Script) -> Told {
        let told = self.tell(&script).await;
        self.told(&script, told)
    }

    async fn stories(&mut self, scripts: Vec<Script>) {
        let this = &*self;
        let telling = scripts.into_iter().map(|script| async move {
            let told = this.tell(&script).await;
            (script, told)
        });
        let all: Vec<_> = stream::iter(telling).buffered(this.trial.at_once).collect().await;
        for (script, told) in all {
            self.told(&script, told);
        }
    }

    /// Takes in what came of a story.
    ///
    /// # Panics
    /// When it broke a promise.
    fn told(&mut self, script: &Script, told: Result<Told, String>) -> Told {
        match told {
            Ok(told) => {
                self.report.add(&told.counts, told.as_scripted);
                told
            }
            Err(broken) => {
                let (schema, seed) = (self.trial.schema.name(), self.report.seed);
                let number = self.report.stories + self.report.incomplete + 1;
                panic!(
                    "`{schema}` broke a promise: {broken}\n  replay this story with \
                     .replay(\"{script}\")\n  it is story {number} of the run with .seed({seed})"
                )
            }
        }
    }

    /// Tells a story in a world of its own. An error is the sentence that says what it broke.
    async fn tell(&self, script: &Script) -> Result<Told, String> {
        let trial = self.trial;
        let key = Key::new(KEY).within(trial.schema.name())?;
        let id = ExecutionId::of(&key);
        let (clock, notes) = (Clock::new(), Notes::of(id));
        let world = Arc::new(trial.makes.make(clock.clone()).await);
        let maker = Maker {
            schema: trial.schema.with_bodies(|what, body| notes.around(what, body)),
            opens: Arc::clone(&trial.opens),
            world: Arc::clone(&world),
            clock: clock.clone(),
            notes: notes.clone(),
        };
        let mut stage = Stage::open(maker, id, trial.input.clone(), self.quiet).await?;
        let played = stage.play(script).await?;
        let outcome = stage.judge(played.outcomes).await?;
        stage.close().await;
        let (told, attempts) = {
            let taken = notes.read();
            if let Some(broken) = &taken.broken {
                return Err(broken.clone());
            }
            let told = Told {
                ending: outcome.ending(),
                as_scripted: played.as_scripted,
                calls: played.calls,
                enlisting: taken.enlisting.clone(),
                counts: taken.counts,
            };
            (told, taken.attempts.clone())
        };
        let story = Story {
            script: script.clone(),
            undone: outcome.ending().0 == State::Undone,
            outcome: typed(outcome.result())?,
            attempts,
            clock,
        };
        self.check(&world, &story).await?;
        Ok(told)
    }

    async fn check(&self, world: &W, story: &Story<Out>) -> Result<(), String> {
        for check in &self.trial.checks {
            let checked = AssertUnwindSafe(check.check(world, story)).catch_unwind().await;
            checked.map_err(|panic| format!("the check of the story failed: {}", text_of(panic.as_ref())))?;
        }
        Ok(())
    }
}

fn typed<Out: DeserializeOwned>(outcome: Result<Value, Failure>) -> Result<Result<Out, Failure>, String> {
    match outcome {
        Ok(output) => serde_json::from_value(output)
            .map(Ok)
            .map_err(|error| format!("the output does not read back: {error}")),
        Err(failure) => Ok(Err(failure)),
    }
}
