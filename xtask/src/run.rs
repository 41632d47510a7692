//! How does a command run other programs so that nothing is left running? Each child leads a
//! process group of its own, and a signal to us is handed on to that group.
//!
//! Ctrl-C therefore ends the tests first, by their runner's own orderly way, and then us: the
//! guards on the stack (a private server) are dropped as after any other end.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGKILL, SIGTERM};
use signal_hook::iterator::Signals;

/// Starts children and hands signals on to them.
#[derive(Debug)]
pub struct Runner {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Leader of the group that runs now.
    child: Option<Pid>,
    /// The last signal we were sent.
    signal: Option<i32>,
}

impl Runner {
    /// Begins to catch SIGINT, SIGTERM and SIGHUP.
    ///
    /// # Errors
    /// When the operating system refuses the handlers.
    pub fn new() -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("could not catch signals")?;
        std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for signal in signals.forever() {
                    let mut state = shared.lock();
                    state.signal = Some(signal);
                    hand_on(state.child, signal);
                    shared.changed.notify_all();
                }
            }
        });
        Ok(Self { shared })
    }

    /// Runs a program to its end with our output and without input.
    ///
    /// # Errors
    /// When it can not be started. That it fails is no error but its status.
    pub fn run(&self, command: &mut Command) -> Result<ExitStatus> {
        self.run_until(None, command)
    }

    /// As [`run`](Self::run), but kills the program and what it started when the time is over.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_within(&self, limit: Duration, command: &mut Command) -> Result<ExitStatus> {
        self.run_until(Some(limit), command)
    }

    fn run_until(&self, limit: Option<Duration>, command: &mut Command) -> Result<ExitStatus> {
        let mut child = {
            let mut state = self.shared.lock();
            let child = command
                .process_group(0)
                .stdin(Stdio::null())
                .spawn()
                .with_context(|| format!("could not start {}", line(command)))?;
            state.child = Pid::from_raw(child.id().cast_signed());
            if let Some(signal) = state.signal {
                hand_on(state.child, signal);
            }
            child
        };
        if let Some(limit) = limit {
            self.kill_after(limit, Pid::from_raw(child.id().cast_signed()));
        }
        let status = child
            .wait()
            .with_context(|| format!("could not wait for {}", line(command)));
        self.shared.lock().child = None;
        self.shared.changed.notify_all();
        status
    }

    /// Kills the group of this child when the time is over and it still runs.
    fn kill_after(&self, limit: Duration, child: Option<Pid>) {
        let shared = Arc::clone(&self.shared);
        std::thread::spawn(move || {
            let runs = |state: &mut State| state.child == child;
            let waited = shared.changed.wait_timeout_while(shared.lock(), limit, runs);
            let (state, _timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            if state.child == child {
                hand_on(child, SIGKILL);
            }
        });
    }

    /// Runs a program as a named step, and prints what runs and how long it took.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn stage(&self, name: &str, command: &mut Command) -> Result<ExitStatus> {
        println!("==> {name}: {}", line(command));
        let started = Instant::now();
        let status = self.run(command)?;
        let verdict = if status.success() { "ok" } else { "FAILED" };
        println!(
            "==> {name}: {verdict} in {:.1} s",
            started.elapsed().as_secs_f64()
        );
        Ok(status)
    }

    /// The signal that asked us to end, if one did.
    pub fn signal(&self) -> Option<i32> {
        self.shared.lock().signal
    }

    /// Waits until a signal asks us to end.
    pub fn wait_for_signal(&self) {
        let state = self.shared.lock();
        drop(
            self.shared
                .changed
                .wait_while(state, |state| state.signal.is_none())
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// Our own exit code: that of the first status that is not a success, or of the signal.
    pub fn exit_code(&self, statuses: &[ExitStatus]) -> ExitCode {
        if let Some(signal) = self.signal() {
            return signalled(signal);
        }
        match statuses.iter().find(|status| !status.success()) {
            None => ExitCode::SUCCESS,
            Some(status) => match status.code() {
                Some(code) => u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from),
                None => signalled(status.signal().unwrap_or(0)),
            },
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A group that has ended already needs no signal, so the answer does not matter.
fn hand_on(group: Option<Pid>, signal: i32) {
    if let (Some(group), Some(signal)) = (group, Signal::from_named_raw(signal)) {
        let _gone = kill_process_group(group, signal);
    }
}

/// What a shell answers for a program that a signal ended.
fn signalled(signal: i32) -> ExitCode {
    u8::try_from(128 + signal).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Cargo, in the root of the workspace, as if the user had typed it there.
///
/// What `cargo run` told us about this package is taken out of the environment: build scripts
/// watch these variables and would run again for nothing.
pub fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    for (name, _value) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_")
                || name.starts_with("CARGO_MANIFEST_")
                || ["CARGO_BIN_NAME", "CARGO_CRATE_NAME", "OUT_DIR"].contains(&name)
        });
        if ours {
            command.env_remove(name);
        }
    }
    command
}

/// The root of the workspace.
pub fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// A command as the user would type it.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn the_exit_code_of_the_first_failure_is_passed_on() {
        let runner = Runner::new().expect("signals");
        let statuses =
            ["exit 0", "exit 7", "exit 3"].map(|script| runner.run(&mut shell(script)).expect("a shell"));
        assert_eq!(runner.exit_code(&statuses), ExitCode::from(7));
        assert_eq!(runner.exit_code(&statuses[..1]), ExitCode::SUCCESS);
    }

    #[test]
    fn a_child_that_a_signal_ended_counts_as_a_failure() {
        let runner = Runner::new().expect("signals");
        let status = runner.run(&mut shell("kill -9 $$")).expect("a shell");
        assert_eq!(runner.exit_code(&[status]), ExitCode::from(128 + 9));
    }

    #[test]
    fn a_program_that_takes_too_long_is_killed() {
        let runner = Runner::new().expect("signals");
        let limit = Duration::from_millis(50);
        let status = runner
            .run_within(limit, &mut shell("sleep 600"))
            .expect("a shell");
        assert_eq!(runner.exit_code(&[status]), ExitCode::from(128 + 9));
        let limit = Duration::from_secs(600);
        let status = runner.run_within(limit, &mut shell("exit 0")).expect("a shell");
        assert!(status.success());
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let runner = Runner::new().expect("signals");
        let error = runner
            .run(&mut Command::new("/nowhere/no-such-program"))
            .expect_err("it does not exist");
        assert!(format!("{error:#}").contains("no-such-program"));
    }

    #[test]
    fn cargo_forgets_that_it_was_started_by_cargo() {
        let removed: Vec<_> = cargo(&["test"])
            .get_envs()
            .filter(|(_name, value)| value.is_none())
            .map(|(name, _value)| name.to_owned())
            .collect();
        assert!(removed.contains(&"CARGO_MANIFEST_DIR".into()), "{removed:?}");
        assert!(!removed.contains(&"CARGO_HOME".into()), "{removed:?}");
    }
}
