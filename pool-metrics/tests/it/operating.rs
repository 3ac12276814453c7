//! Alerts, their runbook, and the dashboard for Grafana: they name metrics that there are, and Prometheus
//! takes what they ask.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const ALERTS: &str = include_str!("../../alerts/db_pool.yml");
const GRAFANA: &str = include_str!("../../grafana/db_pools.json");
const RUNBOOK: &str = include_str!("../../RUNBOOK.md");

fn of_crate(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool").args(arguments).output();
    let output = output.expect("promtool (Debian: prometheus)");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// The names that exporters tell, without a prefix.
fn there_are() -> BTreeSet<String> {
    let golden = include_str!("metrics.golden").replace("shop_db_pool_", "db_pool_");
    let mut names = BTreeSet::new();
    for (name, kind) in golden.lines().map(|line| line.split_once(' ').unwrap()) {
        names.insert(name.to_owned());
        if kind == "histogram" {
            names.extend(["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")));
        }
    }
    names
}

/// All words in a text that look like a metric.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let of_ours = |word: &&str| word.starts_with("db_pool_") || word.starts_with("db_client_");
    words.filter(of_ours).map(str::to_owned).collect()
}

/// The expressions of the dashboard as Prometheus gets them.
fn expressions() -> Vec<String> {
    let dashboard: serde_json::Value = serde_json::from_str(GRAFANA).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let put = |text: &str| {
        text.replace("${prefix}", "db_pool")
            .replace("$__rate_interval", "1m")
            .replace("$instance", ".*")
    };
    targets.map(|target| put(target["expr"].as_str().unwrap()).replace("$pool", ".*")).collect()
}

#[test]
fn alerts_and_dashboard_name_metrics_that_there_are() {
    let there_are = there_are();
    let rules: BTreeSet<_> = metrics_in(ALERTS.split_once("groups:").unwrap().1);
    let drawn = metrics_in(&expressions().join("\n"));
    assert!(rules.len() >= 10 && drawn.len() >= 20);
    let missing: Vec<_> = rules.union(&drawn).filter(|name| !there_are.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn prometheus_takes_the_alerts_and_each_fires_when_it_should() {
    promtool(&[
        "check",
        "rules",
        "--lint=all",
        "--lint-fatal",
        of_crate("alerts/db_pool.yml").to_str().unwrap(),
    ]);
    promtool(&["test", "rules", of_crate("alerts/db_pool_test.yml").to_str().unwrap()]);
}

#[test]
fn prometheus_takes_what_the_dashboard_asks() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.yml");
    let quoted = |(i, text): (usize, &String)| {
        format!("  - {{record: \"panel:{i}\", expr: {}}}\n", serde_json::to_string(text).unwrap())
    };
    let all: String = expressions().iter().enumerate().map(quoted).collect();
    std::fs::write(&rules, format!("groups:\n- name: panels\n  rules:\n{all}")).unwrap();
    promtool(&["check", "rules", rules.to_str().unwrap()]);
}

#[test]
fn every_alert_has_its_chapter() {
    let names = ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let names: BTreeSet<_> = names.collect();
    let chapters: BTreeSet<_> =
        RUNBOOK.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(names, chapters);
    for name in names {
        let link = format!("pool_metrics/runbook/index.html#{}\"", name.to_lowercase());
        assert_eq!(ALERTS.matches(&link).count(), 1, "{name}");
    }
}
