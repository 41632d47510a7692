//! `order.create`, step 4: send the receipt. A stored step: its parameters are data and travel with the plan.

use keystep::{Step, StepContext, StepResult, StoredStep};
use serde::{Deserialize, Serialize};

use crate::domain::{Order, Receipt};
use crate::receipts::{Receipts, SentReceipt};

/// Sends a receipt made from a template.
///
/// An order that was begun with one template is finished with it, even if the program that
/// finishes it was built with another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SendReceipt {
    /// The template's name.
    pub template: String,
}

impl Step for SendReceipt {
    type Input = Order;
    type Output = Receipt;

    async fn run(&self, cx: StepContext, order: Order) -> StepResult<Receipt> {
        let receipts = cx.get::<Receipts>()?;
        let receipt = SentReceipt {
            receipt: format!("receipt-{}", order.order_nr),
            template: self.template.clone(),
            order_nr: order.order_nr.clone(),
            total: order.total.clone(),
        };
        let sent = receipts.send(cx.idempotency_key(), receipt).await?;
        Ok(Receipt {
            order,
            receipt: sent.receipt,
        })
    }
}

#[typetag::serde(name = "send_receipt")]
impl StoredStep for SendReceipt {}
