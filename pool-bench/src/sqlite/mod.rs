//! `sqlite`: SQLite through our pool, other pools and the raw driver.
//!
//! Two programs measure, since only one libsqlite3-sys fits into each: the one in the folder
//! `sqlite` all pools on rusqlite, and this one sqlx. Each measurement is a process of its own.

mod sqlx;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::rc::Rc;

use serde_json::Value;

pub(crate) use self::sqlx::sqlx;
use crate::contest::{Contest, Figure, Options, figure};
use crate::report::Report;

const OTHER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sqlite/Cargo.toml");

pub(crate) fn run(options: &Options) -> Report {
    let this = std::env::current_exe().expect("it runs");
    let programs =
        [Program { path: build(), args: &[] }, Program { path: this, args: &["sqlite-sqlx"] }];
    let mut listed = Vec::new();
    for program in programs.map(Rc::new) {
        for entry in program.run(&["list"]) {
            listed.push((program.clone(), entry));
        }
    }
    let mut cases: Vec<&'static str> = Vec::new();
    for (_, entry) in &listed {
        let case = text(entry, "case");
        if !cases.contains(&case) {
            cases.push(case);
        }
    }
    let mut contest = Contest::new("sqlite");
    let mut versions = Vec::new();
    for case in cases {
        for (program, entry) in listed.iter().filter(|(_, entry)| entry["case"] == case) {
            let (pool, program) = (text(entry, "pool"), program.clone());
            versions.push((pool, text(entry, "version")));
            contest.enter(pool, case, move |time| {
                let millis = time.as_millis().to_string();
                let figures = program.run(&["measure", pool, case, &millis]);
                figures.iter().map(read).collect()
            });
        }
    }
    contest.run(options).with_versions(versions)
}

/// One that measures.
struct Program {
    path: PathBuf,
    args: &'static [&'static str],
}

impl Program {
    /// What it prints, which is a list.
    fn run(&self, args: &[&str]) -> Vec<Value> {
        let output = Command::new(&self.path)
            .args(self.args)
            .args(args)
            .stderr(Stdio::inherit())
            .output()
            .expect("it was built");
        assert!(output.status.success(), "{args:?}: {}", output.status);
        serde_json::from_slice(&output.stdout).expect("a list in JSON")
    }
}

/// Builds the other program, and says where it is.
fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--message-format", "json-render-diagnostics"])
        .args(["--manifest-path", OTHER])
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo is there");
    assert!(output.status.success(), "cargo build: {}", output.status);
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut messages = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    let program =
        messages.find_map(|message: Value| message["executable"].as_str().map(PathBuf::from));
    program.expect("cargo says where the program is")
}

fn read(value: &Value) -> Figure {
    let number = value["value"].as_f64().expect("a number");
    figure(text(value, "metric"), text(value, "unit"), number)
}

/// The names are few, and live as long as the program.
fn text(value: &Value, key: &str) -> &'static str {
    value[key].as_str().expect("a text").to_owned().leak()
}
