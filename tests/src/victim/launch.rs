//! How is a victim started? A program, with what a test chooses on its command line.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use super::Victim;
use crate::releases::Release;
use crate::transcript::Transcript;

/// A victim that is going to be started.
#[derive(Debug, Clone)]
#[must_use = "a launch does nothing until it is started"]
pub struct Launch {
    program: String,
    first: Vec<String>,
    options: Vec<(String, String)>,
    gates: Vec<String>,
    switches: Vec<String>,
}

impl Launch {
    /// Of this program.
    pub fn of(program: &str) -> Self {
        Self {
            program: program.to_owned(),
            first: Vec::new(),
            options: Vec::new(),
            gates: Vec::new(),
            switches: Vec::new(),
        }
    }

    /// Is this subcommand of the program.
    pub fn subcommand(mut self, name: &str) -> Self {
        self.first.push(name.to_owned());
        self
    }

    /// Sets an option of the command line; the last one counts.
    pub fn option(mut self, name: &str, value: impl Display) -> Self {
        self.options.retain(|(known, _value)| known != name);
        self.options.push((name.to_owned(), value.to_string()));
        self
    }

    /// Leaves an option out.
    pub fn without(mut self, name: &str) -> Self {
        self.options.retain(|(known, _value)| known != name);
        self
    }

    /// Sets a switch of the command line.
    pub fn switch(mut self, name: &str) -> Self {
        self.switches.push(format!("--{name}"));
        self
    }

    /// How long another worker's session must be gone before it is declared dead.
    pub fn grace(self, grace: Duration) -> Self {
        self.option("grace-ms", grace.as_millis())
    }

    /// How long a silent owner is believed.
    pub fn beat_limit(self, limit: Duration) -> Self {
        self.option("beat-limit-ms", limit.as_millis())
    }

    /// How often it shows that it lives.
    pub fn beat(self, beat: Duration) -> Self {
        self.option("beat-ms", beat.as_millis())
    }

    /// How long a shape must be known to no live worker before its executions are parked.
    pub fn unknown_shape_after(self, time: Duration) -> Self {
        self.option("unknown-shape-after-ms", time.as_millis())
    }

    /// How long a shutdown waits for running executions before it hands them back.
    pub fn drain(self, time: Duration) -> Self {
        self.option("drain-ms", time.as_millis())
    }

    /// Which binary of a deploy it is.
    pub fn release(self, release: Release) -> Self {
        self.option("release", release.word())
    }

    /// Closes the gate of a step from the start.
    pub fn gate(mut self, step: &str) -> Self {
        self.gates.push(step.to_owned());
        self
    }

    /// Starts the process, and returns while it starts up.
    ///
    /// # Panics
    /// When it can not be started.
    pub fn start(&self) -> Victim {
        let mut process = Process::new(&self.program);
        process.args(&self.first);
        for (name, value) in &self.options {
            process.arg(format!("--{name}={value}"));
        }
        for gate in &self.gates {
            process.arg(format!("--gate={gate}"));
        }
        process
            .args(&self.switches)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = process.spawn().expect("the victim's program starts");
        let stdin = child.stdin.take();
        let said = Transcript::default();
        let logged = Transcript::default();
        listen(child.stdout.take().expect("piped"), said.clone());
        listen(child.stderr.take().expect("piped"), logged.clone());
        Victim {
            child,
            stdin,
            said,
            logged,
            calls: 0,
        }
    }

    /// Starts the process and waits until its engine is built.
    ///
    /// # Panics
    /// When it does not get there.
    pub fn ready(&self) -> Victim {
        let victim = self.start();
        victim.ready();
        victim
    }
}

/// Keeps the lines of a stream until it ends.
fn listen(stream: impl Read + Send + 'static, transcript: Transcript) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            transcript.push(line);
        }
        transcript.end();
    });
}
