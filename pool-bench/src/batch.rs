//! Many rows at once, into an empty table of a real server. What is the same for all servers.

use std::rc::Rc;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::contest::{Contest, figure};

const CASE: &str = "batch insert of 100,000 rows";
pub(crate) const ROWS: i64 = 100_000;

/// Adds a way to insert [`ROWS`] rows, which tells how long it took.
pub(crate) fn enter<F: Future<Output = Duration>>(
    contest: &mut Contest,
    runtime: &Rc<Runtime>,
    pool: &'static str,
    insert: impl Fn() -> F + 'static,
) {
    let runtime = runtime.clone();
    contest.enter(pool, CASE, move |time| {
        let (mut took, mut times) = (Duration::ZERO, 0);
        while times == 0 || took < time {
            took += runtime.block_on(insert());
            times += 1;
        }
        let rows = f64::from(times) * ROWS as f64;
        vec![figure("rows", "k rows/s", rows / took.as_secs_f64() / 1000.0)]
    });
}
