//! The maintenance task: one a pool, asleep until something is due.

use super::machine::vocabulary::Time;
use super::runtime::Witness;
use super::shared::Shared;
use crate::Manager;
use crate::sync::Arc;

/// Ticks the state machine whenever it is due, until the pool is closed or bound elsewhere.
pub(super) async fn run<M: Manager>(shared: Arc<Shared<M>>, witness: Witness<M>) {
    loop {
        let now = shared.now();
        shared.look_at_the_wall_clock(now);
        let (due, closed) = shared.with_at(now, |state| (state.tick(), state.closed));
        if closed || !shared.is_bound(&witness) {
            break;
        }
        let nudged = shared.nudge.notified();
        if due == Time::NEVER {
            nudged.await;
        } else {
            let _ = tokio::time::timeout_at(shared.instant(due), nudged).await;
        }
    }
    witness.done();
}
