//! What a checkout costs in memory: nothing, where nobody waits.

use crate::support::*;

/// Statistics, flight recorder and holders are on, as they always are.
#[tokio::test(start_paused = true)]
async fn an_uncontended_checkout_and_return_allocate_nothing() {
    let (_, pool) = pool_of(2);
    warm(&pool, 2).await;
    let mut polls = 0;
    for _ in 0..3000 {
        let counted = allocation_counter::measure(|| {
            let mut acquire = std::pin::pin!(pool.acquire().into_future());
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            match acquire.as_mut().poll(&mut cx) {
                std::task::Poll::Ready(guard) => drop(guard.unwrap()),
                std::task::Poll::Pending => polls += 1, // it is another task's turn
            }
        });
        assert_eq!(counted.count_total, 0, "{counted:?}");
        tokio::task::yield_now().await;
    }
    assert_eq!(polls, 0);
    assert_eq!(audit(&pool).counts.acquired, 3002);
}

#[test]
fn an_uncontended_blocking_checkout_allocates_nothing() {
    let (_, pool) = pool_of(1);
    drop(pool.blocking().acquire().unwrap());
    let counted = allocation_counter::measure(|| drop(pool.blocking().acquire().unwrap()));
    assert_eq!(counted.count_total, 0, "{counted:?}");
}
