//! SQLite through our pool, other pools and the raw driver. The runner is `pool-bench sqlite`.

mod driver;
mod pools;

use std::process::ExitCode;

use pool_bench_sqlite_load::{Entry, INSERT, MIXED, ONE, SCAN, TASKS, enter, serve, version_in};

use driver::Over;
use pools::{BATCH, CALL, Deadpool, INLINE, Ours, R2d2, Raw, TokioRusqlite};

const LOCK: &str = include_str!("../Cargo.lock");

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    serve(&entries(), version, &args)
}

fn version(pool: &str) -> &'static str {
    let package = match pool.split([' ', ',']).next() {
        Some("ours") => "pool-sqlite",
        Some("raw") => "rusqlite",
        other => other.unwrap_or_default(),
    };
    version_in(LOCK, package)
}

fn entries() -> Vec<Entry> {
    let mut entries = Vec::new();
    enter::<Over<Ours<INLINE>>>(&mut entries, &[ONE, TASKS, MIXED, SCAN]);
    enter::<Over<Ours<CALL>>>(&mut entries, &[ONE, TASKS, MIXED, SCAN]);
    enter::<Over<Ours<BATCH>>>(&mut entries, &[INSERT]);
    enter::<Over<Raw<false>>>(&mut entries, &[ONE, MIXED, INSERT, SCAN]);
    enter::<Over<Raw<true>>>(&mut entries, &[INSERT]);
    enter::<Over<Deadpool>>(&mut entries, &[ONE, TASKS, MIXED, INSERT, SCAN]);
    enter::<Over<R2d2<true, false>>>(&mut entries, &[ONE, TASKS, MIXED, INSERT, SCAN]);
    enter::<Over<R2d2<false, false>>>(&mut entries, &[ONE, TASKS, MIXED]);
    enter::<Over<R2d2<true, true>>>(&mut entries, &[ONE, TASKS, MIXED, INSERT, SCAN]);
    enter::<Over<TokioRusqlite>>(&mut entries, &[ONE, TASKS, MIXED, INSERT, SCAN]);
    entries
}
