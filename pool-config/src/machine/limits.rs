//! What limits a process beside its control groups: CPUs, the machine's memory, open files.

use std::collections::BTreeSet;

use super::Found;
use super::tree::Tree;

const STATUS: &str = "/proc/self/status";
const ONLINE: &str = "/sys/devices/system/cpu/online";
const MEMINFO: &str = "/proc/meminfo";
const LIMITS: &str = "/proc/self/limits";

/// The CPUs the process may run on. Its affinity also names CPUs that could be plugged in, thus
/// only those online count.
pub(super) fn cpus(tree: &mut Tree<'_>) -> Option<Found<f64>> {
    let allowed = tree.read(STATUS).and_then(|text| {
        let list = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        cpu_list(tree, STATUS, list.unwrap_or("no Cpus_allowed_list"))
    });
    let online = tree.read(ONLINE).and_then(|text| cpu_list(tree, ONLINE, &text));
    let (cpus, source) = match (allowed, online) {
        (Some(allowed), Some(online)) => {
            let both = allowed.intersection(&online).count();
            (both, format!("Cpus_allowed_list in {STATUS}, of those in {ONLINE}"))
        }
        (Some(allowed), None) => (allowed.len(), format!("Cpus_allowed_list in {STATUS}")),
        (None, Some(online)) => (online.len(), ONLINE.into()),
        (None, None) => return None,
    };
    if cpus == 0 {
        tree.note(format!("{source}: no CPU is in both"));
        return None;
    }
    Some(Found::new(cpus as f64, source))
}

/// The machine's memory, in bytes.
pub(super) fn memory(tree: &mut Tree<'_>) -> Option<Found<u64>> {
    let text = tree.read(MEMINFO)?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or("");
    let kib: Option<u64> = total.trim().strip_suffix(" kB").and_then(|n| n.trim().parse().ok());
    match kib.and_then(|kib| kib.checked_mul(1024)) {
        Some(bytes) if bytes > 0 => Some(Found::new(bytes, format!("MemTotal in {MEMINFO}"))),
        _ => {
            tree.senseless(MEMINFO, total, "MemTotal in kB");
            None
        }
    }
}

/// How many files may be open at once. None without a note is no limit.
pub(super) fn open_files(tree: &mut Tree<'_>) -> Option<Found<u64>> {
    let text = tree.read(LIMITS)?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap_or("");
    match line.split_whitespace().next().map(|soft| (soft, soft.parse())) {
        Some((_, Ok(files))) => Some(Found::new(files, format!("Max open files in {LIMITS}"))),
        Some(("unlimited", _)) => None,
        _ => {
            tree.senseless(LIMITS, line, "a soft limit of Max open files");
            None
        }
    }
}

/// A list such as `0-3,8`; at least one CPU.
fn cpu_list(tree: &mut Tree<'_>, path: &str, text: &str) -> Option<BTreeSet<u16>> {
    let mut cpus = BTreeSet::new();
    for range in text.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.parse::<u16>(), last.parse::<u16>()) {
            (Ok(first), Ok(last)) if first <= last => cpus.extend(first..=last),
            _ => {
                tree.senseless(path, text, "a list of CPUs such as 0-3,8");
                return None;
            }
        }
    }
    Some(cpus)
}
