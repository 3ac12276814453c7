//! Other pools and ours, side by side. See the README.

mod batch;
mod checkout;
mod contended;
mod contest;
mod lookups;
mod memory;
mod mysql;
mod plot;
mod pools;
mod postgres;
mod report;
mod server;
mod spike;
mod sqlite;
mod storm;

use std::process::ExitCode;
use std::time::Duration;

use contest::Options;
use report::Report;

const USAGE: &str = "\
pool-bench checkout | contended | spike | storm | memory | mysql | postgres | sqlite
           | instructions
           [--json] [--plot FOLDER] [--rounds N] [--millis N] [--only PATTERN]
pool-bench conformance [--only PATTERN] [--pool NAME] [--json | --markdown]

--rounds    how often each is measured (5); pools take turns
--millis    how long each measurement takes (300)
--only      the cases whose name contains this";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (bench, options): (fn(&Options) -> Report, _) = match args.as_slice() {
        ["case", pool, case] => pool_bench_suite::case(pool, case),
        ["conformance", options @ ..] => return pool_bench_suite::conformance(options),
        ["one", pool, times] => return checkout::one(pool, times),
        ["footprint", pool, case] => return memory::footprint(pool, case),
        ["sqlite-sqlx", args @ ..] => return sqlite::sqlx(args),
        ["checkout", options @ ..] => (checkout::run, options),
        ["contended", options @ ..] => (contended::run, options),
        ["spike", options @ ..] => (spike::run, options),
        ["storm", options @ ..] => (storm::run, options),
        ["memory", options @ ..] => (memory::run, options),
        ["mysql", options @ ..] => (mysql::run, options),
        ["postgres", options @ ..] => (postgres::run, options),
        ["sqlite", options @ ..] => (sqlite::run, options),
        ["instructions", options @ ..] => (checkout::instructions, options),
        _ => return usage(),
    };
    let Some((options, print)) = parse(options) else {
        return usage();
    };
    let report = bench(&options);
    if print.json {
        report.json()
    } else {
        report.table()
    }
    if let Some(folder) = print.plot
        && let Err(error) = plot::plot(&report, folder)
    {
        eprintln!("{folder}: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

#[derive(Default)]
struct Print<'a> {
    json: bool,
    plot: Option<&'a str>,
}

fn parse<'a>(mut args: &[&'a str]) -> Option<(Options, Print<'a>)> {
    let (mut options, mut print) = (Options::default(), Print::default());
    while let [option, rest @ ..] = args {
        args = rest;
        if *option == "--json" {
            print.json = true;
            continue;
        }
        let [value, rest @ ..] = rest else { return None };
        args = rest;
        match *option {
            "--plot" => print.plot = Some(value),
            "--rounds" => options.rounds = value.parse().ok().filter(|rounds| *rounds > 0)?,
            "--millis" => options.time = Duration::from_millis(value.parse().ok()?),
            "--only" => options.only = (*value).into(),
            _ => return None,
        }
    }
    Some((options, print))
}
