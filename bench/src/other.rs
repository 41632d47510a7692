//! What does another process do? This program once more, told by lines of JSON on its standard input:
//! an engine on the same store, which ends or is killed when the one who measures says so.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use keystep::clock::Clock;
use keystep::{Schema, WorkerOptions};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::crowd::{Crowd, crowd};
use crate::ground::Field;
use crate::schema::{Part, five};

/// The first word of its command line.
pub(crate) const NAME: &str = "other-process";

/// What it is there for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) field: Field,
    /// How long another worker's session must be gone before it is declared dead.
    pub(crate) grace: Duration,
    /// Says when it enters this step, counted from 1, and never leaves it.
    pub(crate) hangs_in: Option<u32>,
}

/// A wish: so many callers of one key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) key: String,
    pub(crate) callers: usize,
}

/// What it has to say.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Event {
    Ready,
    Hangs,
    Called { crowd: Crowd, steps: u64 },
}

/// A process that obeys. Ends when it is dropped.
pub(crate) struct Other {
    child: Child,
    says: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Other {
    /// Starts it, and waits until its engine takes part.
    ///
    /// Like all that waits for it, this blocks its thread: that of the one who measures, on which no
    /// task of an engine runs.
    pub(crate) fn start(task: &Task) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(NAME)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let says = child.stdin.take().context("its input")?;
        let said = BufReader::new(child.stdout.take().context("its output")?);
        let mut other = Self { child, says, said };
        other.tell(task)?;
        match other.hear()? {
            Event::Ready => Ok(other),
            event => bail!("not ready: {event:?}"),
        }
    }

    /// Makes callers call.
    pub(crate) fn call(&mut self, key: &str, callers: usize) -> Result<()> {
        let key = key.to_owned();
        self.tell(&Call { key, callers })
    }

    /// Waits for what it says next.
    pub(crate) fn hear(&mut self) -> Result<Event> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("the other process said {line:?}"))
    }

    /// Waits for the answers to its callers, and gives them with the number of steps that it ran.
    pub(crate) fn called(&mut self) -> Result<(Crowd, u64)> {
        match self.hear()? {
            Event::Called { crowd, steps } => Ok((crowd, steps)),
            event => bail!("no answer: {event:?}"),
        }
    }

    /// Kills it with SIGKILL, and tells when.
    pub(crate) fn kill(mut self) -> Result<Instant> {
        let killed = Instant::now();
        self.child.kill()?;
        Ok(killed)
    }

    fn tell(&mut self, word: &impl Serialize) -> Result<()> {
        Ok(writeln!(self.says, "{}", serde_json::to_string(word)?)?)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Is the other process, until nobody holds its input any more.
pub(crate) async fn obey() -> Result<()> {
    let mut lines = lines();
    let task: Task = serde_json::from_str(&lines.recv().await.context("a task")?)?;
    let steps = Arc::new(AtomicU64::new(0));
    let schema = schema(&task, Arc::clone(&steps));
    let options = WorkerOptions {
        grace: task.grace,
        ..WorkerOptions::default()
    };
    let engine = task.field.engine_with(&schema, options, Clock::new()).await?;
    say(&Event::Ready)?;
    while let Some(line) = lines.recv().await {
        let Call { key, callers } = serde_json::from_str(&line)?;
        let before = steps.load(Ordering::Relaxed);
        let crowd = crowd(&engine, &schema, &key, callers).await?;
        let steps = steps.load(Ordering::Relaxed) - before;
        say(&Event::Called { crowd, steps })?;
    }
    engine.shutdown().await;
    Ok(())
}

/// Lines of standard input. A thread of its own reads them: the runtime's blocking read could not be
/// ended.
fn lines() -> mpsc::UnboundedReceiver<String> {
    let (told, lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let _nobody_listens = told.send(line);
        }
    });
    lines
}

fn schema(task: &Task, steps: Arc<AtomicU64>) -> Schema<Part, Part> {
    let hangs_in = task.hangs_in;
    five(move |_cx, part| {
        steps.fetch_add(1, Ordering::Relaxed);
        async move {
            if hangs_in == Some(part.step + 1) {
                say(&Event::Hangs)?;
                std::future::pending::<()>().await;
            }
            Ok(part.next())
        }
    })
}

fn say(event: &Event) -> Result<()> {
    println!("{}", serde_json::to_string(event)?);
    Ok(())
}
