//! What is printed.

use std::collections::BTreeSet;
use std::time::SystemTime;

use serde_json::json;

use crate::known;
use crate::suite::{POOLS, Row};

const LOCK: &str = include_str!("../../Cargo.lock");

/// One line for each case, and totals.
pub(crate) fn plain(rows: &[Row]) {
    let pools = pools(rows);
    let cases = in_order(rows.iter().map(|row| row.case));
    let width = cases.iter().map(|case| case.len()).max().unwrap_or_default();
    println!("{}\n", heading(&pools));
    print!("{:width$}", "");
    pools.iter().for_each(|pool| print!("  {pool:8}"));
    println!();
    for case in cases {
        print!("{case:width$}");
        for pool in &pools {
            let row = rows.iter().find(|row| row.case == case && row.pool == *pool);
            let result = row.map_or("", |row| row.result);
            print!("  {:8}", if result == "fail" { "FAIL" } else { result });
        }
        println!();
    }
    for (what, result) in [("pass", "pass"), ("FAIL", "fail"), ("cannot", "cannot")] {
        print!("{what:>width$}");
        for pool in &pools {
            let count = rows.iter().filter(|row| row.pool == *pool && row.result == result);
            print!("  {:<8}", count.count());
        }
        println!();
    }
    for result in ["fail", "cannot"] {
        println!();
        for row in rows.iter().filter(|row| row.result == result) {
            println!("{} {} {}: {}", row.pool, result, row.case, one_line(&row.why));
        }
    }
}

/// All of it, for programs.
pub(crate) fn json(rows: &[Row]) {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| json!({ "pool": row.pool, "case": row.case, "result": row.result, "why": row.why }))
        .collect();
    println!("{}", json!({ "rows": rows }));
}

/// One line for each rule, and what each peer fails.
pub(crate) fn markdown(rows: &[Row]) {
    let pools = pools(rows);
    println!("{}\n", heading(&pools));
    println!("| rule | {} |", pools.join(" | "));
    println!("|---{}|", "|---".repeat(pools.len()));
    for rule in in_order(rows.iter().map(Row::rule)) {
        let of_rule: Vec<_> = rows.iter().filter(|row| row.rule() == rule).collect();
        println!("| {} {} |", name(rule), cells(&pools, &of_rule));
    }
    println!("| **all** {} |\n", cells(&pools, &rows.iter().collect::<Vec<_>>()));
    for pool in &pools {
        let failed: Vec<_> =
            rows.iter().filter(|row| row.pool == *pool && row.result == "fail").collect();
        if !failed.is_empty() {
            println!("What {pool} fails:\n");
            for row in failed {
                match known::reason(pool, row.case) {
                    Some(reason) => println!("- `{}`: {reason}", row.case),
                    None => println!("- `{}`", row.case),
                }
            }
            println!();
        }
    }
}

fn cells(pools: &[&str], rows: &[&Row]) -> String {
    let count = |pool: &str, result: &str| {
        rows.iter().filter(|row| row.pool == pool && row.result == result).count()
    };
    let cell = |pool: &&str| {
        let [pass, fail, cannot] = ["pass", "fail", "cannot"].map(|result| count(pool, result));
        let fail = if fail > 0 { format!("**{fail}**") } else { "0".into() };
        format!("| {pass} / {fail} / {cannot}")
    };
    pools.iter().map(cell).collect::<Vec<_>>().join(" ")
}

fn heading(pools: &[&str]) -> String {
    let versions = pools.iter().map(|pool| {
        let package = if *pool == "ours" { "pool-core" } else { pool };
        format!("{pool} {}", version(package))
    });
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    format!("{}; {}", &now[..10], versions.collect::<Vec<_>>().join(", "))
}

fn version(package: &str) -> &'static str {
    let (_, entry) =
        LOCK.split_once(&format!("name = \"{package}\"\nversion = \"")).unwrap_or_default();
    entry.split('"').next().unwrap_or_default()
}

fn pools(rows: &[Row]) -> Vec<&'static str> {
    POOLS.into_iter().filter(|pool| rows.iter().any(|row| row.pool == *pool)).collect()
}

fn in_order(names: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut seen = BTreeSet::new();
    names.filter(|name| seen.insert(*name)).collect()
}

/// `r07` is R7.
fn name(rule: &str) -> String {
    format!("R{}", rule.trim_start_matches(['r', '0']))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
