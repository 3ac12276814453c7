//! Other pools on the same suite of cases as ours. See the README.

mod cannot;
mod known;
mod peer;
mod peers;
mod suite;
mod table;

use std::process::ExitCode;

const USAGE: &str = "\
conformance [--only PATTERN] [--pool NAME] [--json | --markdown]

runs every case of the suite on every pool (about two minutes); fails if ours fails anything";

/// Runs one case here, and ends.
pub fn case(pool: &str, case: &str) -> ! {
    suite::run_one(pool, case);
    // Without waiting for the threads that a case left behind.
    std::process::exit(0)
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

/// Runs the suite, each case by starting this program again with `case POOL CASE`.
pub fn conformance(mut options: &[&str]) -> ExitCode {
    let (mut only, mut pool, mut print) = ("", "", table::plain as fn(&[suite::Row]));
    while let [option, rest @ ..] = options {
        options = rest;
        match (*option, rest) {
            ("--json", _) => print = table::json,
            ("--markdown", _) => print = table::markdown,
            ("--only", [pattern, rest @ ..]) => (only, options) = (pattern, rest),
            ("--pool", [name, rest @ ..]) => (pool, options) = (name, rest),
            _ => return usage(),
        }
    }
    let rows = suite::run(only, pool);
    print(&rows);
    let failed = rows.iter().any(|row| row.pool == "ours" && row.result == "fail");
    ExitCode::from(u8::from(failed))
}
