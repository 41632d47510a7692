//! How is it told? In a dozen lines, as it happens, to somebody who has never seen it.

use super::CALLERS;
use super::child::ServiceProcess;
use super::place::Place;
use super::report::Report;
use crate::http::StepRow;

/// Tells the story on stdout, or keeps silent.
pub(super) struct Story {
    pub(super) silent: bool,
}

impl Story {
    pub(super) fn opens(&self, place: &Place, provider: &str, first: &ServiceProcess) {
        let database = &place.database;
        let (name, pid) = (first.name, first.pid);
        self.tell(format!(
            "One order, one kill, {CALLERS} impatient callers. Kept in {database}."
        ));
        self.tell(format!("The payment provider is this process, at {provider}."));
        self.tell(format!(
            "The order service is {name}, process {pid}. A customer fills a cart with tea, goes to the checkout and orders."
        ));
    }

    pub(super) fn recorded(&self) {
        self.tell("The stock is reserved. The provider writes the authorization to its ledger,");
    }

    pub(super) fn killed(&self, first: &ServiceProcess) {
        let name = first.name;
        self.tell(format!(
            "keeps the answer to itself, and {name} is killed with SIGKILL."
        ));
        self.tell("The customer does not know whether they have paid. Nor does the shop.");
    }

    pub(super) fn started(&self, second: &ServiceProcess, third: &ServiceProcess) {
        self.tell(format!(
            "Two new services start, processes {} and {}. The customer's request is sent again,",
            second.pid, third.pid
        ));
        self.tell(format!("the same order, {CALLERS} times at once, to both."));
    }

    pub(super) fn ends(
        &self,
        report: &Report,
        steps: &[StepRow],
        services: &[ServiceProcess],
        order_nr: &str,
        calls: usize,
    ) {
        self.tell(format!(
            "{} ms after the kill one of them goes on where the dead one stopped:\n",
            report.resume_ms
        ));
        self.tell(format!(
            "  {:<20}{:<10}{:<20}{}",
            "step", "attempts", "which process", "when"
        ));
        for row in steps {
            let process = match services.iter().position(|one| one.is_worker(&row.worker)) {
                Some(0) => format!("{}, killed", services[0].name),
                Some(at) => services[at].name.to_owned(),
                None => row.worker.clone(),
            };
            self.tell(format!(
                "  {:<20}{:<10}{:<20}{}",
                row.step, row.attempt, process, row.at
            ));
        }
        let same = match report.distinct_results {
            1 => format!("the same answer, order {order_nr}"),
            many => format!("{many} different answers"),
        };
        self.tell(format!("\n{} callers got {same}.", report.callers));
        self.tell(format!(
            "Counted in the tables and ledgers: orders {}, reservations {}, authorizations {} \
             (asked {calls} times), receipts {}.",
            report.orders, report.reservations, report.authorizations, report.receipts
        ));
    }

    fn tell(&self, line: impl AsRef<str>) {
        if !self.silent {
            println!("{}", line.as_ref());
        }
    }
}
