//! What does this process use? Processor time and memory, as the kernel counts them.

use std::fs;
use std::path::Path;

/// The kernel's ticks in a second, on every Linux that Rust supports.
const TICKS: f64 = 100.0;

/// Processor seconds of this process so far.
pub(crate) fn cpu_seconds() -> f64 {
    seconds_of(Path::new("/proc/self/stat"), 2).unwrap_or(0.0)
}

/// Processor seconds of a process and all its children, those that have ended included.
pub(crate) fn cpu_seconds_of_tree(root: u32) -> f64 {
    let own = seconds_of(format!("/proc/{root}/stat").as_ref(), 4).unwrap_or(0.0);
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let children = all.filter_map(|entry| {
        let stat = entry.path().join("stat");
        (parent(&stat)? == root).then(|| seconds_of(&stat, 4))?
    });
    own + children.sum::<f64>()
}

/// The most memory that this process has occupied since [`forget_peak`], in bytes.
pub(crate) fn peak_memory() -> u64 {
    memory("VmHWM:")
}

/// The memory that this process occupies now, in bytes.
pub(crate) fn resident_memory() -> u64 {
    memory("VmRSS:")
}

fn memory(what: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Counts the peak of memory from now on.
pub(crate) fn forget_peak() {
    let _as_good_as_it_gets = fs::write("/proc/self/clear_refs", "5");
}

/// The fields after the name of a process: its state is field 0.
fn fields(stat: &Path) -> Option<Vec<String>> {
    let text = fs::read_to_string(stat).ok()?;
    let (_name, after) = text.rsplit_once(')')?;
    Some(after.split_whitespace().map(str::to_owned).collect())
}

fn parent(stat: &Path) -> Option<u32> {
    fields(stat)?.get(1)?.parse().ok()
}

/// Adds up `count` counters from the first of utime, stime, cutime, cstime.
fn seconds_of(stat: &Path, count: usize) -> Option<f64> {
    let fields = fields(stat)?;
    let ticks = fields
        .iter()
        .skip(11)
        .take(count)
        .map(|ticks| ticks.parse::<f64>());
    Some(ticks.sum::<Result<f64, _>>().ok()? / TICKS)
}
