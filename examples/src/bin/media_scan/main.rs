//! Scans a folder of media files into a database through a pool: `media_scan --help`.
//!
//! It shows batches, bounded memory, giving way by the pool's pressure, queries beside a scan, and
//! an orderly end. Exit codes: 0 done, 1 it could not be done, 2 wrong arguments, 130 interrupted.
#![forbid(unsafe_code)]

mod args;
mod baseline;
mod content;
mod database;
mod fault;
mod file;
mod generation;
mod kind;
mod mysql;
mod page;
mod path_text;
mod postgres;
mod prepare;
mod progress;
mod report;
mod root;
mod scan;
mod schema;
mod serve;
mod settings;
mod stamp;
mod stop;
mod store;
mod tally;
mod throttle;
mod walk;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use tokio::runtime::Builder;

use crate::args::Args;
use crate::database::Place;
use crate::fault::Fault;
use crate::report::Report;
use crate::root::Root;
use crate::scan::Scan;
use crate::serve::Serving;
use crate::stop::Stop;
use crate::tally::Tally;

const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return failed(&format!("no threads can be started: close programs ({error})"));
        }
    };
    match runtime.block_on(run(&args)) {
        Ok(report) if report.interrupted => ExitCode::from(INTERRUPTED),
        Ok(_) => ExitCode::SUCCESS,
        Err(fault) => failed(&fault),
    }
}

fn failed(why: &dyn Display) -> ExitCode {
    say(&format!("media_scan: {why}"));
    ExitCode::FAILURE
}

/// A line on stderr; if nobody can read it, so be it.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

async fn run(args: &Args) -> Result<Report, Fault> {
    let stop = Stop::new();
    tokio::spawn(listen(stop.clone()));
    let root = Root::open(&args.dir)?;
    let place = settings::place(args)?;
    if args.db.is_none() {
        say(&format!("Database: {place}"));
    }
    let tally = Arc::new(Tally::default());
    let serving = match args.serve {
        Some(address) => Some(Serving::begin(address).await?),
        None => None,
    };
    let scan = Scan { args, root, place: &place, tally: tally.clone(), stop };
    let database = scan.open(serving.as_ref().map(|serving| &serving.monitor)).await?;
    let done = scan.run_on(&database).await;
    tell_problems(&tally);
    let done = done.and_then(|report| {
        if report.interrupted {
            say(&interrupted(&report, &place));
        }
        print(args, &report)?;
        Ok(report)
    });
    if let Some(serving) = serving {
        if done.as_ref().is_ok_and(|report| !report.interrupted) {
            serving.until(&scan.stop).await;
        }
        serving.end().await;
    }
    let closed = scan.close(&database).await;
    done.and_then(|report| closed.map(|()| report))
}

/// The first Ctrl-C ends the scan in good order, the second at once.
async fn listen(stop: Stop) {
    while tokio::signal::ctrl_c().await.is_ok() {
        if stop.is_set() {
            // What was not committed is undone: by a server at once, by SQLite when the database is next
            // opened.
            std::process::exit(INTERRUPTED.into());
        }
        stop.interrupt();
        say("Finishing the batch in hand; Ctrl-C again ends at once.");
    }
}

fn tell_problems(tally: &Tally) {
    let lines = tally.problem_lines();
    if !lines.is_empty() {
        say(&format!("Could not be read ({}):", tally.errors()));
        lines.iter().for_each(|line| say(&format!("  {line}")));
    }
}

fn interrupted(report: &Report, place: &Place) -> String {
    format!("Interrupted: {} files are stored in {place}; scan again to go on.", report.files)
}

fn print(args: &Args, report: &Report) -> Result<(), Fault> {
    let text = if args.json {
        report.to_json().map_err(|error| Fault::new(format!("no report: {error}")))?
    } else {
        report.to_table()
    };
    match writeln!(io::stdout(), "{text}") {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(|error| {
            Fault::new(format!("all is stored, but the report cannot be written: {error}"))
        }),
    }
}
