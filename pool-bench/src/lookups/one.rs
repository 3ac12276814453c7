//! One task: a pool and a bare client take turns, so that their difference is of the same moment.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::{Pool, Table, any};
use crate::contest::{Figure, figure};

/// Look-ups of a turn: about a millisecond.
const TURN: usize = 25;

type Bare<P> = <<P as Pool>::Way as Table>::Bare;

/// How long a look-up takes, and how much longer than with the bare client. The median of each turn
/// counts, and of those the median: what else the machine does mostly falls out.
pub(super) fn one<P: Pool>(runtime: &Runtime, way: &P::Way, time: Duration) -> Vec<Figure> {
    let _inside = runtime.enter(); // some pools cannot be dropped elsewhere
    let opened = async { (<Bare<P> as Pool>::open(way).await, P::open(way).await) };
    let (bare, pool) = runtime.block_on(opened);
    let turns = runtime.spawn(async move {
        turns(&bare, &pool, time / 5).await;
        turns(&bare, &pool, time).await
    });
    let turns = runtime.block_on(turns).expect("no panic");
    let took = median(turns.iter().map(|(_, pool)| *pool).collect());
    let added = median(turns.iter().map(|(bare, pool)| pool - bare).collect());
    vec![figure("checkout + query", "us", took), figure("added to the bare client", "us", added)]
}

async fn turns<P: Pool>(bare: &Bare<P>, pool: &P, time: Duration) -> Vec<(f64, f64)> {
    let (begun, mut turns) = (Instant::now(), Vec::new());
    while begun.elapsed() < time {
        // Whoever comes first comes second next time.
        if turns.len() % 2 == 0 {
            let first = turn(bare).await;
            turns.push((first, turn(pool).await));
        } else {
            let first = turn(pool).await;
            turns.push((turn(bare).await, first));
        }
    }
    turns
}

/// How long most of them took, in us.
async fn turn<P: Pool>(pool: &P) -> f64 {
    let mut times = Vec::with_capacity(TURN);
    for _ in 0..TURN {
        let (id, value) = any::<P>();
        let begun = Instant::now();
        assert_eq!(pool.select(id).await, value);
        times.push(begun.elapsed().as_nanos() as f64 / 1000.0);
    }
    median(times)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
