//! How does one connection pass the proxy? Message by message to the server, piece by piece back.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::frames::{Frame, Frames, is_complete};
use super::trap::{Fate, Stage, Trap};

/// What happens to all connections now.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rules {
    pub(super) delay: Duration,
    pub(super) stall: bool,
    pub(super) swallow: bool,
    pub(super) refuse: bool,
    /// Rises with each cut.
    pub(super) cuts: u64,
}

/// What the proxy and its connections share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) rules: watch::Sender<Rules>,
    /// Bytes that may still pass to the server; `None` for any number.
    allowed: Mutex<Option<usize>>,
    traps: Mutex<Vec<Set>>,
}

/// A trap that has not caught its statement yet.
struct Set {
    is_meant: Box<dyn Fn(&str) -> bool + Send + Sync>,
    /// Executions up to the one that is caught.
    remaining: u64,
    trap: Trap,
}

impl Shared {
    pub(super) fn allow(&self, bytes: Option<usize>) {
        *self.allowed.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
    }

    pub(super) fn set_trap(
        &self,
        is_meant: Box<dyn Fn(&str) -> bool + Send + Sync>,
        nth: u64,
        fate: Fate,
    ) -> Trap {
        let trap = Trap::set(fate);
        self.traps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Set {
                is_meant,
                remaining: nth,
                trap: trap.clone(),
            });
        trap
    }

    /// Takes so many bytes from those that may pass, and tells how many may.
    fn take_allowed(&self, wanted: usize) -> usize {
        match &mut *self.allowed.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(left) => {
                let taken = wanted.min(*left);
                *left -= taken;
                taken
            }
            None => wanted,
        }
    }

    /// Counts an execution, and gives the trap that catches it.
    fn caught(&self, frame: &Frame) -> Option<Trap> {
        let text = frame.executes.as_ref()?;
        let mut traps = self.traps.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = None;
        for (place, set) in traps.iter_mut().enumerate() {
            if (set.is_meant)(text) {
                set.remaining = set.remaining.saturating_sub(1);
                if set.remaining == 0 {
                    due.get_or_insert(place);
                }
            }
        }
        let trap = traps.remove(due?).trap;
        trap.advance(Stage::Caught);
        Some(trap)
    }
}

/// Relays one connection until one of its ends closes it or the proxy cuts it.
pub(super) async fn relay(
    client: TcpStream,
    server: TcpStream,
    shared: Arc<Shared>,
    mut rules: watch::Receiver<Rules>,
) {
    let at_start = rules.borrow().cuts;
    // Messages go one by one: without this each would wait for the acknowledgement of the last.
    for side in [&client, &server] {
        let _slower = side.set_nodelay(true);
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // The trap whose answer is the next to come back.
    let answering = watch::Sender::new(None);
    tokio::select! {
        _ended = there(from_client, to_server, &shared, &answering) => {}
        _ended = back(from_server, to_client, &shared, &answering) => {}
        _cut = rules.wait_for(|rules| rules.cuts != at_start) => {}
    }
}

async fn there(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    shared: &Shared,
    answering: &watch::Sender<Option<Trap>>,
) -> io::Result<()> {
    let mut frames = Frames::default();
    let mut piece = vec![0_u8; 64 * 1024];
    loop {
        let read = client.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        frames.push(&piece[..read]);
        while let Some(frame) = frames.next() {
            hold_back(shared).await;
            if let Some(trap) = shared.caught(&frame) {
                match trap.fate {
                    Fate::CutBefore => {
                        trap.advance(Stage::Sprung);
                        return Ok(());
                    }
                    Fate::HoldBefore => {
                        trap.advance(Stage::Sprung);
                        trap.released().await;
                    }
                    Fate::LoseAnswer | Fate::HoldAnswer => {
                        answering.send_replace(Some(trap));
                    }
                }
            }
            let allowed = shared.take_allowed(frame.bytes.len());
            server.write_all(&frame.bytes[..allowed]).await?;
            if allowed < frame.bytes.len() {
                return Ok(());
            }
        }
    }
}

async fn back(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    shared: &Shared,
    answering: &watch::Sender<Option<Trap>>,
) -> io::Result<()> {
    let mut piece = vec![0_u8; 64 * 1024];
    let mut kept = Vec::new();
    loop {
        let read = server.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        hold_back(shared).await;
        let trap = answering.borrow().clone();
        let Some(trap) = trap else {
            if !shared.rules.borrow().swallow {
                client.write_all(&piece[..read]).await?;
            }
            continue;
        };
        kept.extend_from_slice(&piece[..read]);
        if is_complete(&kept) {
            trap.advance(Stage::Sprung);
            if trap.fate == Fate::LoseAnswer {
                return Ok(());
            }
            trap.released().await;
            answering.send_replace(None);
            client.write_all(&std::mem::take(&mut kept)).await?;
        }
    }
}

/// Waits as long as the rules hold everything back.
async fn hold_back(shared: &Shared) {
    let mut rules = shared.rules.subscribe();
    let delay = rules.borrow().delay;
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    // The sender lives in `shared`, so the wait can not end without the condition.
    let _passes = rules.wait_for(|rules| !rules.stall).await;
}
