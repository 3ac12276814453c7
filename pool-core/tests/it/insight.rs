//! R23: who holds what, and what a failed acquire says about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pool_core::{AcquireErrorKind, Builder, ErrorClass, Pool, PoolExt, Request};
use pool_testkit::{Behaviour, FakeConnection, FakeManager, FakeServer, Op};
use tokio::time::sleep;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn r23_a_time_out_reads_like_a_diagnosis() {
    let server = FakeServer::new();
    let pool = builder(&server, 3).name("orders").build().unwrap();
    let line = line!() + 3;
    let mut guards = Vec::new();
    for _ in 0..2 {
        guards.push(pool.acquire().operation("report").await.unwrap());
    }
    let other = pool.acquire().await.unwrap();
    for guard in &mut guards {
        guard.work(secs(1)).await;
    }
    sleep(secs(8)).await;
    let asker = pool.clone();
    let error = tokio::spawn(async move { asker.acquire().within(secs(2)).await.unwrap_err() });
    let error = error.await.unwrap();
    let text = error.to_string();
    for part in [
        "orders: no connection within 2.0 s, waiting for one to come back",
        "3 of 3 in use, 0 idle, 0 connecting",
        &format!("insight.rs:{line}:"),
        "(report) for up to 12.0 s, unused 92 % of it",
        &format!("1 by {}:{}:", file!(), line + 2),
        "held without being used",
    ] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    let [report, single] = error.holders() else { panic!("{text}") };
    assert_eq!((report.count, report.site.line()), (2, line));
    assert_eq!((report.operation, report.longest), (Some("report"), secs(12)));
    assert_eq!((single.count, single.idle_share), (1, None), "it never said when it was busy");
    assert!(error.nested_in().is_none());
    assert_eq!(error.snapshot().in_use, 3);
    drop((guards, other));
    assert!(pool.holders().is_empty());
}

#[tokio::test(start_paused = true)]
async fn r23_the_last_connect_error_is_told_while_it_matters() {
    let (server, pool) = pool_of(1);
    server.next(Op::Connect, [Behaviour::Fail(ErrorClass::Saturated)]);
    server.always(Op::Connect, Behaviour::Hang);
    let error = pool.acquire().within(secs(2)).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("waiting for one to be opened"), "{text}");
    assert!(text.contains("last connect error 2.0 s ago"), "{text}");
    assert!(text.contains("failed Connect (saturated)"), "{text}");
    server.always(Op::Connect, Behaviour::Ok);
    let guard = pool.acquire().await.unwrap();
    let text = pool.acquire().within(secs(1)).await.unwrap_err().to_string();
    assert!(!text.contains("connect error"), "all is well by now: {text}");
    drop(guard);
}

#[tokio::test(start_paused = true)]
async fn r23_a_nested_acquire_is_named() {
    let (_, pool) = pool_of(2);
    let other = tokio::spawn({
        let pool = pool.clone();
        async move {
            let _held = pool.acquire().await.unwrap();
            sleep(secs(60)).await;
        }
    });
    settle().await;
    let nested = tokio::spawn(async move {
        let line = line!() + 1;
        let _outer = pool.acquire().await.unwrap();
        let error = pool.acquire().within(secs(1)).await.unwrap_err();
        (line, error)
    });
    let (line, error) = nested.await.unwrap();
    assert_eq!(error.nested_in().unwrap().line(), line);
    let text = error.to_string();
    assert!(text.contains("The caller may be waiting for itself"), "{text}");
    assert!(text.contains(&format!("insight.rs:{line}")), "{text}");
    assert!(!text.contains("deadlock"), "the other one will be back: {text}");
    other.abort();
}

#[tokio::test(start_paused = true)]
async fn r23_a_full_deadlock_is_named() {
    let (_, pool) = pool_of(3);
    let tasks: Vec<_> = (0..3_u64)
        .map(|n| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let _outer = pool.acquire().await.unwrap();
                sleep(ms(1)).await;
                pool.acquire().within(secs(1 + n)).await.map(drop)
            })
        })
        .collect();
    let mut texts = Vec::new();
    for task in tasks {
        texts.extend(task.await.unwrap().err().map(|error| error.to_string()));
    }
    assert_eq!(texts.len(), 1, "the first gives up, which frees the others: {texts:?}");
    assert!(texts[0].contains("a deadlock"), "{}", texts[0]);
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r23_the_call_site_survives_a_pool_as_an_object() {
    let (_, pool) = pool_of(2);
    let object: Arc<dyn Pool<Connection = FakeConnection>> = Arc::new(pool.clone());
    let line = line!() + 1;
    let first = object.acquire().await.unwrap();
    let second = object.acquire_with(Request::new().operation("second")).await.unwrap();
    let mut holders = pool.holders();
    holders.sort_by_key(|holder| holder.site.line());
    let sites: Vec<_> =
        holders.iter().map(|holder| (holder.site.file(), holder.site.line())).collect();
    assert_eq!(sites, [(file!(), line), (file!(), line + 1)]);
    let within = Request::new().within(ms(20));
    let error = object.acquire_with(within).await.map(drop).unwrap_err();
    assert_eq!((error.kind(), error.holders().len()), (AcquireErrorKind::TimedOut, 2));
    drop(first);
    second.invalidate();
    settle().await;
    assert_eq!(audit(&pool).counts.ended.invalidated, 1);
}

#[tokio::test(start_paused = true)]
async fn r23_a_leak_is_reported_once_with_its_holder() {
    let server = FakeServer::new();
    let log = Log::default();
    let pool =
        builder(&server, 2).leak_after(secs(5)).metrics(Arc::new(log.clone())).build().unwrap();
    let line = line!() + 1;
    let leaked = pool.acquire().await.unwrap();
    sleep(secs(4)).await;
    drop(pool.acquire().await.unwrap());
    let other = pool.acquire().await.unwrap();
    sleep(secs(60)).await;
    drop((leaked, other));
    let leaks: Vec<_> = log
        .told()
        .into_iter()
        .filter_map(|told| match told {
            Told::Leaked { site, held } => Some((site.line(), held.as_secs())),
            _ => None,
        })
        .collect();
    assert_eq!(leaks, [(line, 5), (line + 3, 5)]);
    assert_eq!(audit(&pool).counts.leaks, 2);
}

#[tokio::test(start_paused = true)]
async fn r23_the_diagnosis_is_made_once_a_millisecond() {
    let (_, pool) = pool_of(1);
    let _guard = pool.acquire().await.unwrap();
    let mut timed_out = Vec::new();
    for pause in [ms(0), ms(0), ms(1)] {
        sleep(pause).await;
        let error = pool.acquire().within(ms(0)).await.unwrap_err();
        timed_out.push(error.snapshot().counts.timed_out);
    }
    assert_eq!(timed_out, [1, 1, 3]);
}

#[tokio::test(start_paused = true)]
async fn r23_holders_are_told_apart_by_place_and_by_operation() {
    let (_, pool) = pool_of(4);
    let one = pool.acquire().await.unwrap();
    let mut same_place = Vec::new();
    for operation in ["read", "write", "write"] {
        same_place.push(pool.acquire().operation(operation).await.unwrap());
    }
    let told: Vec<_> = pool.holders().iter().map(|h| (h.operation, h.count)).collect();
    assert_eq!(told, [(Some("write"), 2), (None, 1), (Some("read"), 1)]);
    drop(one);
    let other = pool.acquire().await.unwrap();
    drop(same_place);
    let same_operation = pool.acquire().await.unwrap();
    assert_eq!(pool.holders().len(), 2);
    drop((other, same_operation));
}

#[tokio::test(start_paused = true)]
async fn r23_an_acquire_that_fails_by_a_panic_says_where() {
    let server = FakeServer::new();
    let first = AtomicBool::new(true);
    let builder = builder(&server, 1).before_acquire(move |_| {
        assert!(first.swap(false, Ordering::Relaxed), "injected panic in a hook");
        Ok(())
    });
    let pool = builder.build().unwrap();
    warm(&pool, 1).await;
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(error.kind(), AcquireErrorKind::Panicked);
    assert!(error.to_string().contains("a before_acquire hook"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn r23_who_refuses_every_connection_is_named() {
    type Build = fn(Builder<FakeManager>) -> Builder<FakeManager>;
    let builds: [(Build, &str); 5] = [
        (|b| b.before_acquire(|_| Err("wrong schema".into())), "before_acquire: wrong schema"),
        (
            |b| b.before_acquire_async(|_| Box::pin(async { Err("wrong schema".into()) })),
            "before_acquire: wrong schema",
        ),
        (
            |b| b.before_acquire_async(|_| Box::pin(async { panic!("injected panic in a hook") })),
            "a panic: injected panic in a hook",
        ),
        (|b| b.after_connect(|_| Err("wrong version".into())), ": wrong version"),
        (|b| b, "Manager::condition: "),
    ];
    for (n, (build, says)) in builds.into_iter().enumerate() {
        let server = FakeServer::new();
        if n == 4 {
            server.always(Op::Condition, Behaviour::Fail(ErrorClass::Transient));
        }
        let pool = build(builder(&server, 1)).build().unwrap();
        let error = pool.acquire().within(secs(2)).await.unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert!(error.to_string().contains(says), "{n}: {error}");
        assert!(source.is_some(), "{n}: {error}");
        assert_eq!(server.calls(Op::Ping), 0, "{n}");
        audit(&pool);
    }
}

/// Why no other can be opened counts more.
#[tokio::test(start_paused = true)]
async fn r23_a_refusal_does_not_hide_why_connects_fail() {
    let server = FakeServer::new();
    let refuses = Arc::new(AtomicBool::new(false));
    let asked = refuses.clone();
    let pool = builder(&server, 2).before_acquire(move |_| match asked.load(Ordering::Relaxed) {
        false => Ok(()),
        true => Err("wrong schema".into()),
    });
    let pool = pool.build().unwrap();
    warm(&pool, 1).await;
    server.always(Op::Connect, Behaviour::Fail(ErrorClass::Permanent));
    refuses.store(true, Ordering::Relaxed);
    let error = pool.acquire().within(secs(5)).await.unwrap_err();
    assert_eq!(error.kind(), AcquireErrorKind::Connect);
    assert!(error.to_string().contains("last connect error"), "{error}");
    assert!(!error.to_string().contains("wrong schema"), "{error}");
    let (_, kept) = pool.view().last_connect_error().unwrap();
    assert!(!kept.to_string().contains("refused by"), "{kept}");
}

/// Many futures may share a thread that is no runtime's: that one has a connection says nothing
/// about another.
#[test]
fn r23_who_waits_outside_any_runtime_is_not_said_to_wait_for_itself() {
    live(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = FakeServer::new();
        let pool = builder(&server, 1).runtime(runtime.handle().clone()).build().unwrap();
        let held = park_on(pool.acquire().into_future()).unwrap();
        let error = park_on(pool.acquire().within(ms(5)).into_future()).unwrap_err();
        assert_eq!((error.kind(), error.nested_in()), (AcquireErrorKind::TimedOut, None));
        drop(held);
    });
}

#[tokio::test(start_paused = true)]
async fn r23_debug_names_what_it_is() {
    let (_, pool) = pool_of(1);
    let guard = pool.acquire().await.unwrap();
    let future = pool.acquire().into_future();
    for (text, name) in [
        (format!("{:?}", pool_core::ManagedPool::builder(FakeServer::new().manager())), "Builder"),
        (format!("{pool:?}"), "ManagedPool"),
        (format!("{:?}", pool.acquire()), "Acquire"),
        (format!("{future:?}"), "AcquireFuture"),
        (format!("{:?}", pool.blocking()), "Blocking"),
        (format!("{guard:?}"), "ManagedGuard"),
    ] {
        assert!(text.starts_with(name), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_view_proves_that_the_server_answers_and_keeps_nothing() {
    let (server, pool) = pool_of(1);
    let view = pool.view();
    view.probe(secs(1)).await.unwrap();
    assert_eq!((server.calls(Op::Ping), pool.snapshot().idle), (1, 1));

    // In turn with everybody.
    let guard = pool.acquire().await.unwrap();
    let error = view.probe(secs(1)).await.unwrap_err();
    let error = error.downcast::<pool_core::AcquireError>().unwrap();
    assert_eq!(error.kind(), AcquireErrorKind::TimedOut);
    drop(guard);

    // R19: what a ping was cut off on is not used again, nor what it failed on.
    for behaviour in [Behaviour::Hang, Behaviour::Fail(ErrorClass::Transient)] {
        server.next(Op::Ping, [behaviour]);
        view.probe(secs(1)).await.unwrap_err();
        settle().await;
        assert_eq!(pool.snapshot().open(), 0);
    }
    assert_eq!(audit(&pool).counts.ended.invalidated, 2);

    assert!(!view.is_gone());
    drop(pool);
    assert!(view.is_gone());
    assert_eq!(view.probe(secs(1)).await.unwrap_err().to_string(), "the pool is gone");
    assert!(view.snapshot().closed);
}
