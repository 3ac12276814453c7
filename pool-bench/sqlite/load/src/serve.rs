//! The protocol: `list` prints who can be measured in what, `measure POOL CASE MILLIS` measures.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use crate::batch::{INSERT, SCAN, insert, scan};
use crate::mixed::{MIXED, mixed};
use crate::point::{ONE, TASKS, one_task, tasks};
use crate::{Figure, Pool};

/// A pool in a case.
pub struct Entry {
    pool: &'static str,
    case: &'static str,
    measure: fn(Duration) -> Vec<Figure>,
}

/// Enters a pool in these cases.
pub fn enter<P: Pool>(entries: &mut Vec<Entry>, cases: &[&'static str]) {
    for case in cases {
        let measure = match *case {
            ONE => one_task::<P>,
            TASKS => tasks::<P>,
            MIXED => mixed::<P>,
            INSERT => insert::<P>,
            SCAN => scan::<P>,
            other => panic!("no case {other}"),
        };
        entries.push(Entry { pool: P::NAME, case, measure });
    }
}

/// Does what the arguments say, in JSON.
pub fn serve<'v>(entries: &[Entry], version: fn(&str) -> &'v str, args: &[&str]) -> ExitCode {
    match args {
        ["list"] => print(entries.iter().map(|entry| {
            json!({ "pool": entry.pool, "version": version(entry.pool), "case": entry.case })
        })),
        ["measure", pool, case, millis] => {
            let mut entries = entries.iter();
            let found = entries.find(|entry| entry.pool == *pool && entry.case == *case);
            let (Some(entry), Ok(millis)) = (found, millis.parse()) else {
                eprintln!("no {pool} in {case}, or no time: {millis}");
                return ExitCode::from(2);
            };
            let figures = (entry.measure)(Duration::from_millis(millis));
            print(figures.iter().map(|Figure { metric, unit, value }| {
                json!({ "metric": metric, "unit": unit, "value": value })
            }));
        }
        _ => {
            eprintln!("list | measure POOL CASE MILLIS");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn print(list: impl Iterator<Item = Value>) {
    println!("{}", Value::Array(list.collect()));
}

/// What a lockfile says of a package.
pub fn version_in<'l>(lock: &'l str, package: &str) -> &'l str {
    let entry = lock.split_once(&format!("name = \"{package}\"\nversion = \""));
    entry.and_then(|(_, entry)| entry.split('"').next()).unwrap_or_default()
}
