//! What is printed? One line for each form at each concurrency.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::args::Kind;
use crate::counters::Cost;
use crate::process;
use crate::schema::STEPS;
use crate::timing::Times;

/// The result of one form of a workload at one concurrency. What can not be counted is `null`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    pub(crate) workload: &'static str,
    /// For `limit`: row, array, select1, fsync. Otherwise what the workload distinguishes.
    pub(crate) form: &'static str,
    pub(crate) store: &'static str,
    pub(crate) concurrency: usize,
    pub(crate) executions: usize,
    pub(crate) executions_per_s: f64,
    pub(crate) steps_per_s: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) statements_per_execution: Option<f64>,
    pub(crate) commits_per_execution: Option<f64>,
    pub(crate) fsyncs_per_execution: Option<f64>,
    pub(crate) wal_bytes_per_execution: Option<f64>,
    /// Processor seconds of this process and of the server while it was measured.
    pub(crate) cpu_s: f64,
    pub(crate) server_cpu_s: Option<f64>,
    pub(crate) peak_memory_bytes: u64,
    /// What the limit gave in the same run, in slices that alternate with this one's.
    pub(crate) limit_per_s: Option<f64>,
    pub(crate) limit_p50_ms: Option<f64>,
    pub(crate) ratio_to_limit: Option<f64>,
    pub(crate) p50_ratio_to_limit: Option<f64>,
    /// What only this workload has to say.
    #[serde(flatten)]
    pub(crate) more: BTreeMap<&'static str, f64>,
}

impl Line {
    /// The line of what was measured, without a limit.
    pub(crate) fn new(
        workload: &'static str,
        form: &'static str,
        store: Kind,
        concurrency: usize,
        steps: usize,
        times: &Times,
        cost: Cost,
    ) -> Self {
        let executions = times.count();
        let each = |total: Option<f64>| Some(rounded(total? / executions.max(1) as f64, 4));
        Self {
            workload,
            form,
            store: store.name(),
            concurrency,
            executions,
            executions_per_s: rounded(times.per_second(), 1),
            steps_per_s: rounded(times.per_second() * steps as f64, 1),
            p50_ms: times.millis(0.5),
            p99_ms: times.millis(0.99),
            statements_per_execution: each(cost.statements),
            commits_per_execution: each(cost.commits),
            fsyncs_per_execution: each(cost.fsyncs),
            wal_bytes_per_execution: each(cost.wal_bytes),
            cpu_s: rounded(cost.cpu, 2),
            server_cpu_s: cost.server_cpu.map(|cpu| rounded(cpu, 2)),
            peak_memory_bytes: process::peak_memory(),
            limit_per_s: None,
            limit_p50_ms: None,
            ratio_to_limit: None,
            p50_ratio_to_limit: None,
            more: BTreeMap::new(),
        }
    }

    /// The same with a figure of this workload's own. Its name ends in its unit.
    pub(crate) fn with(mut self, name: &'static str, value: f64) -> Self {
        self.more.insert(name, rounded(value, 3));
        self
    }

    /// The line of executions of `order5`.
    pub(crate) fn of_order5(
        workload: &'static str,
        form: &'static str,
        store: Kind,
        concurrency: usize,
        times: &Times,
        cost: Cost,
    ) -> Self {
        Self::new(workload, form, store, concurrency, STEPS, times, cost)
    }

    /// The same beside a limit.
    pub(crate) fn beside(self, limit: &Times) -> Self {
        Self {
            limit_per_s: Some(rounded(limit.per_second(), 1)),
            limit_p50_ms: Some(limit.millis(0.5)),
            ratio_to_limit: Some(rounded(self.executions_per_s / limit.per_second(), 3)),
            p50_ratio_to_limit: Some(rounded(self.p50_ms / limit.millis(0.5), 3)),
            ..self
        }
    }

    /// Prints it.
    pub(crate) fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::to_string(self).expect("plain data"));
        } else {
            println!("{self}");
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<8} {:<8} {:<8} {:>5} {:>9.0}/s p50 {:>8.3} ms p99 {:>8.3} ms",
            self.workload,
            self.form,
            self.store,
            self.concurrency,
            self.executions_per_s,
            self.p50_ms,
            self.p99_ms
        )?;
        if let (Some(ratio), Some(p50)) = (self.ratio_to_limit, self.p50_ratio_to_limit) {
            write!(f, "  {ratio:.2}x the limit, p50 {p50:.2}x")?;
        }
        if let (Some(statements), Some(wal)) = (self.statements_per_execution, self.wal_bytes_per_execution) {
            write!(f, "  {statements:.3} statements, {wal:.0} B of log each")?;
        }
        if let Some(fsyncs) = self.fsyncs_per_execution {
            write!(f, ", {fsyncs:.3} flushes")?;
        }
        write!(f, "  cpu {:.1}", self.cpu_s)?;
        if let Some(server) = self.server_cpu_s {
            write!(f, " + {server:.1} s")?;
        }
        write!(f, "  {} MB", self.peak_memory_bytes / 1_000_000)?;
        for (name, value) in &self.more {
            write!(f, "  {name} {value}")?;
        }
        Ok(())
    }
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_one_workload_stand_beside_those_of_all() {
        let (times, cost) = (Times::default(), Cost::default());
        let line = Line::of_order5("storm", "engine", Kind::Memory, 1, &times, cost).with("last_ms", 1.5);
        let json = serde_json::to_value(&line).expect("JSON");
        assert_eq!((&json["last_ms"], &json["executions"]), (&1.5.into(), &0.into()));
        assert!(line.to_string().ends_with("last_ms 1.5"), "{line}");
    }
}
