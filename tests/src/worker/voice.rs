//! How does a victim say something? One whole line at a time, from any task.

use std::io::Write;

use crate::protocol::Event;

/// Standard output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Voice;

impl Voice {
    /// Says what happened. A test that is gone does not hear it, and ends the standard input too.
    pub(crate) fn say(self, event: &Event) {
        let Ok(mut line) = serde_json::to_vec(event) else {
            return;
        };
        line.push(b'\n');
        let mut out = std::io::stdout().lock();
        let _gone = out.write_all(&line).and_then(|()| out.flush());
    }
}
