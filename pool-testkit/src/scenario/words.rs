//! The words a scenario may use, and the nearest of them to one that is unknown.

use pool_core::{AcquireErrorKind, Counts};

use crate::Op;
use crate::conformance::Feature;

/// The keys of a file.
pub(super) const FILE: &[&str] = &["rule", "about", "needs", "pool", "faults", "steps"];

/// The keys of a fault.
pub(super) const FAULT: &[&str] = &["op", "nth", "from", "behaviour"];

/// The steps, each with what may stand beside it.
pub(super) const STEPS: &[(&str, &[&str])] = &[
    ("acquire", &["within"]),
    ("got", &["after"]),
    ("pending", &[]),
    ("fails", &["with", "after", "says", "lacks"]),
    ("cancel", &[]),
    ("release", &[]),
    ("invalidate", &[]),
    ("break_connection", &[]),
    ("begin", &[]),
    ("no_transaction", &[]),
    ("resize", &[]),
    ("suspend", &[]),
    ("resume", &[]),
    ("invalidate_all", &[]),
    ("close", &[]),
    ("closed", &[]),
    ("pass", &[]),
    ("heal", &[]),
    ("expect", &[]),
    ("events", &[]),
];

/// What events begin with.
pub(super) const EVENTS: &[&str] = &[
    "connected",
    "connect_failed",
    "acquired",
    "acquire_failed",
    "released",
    "reset",
    "validated",
    "closed",
    "stalled",
    "leaked",
];

pub(super) const KINDS: &[AcquireErrorKind] = &[
    AcquireErrorKind::TimedOut,
    AcquireErrorKind::Connect,
    AcquireErrorKind::Panicked,
    AcquireErrorKind::QueueFull,
    AcquireErrorKind::Suspended,
    AcquireErrorKind::Closed,
    AcquireErrorKind::NoRuntime,
    AcquireErrorKind::WouldBlockAsync,
];

pub(super) const FEATURES: &[(&str, Feature)] = &[
    ("acquire_timeout", Feature::AcquireTimeout),
    ("timeout_per_acquire", Feature::TimeoutPerAcquire),
    ("minimums", Feature::Minimums),
    ("max_idle", Feature::MaxIdle),
    ("lifetime", Feature::Lifetime),
    ("idle_timeout", Feature::IdleTimeout),
    ("validation", Feature::Validation),
    ("close", Feature::Close),
    ("invalidate", Feature::Invalidate),
    ("counts", Feature::Counts),
    ("background_connects", Feature::BackgroundConnects),
];

/// The gauges of a snapshot.
pub(super) const GAUGES: &[&str] = &[
    "open",
    "idle",
    "in_use",
    "connecting",
    "validating",
    "resetting",
    "closing",
    "waiting",
    "max_size",
];

/// What a watch sees.
pub(super) const SEEN: &[&str] = &["alive", "peak", "connecting", "peak_connecting", "violations"];

/// An operation as a scenario calls it.
pub(super) fn op_name(op: Op) -> String {
    format!("{op:?}").to_lowercase()
}

/// Everything that can be expected.
pub(super) fn figures() -> Vec<String> {
    let mut all: Vec<String> = GAUGES.iter().map(|&gauge| gauge.to_owned()).collect();
    all.extend(SEEN.iter().map(|seen| format!("seen.{seen}")));
    all.extend(Op::ALL.iter().map(|op| format!("calls.{}", op_name(*op))));
    all.extend(counts(&Counts::default()).into_iter().map(|(key, _)| format!("counts.{key}")));
    all
}

/// The counts of a snapshot under the names they have there.
pub(super) fn counts(counts: &Counts) -> Vec<(String, i64)> {
    let table = toml::Table::try_from(counts).expect("counts are plain numbers");
    let mut found = Vec::new();
    for (key, value) in table {
        match value {
            toml::Value::Integer(value) => found.push((key, value)),
            toml::Value::Table(ended) => {
                let number = |value: &toml::Value| value.as_integer().unwrap_or_default();
                found.extend(ended.iter().map(|(why, n)| (format!("{key}.{why}"), number(n))));
            }
            _ => {}
        }
    }
    found
}

/// Checks that a word is among the known ones.
pub(super) fn known<'a>(
    what: &str,
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Result<(), String> {
    let known: Vec<&str> = known.into_iter().collect();
    if known.contains(&word) {
        return Ok(());
    }
    let nearest = known.iter().min_by_key(|candidate| distance(word, candidate));
    Err(match nearest {
        None => format!("unknown {what} `{word}`: there is none yet"),
        Some(near) if distance(word, near) <= 1 + word.len() / 3 => {
            format!("unknown {what} `{word}`: did you mean `{near}`?")
        }
        Some(_) => format!("unknown {what} `{word}`: want one of {}", known.join(", ")),
    })
}

/// How many letters have to be changed, put in or left out to make one word of the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}
