//! How does something outside tell an execution that it may go on? By a signal: stored, delivered once,
//! before, during or after the wait for it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{Place, Slot};
use crate::context::StepContext;
use crate::engine::Engine;
use crate::execution::{ExecutionId, WriteId};
use crate::json;
use crate::key::Key;
use crate::outcome::unavailable;
use crate::persist::Resend;
use crate::policy::SecondSignal;
use crate::run_error::RunError;
use crate::schema::Schema;
use crate::store::{NewSignal, Signalled};

/// What came of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignalSent {
    /// It is stored, and will be delivered to the wait for it.
    Stored,
    /// One of this name was sent before, and the schema takes no second one.
    Refused,
    /// The execution is finished: nothing waits for it any more.
    Finished,
}

impl Engine {
    /// Sends a signal to the execution of a key. It is kept until a step waits for it with
    /// [`StepContext::signal`], and delivered once. The schema has to declare the name:
    /// [`SchemaStart::signal`](crate::SchemaStart::signal).
    ///
    /// # Errors
    /// [`RunError::Invalid`] when the schema does not declare the name, there is no execution of the key,
    /// the payload can not be stored, or inside a step that has an open transaction;
    /// [`RunError::Unavailable`] when the store does not answer: it may have been sent, so send it again
    /// only where a second one is refused or does no harm.
    pub async fn signal<In, Out, T>(
        &self,
        schema: &Schema<In, Out>,
        key: impl Into<Key>,
        name: &str,
        payload: &T,
    ) -> Result<SignalSent, RunError>
    where
        T: Serialize + DeserializeOwned,
    {
        StepContext::refuse_in_transaction().map_err(RunError::Invalid)?;
        let Some(second) = schema.core().options.signals.get(name).copied() else {
            let schema = schema.name();
            return Err(RunError::Invalid(format!(
                "the schema `{schema}` declares no signal `{name}`"
            )));
        };
        let key = key.into().within(schema.name()).map_err(RunError::Invalid)?;
        let id = ExecutionId::of(&key);
        let Some(record) = self.record(id).await? else {
            return Err(RunError::Invalid("the key has no execution".to_owned()));
        };
        let inner = &self.inner;
        let json = json::encode_checked(payload, inner.limits.check_bytes)
            .map_err(|error| RunError::Invalid(format!("the payload: {error}")))?;
        let (size, limit) = (json.len(), inner.limits.payload_bytes);
        if size > limit {
            return Err(RunError::Invalid(format!(
                "the payload has {size} bytes, the limit is {limit}"
            )));
        }
        let place = Place {
            run: record.run,
            slot: Slot::Signal,
        };
        let payload = inner.codecs.encode(json, &place);
        let payload =
            payload.map_err(|why| RunError::Invalid(format!("the codec refused the payload: {why}")))?;
        let signal = NewSignal {
            id,
            run: record.run,
            name: name.to_owned(),
            payload,
            once: second == SecondSignal::Refused,
            write_id: WriteId::fresh(),
        };
        let mut resend = Resend::new();
        let sent = loop {
            match inner.store.signal(signal.clone()).await {
                Ok(sent) => break sent,
                Err(error) if resend.after(&error, &inner.stopped).await => {}
                Err(error) => return Err(unavailable(&error)),
            }
        };
        Ok(match sent {
            Signalled::Sent => {
                inner.sweep.notify_one();
                SignalSent::Stored
            }
            Signalled::Refused => SignalSent::Refused,
            Signalled::Gone => SignalSent::Finished,
        })
    }
}
