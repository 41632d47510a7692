//! What was promised, and what was counted?

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The outcome of a demo, as `--json` prints it. Field names are a promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// `sqlite` or `postgres`.
    pub store: String,
    /// Rows of orders.
    pub orders: i64,
    /// Authorizations in the provider's ledger.
    pub authorizations: usize,
    /// Rows of reservations.
    pub reservations: i64,
    /// Lines in the ledger of receipts.
    pub receipts: usize,
    /// How many callers got an order.
    pub callers: usize,
    /// How many different answers they got.
    pub distinct_results: usize,
    /// For each step, the attempt that succeeded.
    pub attempts: BTreeMap<String, u32>,
    /// Whether the first service died of SIGKILL.
    pub killed: bool,
    /// Milliseconds from the death of the first service, the start of the other two included, to
    /// the provider being asked again.
    pub resume_ms: u64,
}

impl Report {
    /// The first promise that what was counted does not keep, as a sentence.
    pub fn broken_promise(&self) -> Option<String> {
        let attempts = |step: &str| u64::from(self.attempts.get(step).copied().unwrap_or(0));
        let counted = |count: i64| u64::try_from(count).unwrap_or(u64::MAX);
        let promises: [(&str, u64, u64); 11] = [
            ("killed services", 1, u64::from(self.killed)),
            ("orders", 1, counted(self.orders)),
            ("authorizations", 1, self.authorizations as u64),
            ("reservations", 1, counted(self.reservations)),
            ("receipts", 1, self.receipts as u64),
            ("callers with an order", 10, self.callers as u64),
            ("distinct results", 1, self.distinct_results as u64),
            ("attempts of reserve_stock", 1, attempts("reserve_stock")),
            ("attempts of authorize_payment", 2, attempts("authorize_payment")),
            ("attempts of create_order", 1, attempts("create_order")),
            ("attempts of send_receipt", 1, attempts("send_receipt")),
        ];
        let broken = promises.iter().find(|(_, promised, counted)| promised != counted);
        broken.map(|(what, promised, counted)| {
            format!("a promise is broken: {what}: promised {promised}, counted {counted}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Report {
        let attempts = [
            ("reserve_stock", 1),
            ("authorize_payment", 2),
            ("create_order", 1),
            ("send_receipt", 1),
        ];
        Report {
            store: "sqlite".into(),
            orders: 1,
            authorizations: 1,
            reservations: 1,
            receipts: 1,
            callers: 10,
            distinct_results: 1,
            attempts: attempts.map(|(step, n)| (step.into(), n)).into(),
            killed: true,
            resume_ms: 100,
        }
    }

    #[test]
    fn a_count_that_was_not_promised_is_named() {
        assert_eq!(kept().broken_promise(), None);
        let mut report = kept();
        report.orders = 2;
        assert_eq!(
            report.broken_promise().as_deref(),
            Some("a promise is broken: orders: promised 1, counted 2")
        );
        let mut report = kept();
        report.attempts.remove("send_receipt");
        assert_eq!(
            report.broken_promise().as_deref(),
            Some("a promise is broken: attempts of send_receipt: promised 1, counted 0")
        );
    }

    #[test]
    fn the_document_is_one_line_of_these_members() {
        assert_eq!(
            serde_json::to_string(&kept()).expect("JSON"),
            r#"{"store":"sqlite","orders":1,"authorizations":1,"reservations":1,"receipts":1,"callers":10,"distinct_results":1,"attempts":{"authorize_payment":2,"create_order":1,"reserve_stock":1,"send_receipt":1},"killed":true,"resume_ms":100}"#
        );
    }
}
