//! How does a test hold another process? By its standard input and output, and by signals.

mod launch;

use std::fmt::Display;
use std::io::Write;
use std::process::{Child, ChildStdin, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::place::execution_id;
use crate::protocol::{Attempt, CallError, Command, Event, Mark, Policy, Run, Trail};
use crate::transcript::Transcript;

pub use launch::Launch;

/// How long a test waits for what must happen soon, on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

/// A running process. It is killed when this is dropped.
#[derive(Debug)]
pub struct Victim {
    child: Child,
    stdin: Option<ChildStdin>,
    said: Transcript,
    logged: Transcript,
    calls: u64,
}

/// A call that a victim makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call(u64);

impl Call {
    /// Its number in its process.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// The answer to a call: the nonces of the output.
pub type Answer = Result<Vec<String>, CallError>;

impl Victim {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until its engine is built, and gives its worker id.
    ///
    /// # Panics
    /// When it does not get there soon.
    pub fn ready(&self) -> String {
        let ready = self.wait_for("its engine", |event| match event {
            Event::Ready { worker } => Some(worker),
            _ => None,
        });
        ready.1
    }

    /// Waits until it refuses to start, and gives the reason.
    ///
    /// # Panics
    /// When it does not refuse soon.
    pub fn refused(&self) -> String {
        let refused = self.wait_for("its refusal", |event| match event {
            Event::Refused { error } => Some(error),
            _ => None,
        });
        refused.1
    }

    /// Makes it call a schema, with an input that depends on the key.
    pub fn run(&mut self, schema: &str, key: &str, policy: Policy) -> Call {
        let input = Trail {
            payload: format!("payload of {key}"),
            ..Trail::default()
        };
        self.run_with(schema, key, input, policy)
    }

    /// Makes it call a schema with this input.
    pub fn run_with(&mut self, schema: &str, key: &str, input: Trail, policy: Policy) -> Call {
        self.call(Run {
            call: 0,
            schema: schema.to_owned(),
            key: key.to_owned(),
            input,
            policy,
            after_failure: None,
            gives_up_ms: None,
        })
    }

    /// Makes it call; the number of the call is given here.
    pub fn call(&mut self, mut run: Run) -> Call {
        self.calls += 1;
        run.call = self.calls;
        self.tell(&Command::Run(run));
        Call(self.calls)
    }

    /// Lets an execution that was put down go on, as an operator does.
    pub fn resume(&mut self, schema: &str, key: &str) -> Call {
        self.calls += 1;
        self.tell(&Command::Resume {
            call: self.calls,
            schema: schema.to_owned(),
            key: key.to_owned(),
        });
        Call(self.calls)
    }

    /// Wants an execution cancelled.
    pub fn cancel(&mut self, schema: &str, key: &str, undo: bool) -> Call {
        self.calls += 1;
        self.tell(&Command::Cancel {
            call: self.calls,
            schema: schema.to_owned(),
            key: key.to_owned(),
            undo,
        });
        Call(self.calls)
    }

    /// Sends an execution the signal that its schema takes.
    pub fn send_signal(&mut self, schema: &str, key: &str) -> Call {
        self.calls += 1;
        self.tell(&Command::Signal {
            call: self.calls,
            schema: schema.to_owned(),
            key: key.to_owned(),
        });
        Call(self.calls)
    }

    /// Waits for the answer to a call.
    ///
    /// # Panics
    /// When there is none soon.
    pub fn answer(&self, call: Call) -> Answer {
        let answer = self.wait_for(&format!("the answer to call {}", call.0), |event| match event {
            Event::Answer { call: of, result } if of == call.0 => Some(result),
            _ => None,
        });
        answer.1
    }

    /// Waits for the output of a call, and gives its marks.
    ///
    /// # Panics
    /// When there is none soon.
    pub fn marks(&self, call: Call) -> Vec<Mark> {
        let output = self.wait_for(&format!("the output of call {}", call.0), |event| match event {
            Event::Marked { call: of, made_by } if of == call.0 => Some(Ok(made_by)),
            Event::Answer {
                call: of,
                result: Err(error),
            } if of == call.0 => Some(Err(error)),
            _ => None,
        });
        output
            .1
            .unwrap_or_else(|error| panic!("call {} has {error:?}\n{self}", call.0))
    }

    /// Waits until it is known who works on a call (started, resumed, attached or finished), or
    /// why nobody does.
    ///
    /// # Panics
    /// When it is not known soon.
    pub fn admitted(&self, call: Call) -> Result<String, CallError> {
        let known = self.wait_for(&format!("the verdict of call {}", call.0), |event| match event {
            Event::Admitted { call: of, verdict } if of == call.0 => Some(Ok(verdict)),
            Event::Answer {
                call: of,
                result: Err(error),
            } if of == call.0 => Some(Err(error)),
            _ => None,
        });
        known.1
    }

    /// Opens the gate of a step.
    pub fn open(&mut self, step: &str) {
        self.tell(&Command::Open {
            gate: step.to_owned(),
        });
    }

    /// Closes the gate of a step.
    pub fn close(&mut self, step: &str) {
        self.tell(&Command::Close {
            gate: step.to_owned(),
        });
    }

    /// Waits until an attempt of a step has begun here, and tells when that was heard.
    ///
    /// # Panics
    /// When it has not soon.
    pub fn entered(&self, schema: &str, key: &str, step: &str) -> (Instant, Attempt) {
        let id = execution_id(schema, key).to_string();
        self.wait_for(&format!("{step} of {key} to begin"), |event| match event {
            Event::Entered(attempt) if attempt.execution == id && attempt.step == step => Some(attempt),
            _ => None,
        })
    }

    /// Waits until an attempt is noted and waits at a gate here.
    ///
    /// # Panics
    /// When it does not soon.
    pub fn at_gate(&self, schema: &str, key: &str, gate: &str) -> Attempt {
        let id = execution_id(schema, key).to_string();
        let waits = self.wait_for(&format!("{key} at the gate of {gate}"), |event| match event {
            Event::AtGate(attempt) if attempt.execution == id && attempt.step == gate => Some(attempt),
            _ => None,
        });
        waits.1
    }

    /// Waits until an attempt has seen that somebody wants its execution cancelled, and tells when that
    /// was heard.
    ///
    /// # Panics
    /// When it does not soon.
    pub fn saw_cancel(&self, nonce: &str) -> Instant {
        let seen = self.wait_for("the step to see the wish to cancel it", |event| match event {
            Event::CancelSeen(attempt) if attempt.nonce == nonce => Some(()),
            _ => None,
        });
        seen.0
    }

    /// Waits until an attempt was ended from outside.
    ///
    /// # Panics
    /// When it is not soon.
    pub fn cancelled(&self, nonce: &str) {
        self.wait_for("the step to be cancelled", |event| match event {
            Event::Cancelled(attempt) if attempt.nonce == nonce => Some(()),
            _ => None,
        });
    }

    /// Lets it go on where it was told to stand still.
    pub fn release(&mut self) {
        self.tell(&Command::Release);
    }

    /// Lets it show beats again after a silence.
    pub fn beat(&mut self) {
        self.tell(&Command::Beat);
    }

    /// Where it stands still, if it has come there by now: see [`Event::Halted`].
    pub fn halted(&self) -> Option<Vec<String>> {
        let events = self.said.all();
        events.iter().find_map(|line| match parse(line)? {
            Event::Halted { points, .. } => Some(points),
            _ => None,
        })
    }

    /// Whether a call has its answer by now.
    pub fn has_answered(&self, call: Call) -> bool {
        self.heard(|event| matches!(event, Event::Answer { call: of, .. } if *of == call.0))
    }

    /// Waits until an attempt got through its work here.
    ///
    /// # Panics
    /// When it does not soon.
    pub fn leaves(&self, nonce: &str) {
        self.wait_for("the step to end", |event| match event {
            Event::Leaving(attempt) if attempt.nonce == nonce => Some(()),
            _ => None,
        });
    }

    /// Whether an attempt got through its work here so far.
    pub fn has_left(&self, nonce: &str) -> bool {
        self.heard(|event| matches!(event, Event::Leaving(attempt) if attempt.nonce == nonce))
    }

    /// Whether it has said such a thing so far.
    pub fn heard(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        let events = self.said.all();
        events
            .iter()
            .filter_map(|line| parse(line))
            .any(|event| wanted(&event))
    }

    /// Waits until it has taken up every command so far.
    ///
    /// # Panics
    /// When it does not soon.
    pub fn heed(&mut self) {
        let answers = |said: &Transcript| {
            let lines = said.all().into_iter().filter_map(|line| parse(&line));
            lines
                .filter(|event| matches!(event, Event::Working { .. }))
                .count()
        };
        let before = answers(&self.said);
        self.tell(&Command::Worker);
        let mut heard = 0;
        self.wait_for("an answer", |event| {
            heard += usize::from(matches!(event, Event::Working { .. }));
            (heard > before).then_some(())
        });
    }

    /// The worker id under which its engine works, once it is another than this.
    ///
    /// # Panics
    /// When it stays the same.
    pub fn worker_other_than(&mut self, known: &str) -> String {
        let deadline = Instant::now() + SOON;
        while Instant::now() < deadline {
            self.tell(&Command::Worker);
            let other = self
                .said
                .find(Duration::from_millis(50), |line| match parse(line) {
                    Some(Event::Working { worker }) if worker != known => Some(worker),
                    _ => None,
                });
            if let Some((_at, worker)) = other {
                return worker;
            }
        }
        panic!("it still works as {known}\n{self}")
    }

    /// Waits for a line of its log.
    ///
    /// # Panics
    /// When there is none soon.
    pub fn logged(&self, words: &str) {
        self.logged_times(words, 1);
    }

    /// Waits for so many lines of its log that say so, and gives the last of them.
    ///
    /// # Panics
    /// When there are not as many soon.
    pub fn logged_times(&self, words: &str, times: usize) -> String {
        let mut heard = 0;
        let found = self.logged.find(SOON, |line| {
            heard += usize::from(line.contains(words));
            (heard == times).then(|| line.to_owned())
        });
        let Some((_at, line)) = found else {
            panic!("the log says {words:?} only {heard} times\n{self}");
        };
        line
    }

    /// What it says and what it logs, for those who read on after its end.
    pub fn transcripts(&self) -> [Transcript; 2] {
        [self.said.clone(), self.logged.clone()]
    }

    /// Kills it with SIGKILL, and tells the moment just before.
    ///
    /// # Panics
    /// When it has ended before.
    pub fn kill(mut self) -> Instant {
        let before = Instant::now();
        self.child.kill().expect("a process to kill");
        let status = self.child.wait().expect("its end");
        assert!(status.code().is_none(), "it ended before it was killed: {status}");
        before
    }

    /// Stops it with SIGSTOP; it has stopped when this returns.
    ///
    /// # Panics
    /// When it has ended before.
    pub fn stop(&self) {
        assert!(self.try_stop(), "it did not stop\n{self}");
    }

    /// As [`stop`](Self::stop), but false when it has ended.
    ///
    /// # Panics
    /// When the operating system does not know the process.
    pub fn try_stop(&self) -> bool {
        self.signal(Signal::STOP);
        // Only a look: its end is for `ended` to take.
        let look = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(self.id()), look).expect("a child");
        status.is_some_and(|status| status.stopped())
    }

    /// Lets it go on with SIGCONT.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Lets it shut down gracefully, and waits for its end.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn exit(mut self) {
        self.leave();
        let deadline = Instant::now() + SOON;
        let status = loop {
            if let Some(status) = self.ended() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end\n{self}");
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(status.success(), "it ended with {status}\n{self}");
    }

    /// Tells it to shut down gracefully, and does not wait for that.
    pub fn leave(&mut self) {
        self.tell(&Command::Exit);
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// When the operating system does not know the process.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Says a command. One that is gone does not hear it; what is expected then does not come.
    fn tell(&mut self, command: &Command) {
        let mut line = serde_json::to_vec(command).expect("a command is JSON");
        line.push(b'\n');
        if let Some(stdin) = &mut self.stdin {
            let _gone = stdin.write_all(&line);
        }
    }

    fn wait_for<T>(&self, what: &str, mut pick: impl FnMut(Event) -> Option<T>) -> (Instant, T) {
        let found = self.said.find(SOON, |line| pick(parse(line)?));
        found.unwrap_or_else(|| panic!("waited in vain for {what}\n{self}"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.id(), signal).expect("a process to signal");
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

fn parse(line: &str) -> Option<Event> {
    serde_json::from_str(line).ok()
}

impl Drop for Victim {
    fn drop(&mut self) {
        // One that has ended is reaped by `wait`; SIGKILL ends a stopped one too.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// What a failed test shows.
impl Display for Victim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "process {} said:\n{}", self.pid(), self.said)?;
        writeln!(f, "and logged:\n{}", self.logged)
    }
}
