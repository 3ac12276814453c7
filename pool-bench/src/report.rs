//! [`Report`]: what came out, as a table and for programs.

use serde_json::json;

use crate::contest::Figure;

const LOCK: &str = include_str!("../Cargo.lock");

/// A metric of a pool in a case, with what every round gave.
pub(crate) struct Row {
    pub(crate) pool: &'static str,
    pub(crate) case: String,
    pub(crate) metric: &'static str,
    pub(crate) unit: &'static str,
    values: Vec<f64>,
}

impl Row {
    pub(crate) fn median(&self) -> f64 {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        f64::midpoint(low, high)
    }

    pub(crate) fn min(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

/// All rows of a bench, in the order in which they came.
pub(crate) struct Report {
    pub(crate) bench: &'static str,
    pub(crate) rows: Vec<Row>,
    /// Of pools that are not in the lockfile.
    versions: Vec<(&'static str, &'static str)>,
}

impl Report {
    pub(crate) fn new(bench: &'static str) -> Self {
        Self { bench, rows: Vec::new(), versions: Vec::new() }
    }

    /// Says which versions were measured, where the lockfile does not.
    pub(crate) fn with_versions(mut self, versions: Vec<(&'static str, &'static str)>) -> Self {
        self.versions = versions;
        self
    }

    fn version(&self, pool: &str) -> &'static str {
        let known = self.versions.iter().find(|(other, _)| *other == pool);
        known.map_or_else(|| version(pool), |(_, version)| version)
    }

    pub(crate) fn add(&mut self, pool: &'static str, case: &str, figure: &Figure) {
        let Figure { metric, unit, value } = *figure;
        let same = |row: &&mut Row| (row.pool, &*row.case, row.metric) == (pool, case, metric);
        match self.rows.iter_mut().find(same) {
            Some(row) => row.values.push(value),
            None => {
                let case = case.to_owned();
                self.rows.push(Row { pool, case, metric, unit, values: vec![value] });
            }
        }
    }

    /// What was measured of what: each pair once, in order.
    pub(crate) fn groups(&self) -> Vec<(&str, &'static str, &'static str)> {
        let mut groups = Vec::new();
        for row in &self.rows {
            let group = (&*row.case, row.metric, row.unit);
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        groups
    }

    pub(crate) fn of(&self, case: &str, metric: &str) -> Vec<&Row> {
        self.rows.iter().filter(|row| row.case == case && row.metric == metric).collect()
    }

    fn name(&self, pool: &str) -> String {
        match self.version(pool) {
            "" => pool.to_owned(),
            version => format!("{pool} ({version})"),
        }
    }

    /// A table for each case. What others are compared with is ours, the first if there are several.
    pub(crate) fn table(&self) {
        let mut last = "";
        for (case, metric, unit) in self.groups() {
            if case != last {
                println!("\n## {}: {case}\n", self.bench);
                println!("| metric | pool | median | min | max | unit | to ours |");
                println!("|---|---|--:|--:|--:|---|--:|");
                last = case;
            }
            let rows = self.of(case, metric);
            let ours = rows.iter().find(|row| row.pool.starts_with("ours")).map(|row| row.median());
            for row in rows {
                let [median, min, max] = [row.median(), row.min(), row.max()].map(short);
                let ratio = ours
                    .filter(|ours| *ours != 0.0)
                    .map(|ours| format!("{:.2}", row.median() / ours));
                let (name, ratio) = (self.name(row.pool), ratio.unwrap_or_default());
                println!("| {metric} | {name} | {median} | {min} | {max} | {unit} | {ratio} |");
            }
        }
    }

    /// For programs.
    pub(crate) fn json(&self) {
        let rows: Vec<_> = (self.rows.iter())
            .map(|row| {
                json!({
                    "pool": row.pool, "version": self.version(row.pool), "case": row.case,
                    "metric": row.metric, "unit": row.unit,
                    "median": row.median(), "min": row.min(), "max": row.max(),
                })
            })
            .collect();
        println!("{}", json!({ "bench": self.bench, "rows": rows }));
    }
}

/// Three digits.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// What the lockfile says of the package: the first word of a pool's name, `ours` is pool-core.
pub(crate) fn version(pool: &str) -> &'static str {
    let first = pool.split([' ', ',']).next().unwrap_or_default();
    let package = if first == "ours" { "pool-core" } else { first };
    let entry = LOCK.split_once(&format!("name = \"{package}\"\nversion = \""));
    entry.and_then(|(_, entry)| entry.split('"').next()).unwrap_or_default()
}
