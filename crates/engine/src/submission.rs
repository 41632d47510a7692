//! How does an execution begin inside the caller's own transaction? It is prepared here, checked and
//! encoded, and put down as `ready` by the store, with `submit_in(&mut transaction, &submission)`: when
//! the transaction is rolled back there is no execution.

use crate::admission::{Aim, Request};
use crate::codec::{Place, Slot};
use crate::engine::Engine;
use crate::execution::{ExecutionId, RunId, WorkerId};
use crate::random;
use crate::run_error::RunError;
use crate::store::Begin;

/// A call that is checked and encoded, for a store's `submit_in`. Made by
/// [`Call::prepare`](crate::Call::prepare).
#[derive(Debug, Clone)]
pub struct Submission {
    begin: Begin,
}

/// What came of a store's `submit_in`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Submitted {
    /// It is there as soon as the transaction is committed, and then due at once for any process.
    New,
    /// The key has an execution already, with this or another input; nothing was changed. Call it to get
    /// its outcome, after the commit.
    Exists,
}

impl Submission {
    /// The execution that it begins.
    pub fn id(&self) -> ExecutionId {
        self.begin.id
    }

    /// For stores: what is put down. Nobody owns it, so its owner has no meaning.
    pub fn begin(&self) -> &Begin {
        &self.begin
    }

    pub(crate) fn new(request: &Request) -> Result<Self, RunError> {
        let Aim::Run { input, hash } = &request.aim else {
            return Err(RunError::Invalid("a lookup begins nothing".to_owned()));
        };
        let run = RunId::fresh();
        let place = Place {
            run,
            slot: Slot::Input,
        };
        let input = request.inner.codecs.encode(input.clone(), &place);
        let input = input.map_err(|why| RunError::Invalid(format!("the codec refused the input: {why}")))?;
        Ok(Self {
            begin: Begin {
                id: request.id,
                key: request.key.clone(),
                run,
                token: random::unpredictable(),
                owner: WorkerId(0),
                plan: request.schema.plan.id,
                shape: request.schema.plan.shape,
                input,
                input_hash: *hash,
                parent: request.parent,
            },
        })
    }
}

impl Engine {
    /// Looks for due work at once and not at the next sweep: after the commit of a transaction in which
    /// something was submitted.
    pub fn wake(&self) {
        self.inner.sweep.notify_one();
    }
}
