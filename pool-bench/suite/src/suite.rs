//! The suite on each pool, each case in a process of its own: what hangs, spins or aborts in a
//! peer ends with its case.

use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pool_testkit::conformance::{Case, Harness, Verdict, suite};
use serde_json::{Value, json};

use crate::cannot;
use crate::peer::OnFake;
use crate::peers::bb8::Bb8;
use crate::peers::deadpool::Deadpool;
use crate::peers::mobc::Mobc;
use crate::peers::ours::Ours;
use crate::peers::r2d2::R2d2;
use crate::peers::sqlx::{self, OnSqlite};

/// The pools, ours first.
pub(crate) const POOLS: [&str; 6] = ["ours", "bb8", "deadpool", "r2d2", "mobc", "sqlx"];

/// How long a case may take. Where a peer hangs, the suite itself gives up after 20 s.
const LIMIT: Duration = Duration::from_secs(45);

/// How many cases run at once. Most of those that take long wait.
const AT_ONCE: usize = 10;

/// How a case went on a pool.
pub(crate) struct Row {
    pub(crate) pool: &'static str,
    pub(crate) case: &'static str,
    pub(crate) result: &'static str,
    pub(crate) why: String,
}

impl Row {
    /// The rule that the case proves.
    pub(crate) fn rule(&self) -> &'static str {
        rule(self.case)
    }
}

fn rule(case: &str) -> &str {
    let case = case.strip_prefix("scenario_").unwrap_or(case);
    case.split('_').next().unwrap_or(case)
}

/// Runs the cases whose names contain this, on the pools whose names do.
pub(crate) fn run(only: &str, pool: &str) -> Vec<Row> {
    let mut names: Vec<_> = suite::<Ours>().iter().map(Case::name).collect();
    names.retain(|name| name.contains(only));
    names.sort_by_key(|name| (rule(name), *name));
    let pools = POOLS.into_iter().filter(|name| name.contains(pool));
    let jobs: Vec<_> = pools.flat_map(|pool| names.iter().map(move |name| (pool, *name))).collect();
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(jobs.len()) {
            scope.spawn(|| {
                while let Some((pool, case)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let row = in_a_process(pool, case);
                    rows.lock().expect("nobody panics with it").push(row);
                }
            });
        }
    });
    let mut rows = rows.into_inner().expect("nobody panics with it");
    rows.sort_by_key(|row| {
        let place = POOLS.iter().position(|pool| *pool == row.pool);
        (place, names.iter().position(|name| *name == row.case))
    });
    rows
}

fn in_a_process(pool: &'static str, case: &'static str) -> Row {
    let program = std::env::current_exe().expect("it runs");
    let output = Command::new(program).args(["case", pool, case]).stderr(Stdio::null()).output();
    let output = output.expect("a process can be started");
    let told: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    let text = |key: &str| told.as_ref().and_then(|told| told[key].as_str()).map(str::to_owned);
    let (result, why) = match (text("result").as_deref(), text("why")) {
        (Some("pass"), _) => ("pass", String::new()),
        (Some("cannot"), why) => ("cannot", why.unwrap_or_default()),
        (Some(_), why) => ("fail", why.unwrap_or_default()),
        (None, _) => ("fail", format!("it takes the process along: {}", output.status)),
    };
    Row { pool, case, result, why }
}

/// Runs one case here, and says on standard output how it went.
pub(crate) fn run_one(pool: &str, case: &str) {
    // They are expected, and told by their case.
    std::panic::set_hook(Box::new(|_| {}));
    let verdict = match (cannot::why(pool, case), pool) {
        (Some(why), _) => Verdict::Cannot(why.into()),
        (None, "ours") => find::<Ours>(case).run_within(LIMIT),
        (None, "bb8") => find::<OnFake<Bb8>>(case).run_within(LIMIT),
        (None, "deadpool") => find::<OnFake<Deadpool>>(case).run_within(LIMIT),
        (None, "mobc") => find::<OnFake<Mobc>>(case).run_within(LIMIT),
        (None, "r2d2") => find::<OnFake<R2d2>>(case).run_within(LIMIT),
        (None, _) => {
            let case = find::<OnSqlite>(case);
            match sqlx::group(case.needs()) {
                Some(why) => Verdict::Cannot(why.into()),
                None => case.run_within(LIMIT),
            }
        }
    };
    let (result, why) = match verdict {
        Verdict::Pass => ("pass", String::new()),
        Verdict::Cannot(why) => ("cannot", why),
        Verdict::Fail(why) => ("fail", why),
    };
    println!("{}", json!({ "result": result, "why": why }));
}

fn find<H: Harness>(name: &str) -> Case<H> {
    let case = suite::<H>().into_iter().find(|case| case.name() == name);
    case.expect("there is such a case")
}
