//! What is known of an attempt whose answer was lost? What a `verify` says, and what an operator says.

use serde::{Deserialize, Serialize};

/// What a [`verify`](crate::SchemaBuilder::verify) found out.
///
/// ```
/// use keystep::{Schema, StepContext, StepResult, Verified};
///
/// # async fn look_up(_key: String) -> Result<Option<u64>, std::io::Error> { Ok(None) }
/// async fn charge(_cx: StepContext, amount: u64) -> StepResult<u64> { Ok(amount) }
/// async fn find_charge(cx: StepContext, _amount: u64) -> StepResult<Verified<u64>> {
///     Ok(match look_up(cx.idempotency_key()).await? {
///         Some(charge) => Verified::Done(charge),
///         None => Verified::NotDone,
///     })
/// }
///
/// let schema = Schema::new("pay").step("charge", charge).at_most_once().verify(find_charge).build();
/// # let _: Schema<u64, u64> = schema;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verified<Out> {
    /// It was done, and gave this: the step is recorded with it.
    Done(Out),
    /// It was not done, and never will be by that attempt: the step runs again.
    NotDone,
    /// It can not be known now: the execution is parked as `in_doubt`.
    Unknown,
}
