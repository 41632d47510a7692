//! What is held back on the shelf? Reservations: made and released line by line, by the owner of an
//! execution.

use super::{Shop, ShopError, on_either};
use crate::domain::Line;

/// Who changes a reservation: its key, and the epoch of the execution's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The idempotency key of the step that reserves.
    pub reservation: String,
    /// Of two owners of one execution the one with the lower epoch was given up, and changes nothing.
    pub epoch: i64,
}

/// What became of a wish to hold a product back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reservation {
    /// It is held, by this call or by an earlier one of the same reservation.
    Held,
    /// It is not held, because there is not enough of it.
    OutOfStock,
}

impl Claim {
    /// Of somebody after whom no owner of an execution changes the reservation.
    pub(super) fn for_ever(reservation: String) -> Self {
        Self {
            reservation,
            epoch: i64::MAX,
        }
    }
}

impl Shop {
    /// Holds a product back for a reservation. The same reservation never does so twice.
    ///
    /// # Errors
    ///
    /// Nothing is known to be held. Call again with the same claim.
    pub async fn reserve(&self, claim: Claim, line: Line) -> Result<Reservation, ShopError> {
        on_either!(self, shop => shop.reserve(claim, line).await)
    }

    /// Gives back all that a reservation holds. Nothing happens when it holds nothing.
    ///
    /// # Errors
    ///
    /// Nothing is known to be given back. Call again with the same claim.
    pub async fn release(&self, claim: Claim) -> Result<(), ShopError> {
        on_either!(self, shop => shop.release(claim).await)
    }
}
