//! What does a victim do all day? It obeys: one task for each call, until it is told to end.

use std::sync::Arc;
use std::time::Duration;

use crate::notebook::{Notebook, Posted};
use crate::place::execution_id;
use crate::protocol::{AfterFailure, CallError, Command, Event, Policy, Run, Trail};
use keystep::clock::micros_of;
use keystep::execution::CancelWish;
use keystep::store::Store;
use keystep::{Engine, ExecutionId, OnDuplicate, Outgoing, Publisher, RunError, Schema, Verdict};
use tokio::sync::mpsc;

use super::args::Args;
use super::halt::Script;
use super::kinds;
use super::steps::{Book, Gates, Site, schemas};
use super::voice::Voice;

/// Serves until standard input ends or says so.
pub(crate) async fn serve<S>(store: S, script: Script, args: &Args, voice: Voice) -> anyhow::Result<()>
where
    S: Store + Book + Clone,
{
    let notebook = match &args.notebook {
        Some(url) => Some(Notebook::open(url).await?),
        None => None,
    };
    let gates = Arc::new(Gates::new(script.last_gate()));
    args.gates.iter().for_each(|gate| gates.set(gate, false));
    let site = Site {
        voice,
        gates: Arc::clone(&gates),
        notebook: notebook.clone(),
        store: Arc::new(store.clone()),
    };
    let mut schemas = schemas(args.release);
    if let Some(only) = &args.only {
        schemas.retain(|name, _schema| name == only);
    }
    let mut builder = Engine::builder(script.around(store))
        .worker(args.worker_options())
        .limits(args.limits())
        .provide(site);
    for schema in schemas.values() {
        builder = builder.schema(schema.clone());
    }
    let engine = builder.build().await?;
    voice.say(&Event::Ready {
        worker: engine.worker_id().to_string(),
    });

    let _relay = args.relay_ms.zip(notebook).map(|(millis, notebook)| {
        let pace = Duration::from_millis(millis);
        engine.relay(Post { notebook, pace })
    });

    let mut commands = commands();
    while let Some(command) = commands.recv().await {
        match command {
            Command::Run(run) => {
                tokio::spawn(call(
                    engine.clone(),
                    schemas.get(&run.schema).cloned(),
                    run,
                    voice,
                ));
            }
            Command::Resume { call, schema, key } => {
                tokio::spawn(resume(engine.clone(), call, execution_id(&schema, &key), voice));
            }
            Command::Cancel {
                call,
                schema,
                key,
                undo,
            } => {
                let wish = if undo { CancelWish::Undo } else { CancelWish::Stop };
                let (engine, id) = (engine.clone(), execution_id(&schema, &key));
                tokio::spawn(async move { done(call, engine.cancel(id, wish).await, voice) });
            }
            Command::Signal { call, schema, key } => {
                if let Some(schema) = schemas.get(&schema).cloned() {
                    let engine = engine.clone();
                    tokio::spawn(async move {
                        let sent = engine.signal(&schema, key.as_str(), kinds::SIGNAL, &call).await;
                        done(call, sent, voice);
                    });
                }
            }
            Command::Open { gate } => gates.set(&gate, true),
            Command::Close { gate } => gates.set(&gate, false),
            Command::Release => {
                script.release();
                gates.release();
            }
            Command::Beat => script.beat(),
            Command::Worker => voice.say(&Event::Working {
                worker: engine.worker_id().to_string(),
            }),
            Command::Exit => break,
        }
    }
    engine.shutdown().await;
    Ok(())
}

/// Commands from standard input. A thread of its own reads them: the runtime's blocking read could
/// not be ended.
fn commands() -> mpsc::UnboundedReceiver<Command> {
    let (said, commands) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(command) => {
                    let _nobody_listens = said.send(command);
                }
                Err(error) => tracing::error!(%error, "not a command"),
            }
        }
    });
    commands
}

async fn call(engine: Engine, schema: Option<Schema<Trail, Trail>>, run: Run, voice: Voice) {
    let number = run.call;
    let result = match schema {
        Some(schema) => {
            let patience = run.gives_up_ms.map(Duration::from_millis);
            let answer = answer(&engine, &schema, run, voice);
            match patience {
                Some(patience) => tokio::time::timeout(patience, answer)
                    .await
                    .unwrap_or_else(|_late| Err(refusal("gave_up", format!("after {patience:?}")))),
                None => answer.await,
            }
        }
        None => Err(refusal("no_such_schema", run.schema)),
    };
    voice.say(&Event::Answer { call: number, result });
}

async fn answer(
    engine: &Engine,
    schema: &Schema<Trail, Trail>,
    run: Run,
    voice: Voice,
) -> Result<Vec<String>, CallError> {
    let policy = match run.policy {
        Policy::Wait(millis) => OnDuplicate::Wait(Duration::from_millis(millis)),
        Policy::Attach => OnDuplicate::Attach,
        Policy::Reject => OnDuplicate::Reject,
    };
    let mut call = engine
        .run(schema, run.key.as_str(), run.input)
        .on_duplicate(policy);
    if let Some(after_failure) = run.after_failure {
        call = call.after_failure(match after_failure {
            AfterFailure::Resume => keystep::AfterFailure::Resume,
            AfterFailure::Replay => keystep::AfterFailure::Replay,
            AfterFailure::Restart => keystep::AfterFailure::Restart,
        });
    }
    let handle = call.submit().await.map_err(|error| as_data(&error))?;
    let verdict = match handle.verdict() {
        Verdict::Started => "started",
        Verdict::Resumed => "resumed",
        Verdict::Attached => "attached",
        Verdict::Finished => "finished",
    };
    voice.say(&Event::Admitted {
        call: run.call,
        verdict: verdict.to_owned(),
    });
    let output = handle.wait().await.map_err(|error| as_data(&error))?;
    if !output.made_by.is_empty() {
        voice.say(&Event::Marked {
            call: run.call,
            made_by: output.made_by,
        });
    }
    Ok(output.nonces)
}

async fn resume(engine: Engine, call: u64, id: ExecutionId, voice: Voice) {
    done(call, engine.resume(id).await, voice);
}

/// Says what came of something that has no output.
fn done<T>(call: u64, done: Result<T, RunError>, voice: Voice) {
    let result = done.map(|_nothing_to_tell| Vec::new());
    voice.say(&Event::Answer {
        call,
        result: result.map_err(|error| as_data(&error)),
    });
}

/// Takes messages into the notebook.
struct Post {
    notebook: Notebook,
    pace: Duration,
}

impl Publisher for Post {
    async fn publish(&self, message: Outgoing) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        tokio::time::sleep(self.pace).await;
        let message = Posted {
            id: message.id.to_string(),
            execution: message.execution.to_string(),
            payload: serde_json::from_slice(&message.payload)?,
        };
        Ok(self.notebook.post(&message).await?)
    }
}

fn refusal(kind: &str, text: String) -> CallError {
    CallError {
        kind: kind.to_owned(),
        text,
        step: None,
        since_micros: None,
        reason: None,
    }
}

fn as_data(error: &RunError) -> CallError {
    let (mut step, mut since_micros, mut reason) = (None, None, None);
    let kind = match error {
        RunError::InProgress { step: at, since, .. } => {
            step.clone_from(at);
            since_micros = Some(micros_of(*since));
            "in_progress"
        }
        RunError::InputMismatch { .. } => "input_mismatch",
        RunError::Failed(failure) => {
            step = Some(failure.step.clone());
            reason.clone_from(&failure.code);
            "failed"
        }
        RunError::Undone(failure) => {
            step = Some(failure.step.clone());
            reason.clone_from(&failure.code);
            "undone"
        }
        RunError::Cancelled { .. } => "cancelled",
        RunError::Waiting { .. } => "waiting",
        RunError::Parked { reason: why, .. } => {
            reason = Some(why.as_str().to_owned());
            "parked"
        }
        RunError::Unreadable(_) => "unreadable",
        RunError::TimedOut(_) => "timed_out",
        RunError::Unavailable(_) => "unavailable",
        RunError::Invalid(_) => "invalid",
        _ => "other",
    };
    CallError {
        kind: kind.to_owned(),
        text: error.to_string(),
        step,
        since_micros,
        reason,
    }
}
