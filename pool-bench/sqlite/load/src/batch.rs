//! All rows at once: in and out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::film::year;
use crate::{Figure, Film, Pool, ROWS, Stage, figure, runtime};

pub const INSERT: &str = "batch insert of 100,000 rows";
pub const SCAN: &str = "scan of 100,000 rows";

/// Inserts into a new file, again and again.
pub(crate) fn insert<P: Pool>(time: Duration) -> Vec<Figure> {
    let runtime = runtime();
    let films = Arc::new(Film::all());
    let (mut took, mut times) = (Duration::ZERO, 0);
    while times == 0 || took < time {
        let mut stage = runtime.block_on(Stage::<P>::empty());
        let films = films.clone();
        let inserted = runtime.spawn(async move {
            let begun = Instant::now();
            stage.pool.insert(films).await;
            let took = begun.elapsed();
            assert_eq!(stage.pool.select(ROWS).await, year(ROWS));
            took
        });
        took += runtime.block_on(inserted).expect("no panic");
        times += 1;
    }
    rows(times, took)
}

/// Reads everything, again and again.
pub(crate) fn scan<P: Pool>(time: Duration) -> Vec<Figure> {
    let runtime = runtime();
    let _inside = runtime.enter(); // deadpool-sqlite cannot be dropped elsewhere
    let stage = runtime.block_on(Stage::<P>::full());
    let sum: i64 = Film::all().iter().map(|film| film.year + film.title.len() as i64).sum();
    let mut pool = stage.pool.clone();
    let (times, took) = runtime
        .block_on(runtime.spawn(async move {
            pool.scan().await;
            let (begun, mut times) = (Instant::now(), 0);
            while times == 0 || begun.elapsed() < time {
                assert_eq!(pool.scan().await, sum);
                times += 1;
            }
            (times, begun.elapsed())
        }))
        .expect("no panic");
    rows(times, took)
}

fn rows(times: u32, took: Duration) -> Vec<Figure> {
    let rows = f64::from(times) * ROWS as f64;
    vec![figure("rows", "k rows/s", rows / took.as_secs_f64() / 1000.0)]
}
