//! How does a test have another process? It starts itself again, and talks with its copy.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Tells a started copy of a test which database to work on.
const DATABASE: &str = "KEYSTEP_TEST_DATABASE";

/// The database, when this process is the other one. It ends with the process that started it.
pub(crate) fn in_child() -> Option<PathBuf> {
    let database = std::env::var_os(DATABASE)?;
    std::thread::spawn(|| {
        let _until_the_end = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::abort();
    });
    Some(database.into())
}

/// Says a line to the process that started this one.
pub(crate) fn say(word: &str) {
    println!("\n> {word}");
}

/// Another process that runs the same test. Killed when it is dropped.
pub(crate) struct Other {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Other {
    pub(crate) fn start(test: &str, database: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(DATABASE, database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let lines = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, lines }
    }

    /// The next word that it says; `None` when it has ended.
    pub(crate) fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        while self.lines.read_line(&mut line).expect("its output") > 0 {
            if let Some(word) = line.trim_end().strip_prefix("> ") {
                return Some(word.to_owned());
            }
            line.clear();
        }
        None
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().expect("an id")).expect("an id");
        kill_process(pid, signal).expect("it runs");
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ended");
    }

    pub(crate) fn succeed(mut self) {
        // Waiting closes its input, which would end it too early.
        let _input = self.child.stdin.take();
        assert!(self.child.wait().expect("it ended").success());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
