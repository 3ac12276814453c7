//! PostgreSQL for real: a server of its own for each group of tests. Every test ends by a hard
//! deadline; none depends on how fast the machine is.

mod batches;
mod cancelling;
mod certificates;
mod conformance;
mod faults;
mod hosts;
mod listening;
mod observing;
mod pitfalls;
mod place;
mod poolers;
mod reconfiguring;
mod returning;
mod several_calls;
mod tls;
mod transactions;
mod values;

use std::future::IntoFuture;
use std::time::Duration;

/// A hang is a failure.
async fn soon<T>(work: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("hangs")
}
