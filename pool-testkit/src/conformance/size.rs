//! Cases on size: the bound, the minimums, no storms (R1, R5, R6).

use super::harness::{Harness, Outcome};
use super::trial::Trial;

/// R1: however many ask, there are never more connections than `max_size`, those being opened
/// counted.
///
/// Origin: a counter that ran below zero in sqlx (transact-rs/sqlx#3645, #4289).
pub async fn r01_never_more_than_max_size<H: Harness>(t: Trial<H>) -> Outcome {
    let pool = t.pool(t.config(3)).await?;
    let asking: Vec<_> = (0..24).map(|_| t.ask(&pool)).collect();
    for asked in asking {
        let guard = asked.await.expect("no panic").expect("served in the end");
        assert!(t.watch.peak() <= 3, "{} connections at once", t.watch.peak());
        let snapshot = pool.snapshot();
        assert!(snapshot.open() <= 3, "{snapshot:?}");
        drop(guard);
    }
    assert!(t.watch.peak() <= 3, "{} connections at once", t.watch.peak());
    Ok(())
}
