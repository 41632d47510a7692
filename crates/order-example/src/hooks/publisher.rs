//! How does a test disturb the delivery of a message, and learn which were delivered? The publisher is
//! wrapped.

use std::error::Error;

use keystep::{Outgoing, Publisher};

use super::fault::{Mode, PUBLISH};
use super::on::Hooks;

/// A publisher whose deliveries are counted and can be disturbed.
pub struct Watched<P> {
    pub(super) inner: P,
    pub(super) hooks: Hooks,
}

impl<P: Publisher> Publisher for Watched<P> {
    async fn publish(&self, message: Outgoing) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Some(open) = &self.hooks.open else {
            return self.inner.publish(message).await;
        };
        let (id, topic) = (message.id.to_string(), message.topic.clone());
        let fault = open.tables.take_fault(PUBLISH).await?;
        let is = |mode| fault.is_some_and(|fault| fault.mode == mode);
        if let Some(fault) = fault {
            tokio::time::sleep(fault.duration()).await;
        }
        if is(Mode::CrashBefore) {
            std::process::abort();
        }
        if is(Mode::Transient) || is(Mode::DelayThenTransient) || is(Mode::Final) {
            return Err("a test lets this delivery fail".into());
        }
        self.inner.publish(message).await?;
        if is(Mode::CrashAfterEffect) {
            std::process::abort();
        }
        Ok(open.tables.note_event(&id, &topic).await?)
    }
}
