//! A picture of a report: for each metric a file, with a panel for each case.

use std::path::Path;

use plotters::prelude::*;

use crate::report::{Report, Row, short};

const LINE: i32 = 20;
const WIDTH: i32 = 900;
const NAMES: i32 = 260;

type Failed = Box<dyn std::error::Error>;

/// Writes `BENCH-METRIC.svg` for every metric, with bars from the least to the most of all rounds
/// and the median as a number.
pub(crate) fn plot(report: &Report, folder: &str) -> Result<(), Failed> {
    std::fs::create_dir_all(folder)?;
    let mut metrics: Vec<_> = report.rows.iter().map(|row| (row.metric, row.unit)).collect();
    metrics.sort_unstable();
    metrics.dedup();
    for (metric, unit) in metrics {
        let name = format!("{}-{}.svg", report.bench, metric.replace(' ', "-"));
        picture(report, metric, unit, &Path::new(folder).join(name))?;
    }
    Ok(())
}

fn picture(report: &Report, metric: &str, unit: &str, path: &Path) -> Result<(), Failed> {
    let cases: Vec<_> = (report.groups().into_iter())
        .filter(|(_, other, _)| *other == metric)
        .map(|(case, _, _)| (case.to_owned(), report.of(case, metric)))
        .collect();
    let lines: usize = cases.iter().map(|(_, rows)| rows.len() + 2).sum();
    let size = (WIDTH as u32, (lines as u32 + 2) * LINE as u32);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    let (plain, bold) = (("sans-serif", 13), ("sans-serif", 15));
    root.draw(&Text::new(format!("{}: {metric}, {unit}", report.bench), (10, 8), bold))?;
    let mut y = 2 * LINE;
    for (case, rows) in cases {
        root.draw(&Text::new(case, (10, y), bold))?;
        y += LINE;
        let scale = Scale::of(&rows);
        for row in rows {
            let colour = match row.pool {
                pool if pool.starts_with("ours") => RGBColor(0, 110, 60),
                pool if pool.starts_with("floor") => RGBColor(170, 170, 170),
                _ => RGBColor(90, 120, 190),
            };
            let [min, median, max] = [row.min(), row.median(), row.max()].map(|v| scale.x(v));
            let bar = [(NAMES, y), (median, y + LINE - 6)];
            root.draw(&Rectangle::new(bar, colour.mix(0.7).filled()))?;
            let middle = y + LINE / 2 - 3;
            root.draw(&PathElement::new([(min, middle), (max, middle)], BLACK))?;
            root.draw(&Text::new(row.pool, (20, y), plain))?;
            root.draw(&Text::new(short(row.median()), (max + 8, y), plain))?;
            y += LINE;
        }
        y += LINE;
    }
    root.present()?;
    Ok(())
}

/// Where a value lies: by its logarithm where the values are far apart.
struct Scale {
    least: f64,
    most: f64,
    logarithmic: bool,
}

impl Scale {
    fn of(rows: &[&Row]) -> Self {
        let least = rows.iter().map(|row| row.min()).fold(f64::INFINITY, f64::min).max(1e-9);
        let most = rows.iter().map(|row| row.max()).fold(0.0, f64::max).max(1e-9);
        Self { least, most, logarithmic: most / least > 20.0 }
    }

    fn x(&self, value: f64) -> i32 {
        let share = if self.logarithmic {
            (value.max(self.least) / self.least * 2.0).ln() / (self.most / self.least * 2.0).ln()
        } else {
            value / self.most
        };
        NAMES + (share * f64::from(WIDTH - NAMES - 110)) as i32
    }
}
