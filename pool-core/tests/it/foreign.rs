//! What adapters of foreign pools are given: their errors, snapshots and reports read as ours do.

use std::error::Error;
use std::panic::Location;

use pool_core::{
    AcquireError, AcquireErrorKind, CloseReport, Holder, Phase, Request, Snapshot, on_async_worker,
};

use crate::support::{ms, secs};

#[test]
fn a_foreign_error_tells_what_ours_tell() {
    let site = Location::caller();
    let mut pool = Snapshot::foreign("films", 2);
    (pool.in_use, pool.waiting) = (2, 1);
    let holders = [Holder::new(site, Some("scan"), 2, secs(5))];
    let last = Some(("refused".into(), secs(3)));
    let kind = AcquireErrorKind::TimedOut;
    let error = AcquireError::foreign(kind, ms(200), pool, holders, last);

    assert_eq!((error.kind(), error.waited(), error.phase()), (kind, ms(200), Phase::Queue));
    assert_eq!(error.holders()[0].count, 2);
    assert_eq!(error.source().unwrap().to_string(), "refused");
    let text = error.to_string();
    for part in [
        "films: no connection within 200 ms, waiting for one to come back",
        "2 of 2 in use, 0 idle, 0 connecting, 1 waiting",
        "foreign.rs",
        "(scan) for up to 5.0 s",
        "last connect error 3.0 s ago: refused",
        "raise max_size (now 2)",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn a_foreign_pool_with_room_was_waiting_for_a_connect() {
    let pool = Snapshot::foreign("films", 2);
    let error = AcquireError::foreign(AcquireErrorKind::TimedOut, ms(1), pool, [], None);
    assert_eq!(error.phase(), Phase::Connect);
    assert!(error.source().is_none());
}

#[test]
fn a_foreign_snapshot_starts_empty() {
    let pool = Snapshot::foreign("films", 8);
    assert_eq!((pool.open(), pool.waiting, pool.max_size, pool.max_idle), (0, 0, 8, 8));
    assert!(!pool.closed && !pool.suspended);
    assert_eq!(pool.counts.acquires() + pool.counts.created + pool.counts.ended.total(), 0);
}

#[test]
fn a_foreign_close_report_is_incomplete_while_somebody_holds() {
    let holder = Holder::new(Location::caller(), None, 1, secs(5));
    let report = CloseReport::foreign(secs(1), 3, 1, [holder]);
    assert!(!report.is_complete());
    let text = report.to_string();
    assert!(text.starts_with("closed 3 connections in 1s; abandoned 1; held: 1 by "), "{text}");
}

#[test]
fn a_request_tells_its_name() {
    assert_eq!(Request::new().operation_name(), None);
    assert_eq!(Request::new().operation("scan").operation_name(), Some("scan"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn only_a_thread_that_runs_a_task_is_an_async_worker() {
    assert!(on_async_worker());
    assert!(tokio::spawn(async { on_async_worker() }).await.unwrap());
    let moved_out = async { tokio::task::block_in_place(on_async_worker) };
    assert!(!tokio::spawn(moved_out).await.unwrap());
    assert!(!tokio::task::spawn_blocking(on_async_worker).await.unwrap());
    assert!(!std::thread::spawn(on_async_worker).join().unwrap());
}
