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

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["case", pool, case] => {
            suite::run_one(pool, case);
            // Without waiting for the threads that a case left behind.
            std::process::exit(0)
        }
        ["conformance", options @ ..] => conformance(options),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn conformance(mut options: &[&str]) -> ExitCode {
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
