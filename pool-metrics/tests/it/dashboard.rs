//! The live page's routes: what they tell, and that those who look cost little and are soon gone.

mod crowd;

use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{Request, Response, StatusCode, header};
use futures_util::{FutureExt, StreamExt};
use pool_core::{BoxError, ConnectContext, ErrorClass, ManagedPool, Manager};
use pool_metrics::Monitor;
use pool_metrics::dashboard::{Condition, Dashboard, Live};
use pool_testkit::{Behaviour, Op};
use serde_json::Value;
use tokio::time::sleep;
use tower::ServiceExt;

use crate::support::*;

async fn get(app: &Router, path: &str) -> Response<Body> {
    let request = Request::get(path).body(Body::empty()).unwrap();
    app.clone().oneshot(request).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn stream(app: &Router) -> BodyDataStream {
    let response = get(app, "/api/live/events").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    response.into_body().into_data_stream()
}

async fn next(stream: &mut BodyDataStream) -> Option<Bytes> {
    Some(stream.next().await?.unwrap())
}

/// The events in a piece of a stream: their names, and what they say.
fn events(piece: &[u8]) -> Vec<(String, Value)> {
    let text = std::str::from_utf8(piece).unwrap();
    assert!(text.ends_with("\n\n"), "whole events only");
    text.split("\n\n")
        .filter_map(|block| block.strip_prefix("event: ")?.split_once("\ndata: "))
        .map(|(name, data)| (name.to_owned(), serde_json::from_str(data).unwrap()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_stream_begins_with_the_past_and_goes_on_each_second() {
    let monitor = Monitor::new();
    let (_, pool) = watched(&monitor, 4, |builder| builder);
    tokio::spawn(monitor.run());
    let app = Dashboard::new(&monitor).live();
    for _ in 0..310 {
        rounds(&pool, 1).await;
        sleep(ms(999)).await;
    }
    let mut stream = stream(&app).await;
    let first = next(&mut stream).await.unwrap();
    assert!(first.starts_with(b"retry: 2000\n\n"));
    let first = events(&first);
    let [(history, past), (live, now)] = &first[..] else { panic!("{first:?}") };
    assert_eq!((&**history, &**live), ("history", "live"));
    assert_eq!(past[0]["name"], "plots");
    assert_eq!(past[0]["in_use"].as_array().unwrap().len(), 300);
    assert_eq!(past[0]["acquired_per_second"][299], 1.0);
    assert_eq!(now["databases"][0]["total"]["idle"], 1);

    let guard = pool.acquire().await.unwrap();
    let begun = tokio::time::Instant::now();
    for second in 1..=20 {
        let next = events(&next(&mut stream).await.unwrap());
        assert_eq!(next[0].0, "live");
        assert_eq!(next[0].1["databases"][0]["total"]["in_use"], 1);
        let recent = &next[0].1["databases"][0]["recent"];
        assert_eq!(recent["unix_millis"].as_array().unwrap().len(), 5);
        assert_eq!(begun.elapsed().as_secs(), second);
    }
    drop(guard);
}

#[tokio::test(start_paused = true)]
async fn who_reads_slowly_skips_and_all_share_the_same_bytes() {
    let monitor = Monitor::new();
    let (_, _pool) = watched(&monitor, 2, |builder| builder);
    let dashboard = Dashboard::new(&monitor);
    let app = dashboard.live();
    let (mut quick, mut slow) = (stream(&app).await, stream(&app).await);
    for one in [&mut quick, &mut slow] {
        next(one).await.unwrap();
    }
    let mut last = Bytes::new();
    for _ in 0..60 {
        last = next(&mut quick).await.unwrap();
    }
    let one = next(&mut slow).await.unwrap();
    assert_eq!(one.as_ptr(), last.as_ptr(), "the last, and no copy of it");
    assert!(next(&mut slow).now_or_never().is_none(), "the others were skipped");
}

#[tokio::test(start_paused = true)]
async fn a_stream_too_many_is_refused_and_a_place_left_is_free() {
    let monitor = Monitor::new();
    let dashboard = Dashboard::with_max_streams(&monitor, 2);
    let app = dashboard.live();
    let (one, two) = (stream(&app).await, stream(&app).await);
    let refused = get(&app, "/api/live/events").await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()[header::RETRY_AFTER], "10");
    assert_eq!(get(&app, "/api/live").await.status(), StatusCode::OK, "there is another way");
    drop(one);
    drop(stream(&app).await);
    assert_eq!(dashboard.streams(), 1);
    drop(two);
    assert_eq!((dashboard.streams(), dashboard.max_streams()), (0, 2));
}

/// One task for all streams, and none when there is no stream.
#[tokio::test(start_paused = true)]
async fn while_nobody_looks_nothing_runs() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let monitor = Monitor::new();
    let app = Dashboard::new(&monitor).live();
    let before = tasks();
    for _ in 0..3 {
        let streams = [stream(&app).await, stream(&app).await, stream(&app).await];
        assert_eq!(tasks(), before + 1);
        sleep(secs(5)).await;
        drop(streams);
        sleep(secs(2)).await;
        assert_eq!(tasks(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn streams_end_with_the_monitor_and_with_a_shutdown() {
    for by_shutdown in [true, false] {
        let monitor = Monitor::new();
        let dashboard = Dashboard::new(&monitor);
        let app = dashboard.live();
        let mut stream = stream(&app).await;
        next(&mut stream).await.unwrap();
        next(&mut stream).await.unwrap();
        if by_shutdown {
            dashboard.shutdown();
        } else {
            drop(monitor);
        }
        assert_eq!(next(&mut stream).await, None);
        drop(stream);
        let refused = get(&app, "/api/live/events").await.status();
        assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(dashboard.streams(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_at_once_cost_one_reading() {
    let monitor = Monitor::new();
    let app = Dashboard::new(&monitor).live();
    let first = text(get(&app, "/api/live").await).await;
    let (_, _pool) = watched(&monitor, 2, |builder| builder);
    assert_eq!(text(get(&app, "/api/live").await).await, first);
    sleep(secs(1)).await;
    assert!(text(get(&app, "/api/live").await).await.contains("plots"));
}

#[tokio::test]
async fn the_page_is_all_from_here_and_has_no_data() {
    let monitor = Monitor::new();
    let dashboard = Dashboard::new(&monitor);
    let page = dashboard.page();
    let (mut paths, mut size, mut i) = (vec!["/dashboard".to_owned()], 0, 0);
    while let Some(path) = paths.get(i).cloned() {
        i += 1;
        let response = get(&page, &path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let header = |name| response.headers()[name].to_str().unwrap().to_owned();
        let kind = match path.rsplit_once('.') {
            Some((_, "js")) => "text/javascript",
            Some((_, "css")) => "text/css",
            Some(_) => "image/svg+xml",
            None => "text/html",
        };
        assert!(header(header::CONTENT_TYPE).starts_with(kind));
        let policy = header(header::CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let text = text(response).await;
        let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("//www") && !elsewhere.contains("://"), "{path}");
        for markup in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!text.contains(markup), "{path}: {markup}");
        }
        size += text.len();
        let is_file = |name: &&str| [".js", ".css", ".svg"].iter().any(|end| name.ends_with(end));
        for name in text.split('"').filter(is_file) {
            let name = name.trim_start_matches("./").trim_start_matches("dashboard/");
            let path = format!("/dashboard/{name}");
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    assert_eq!(paths.len(), 10, "all that there is: {paths:?}");
    assert!(size < 60_000, "{size} bytes");
    assert_eq!(get(&page, "/api/live").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(get(&dashboard.live(), "/dashboard").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn every_condition_says_what_to_do() {
    let monitor = Monitor::new();
    let is = |condition: Condition, advice: &str| {
        let live = Live::of(&monitor);
        let said = &live.databases[0];
        assert_eq!(said.condition, condition, "{}", said.advice);
        assert!(said.advice.contains(advice), "{}", said.advice);
    };
    let (server, pool) = watched(&monitor, 1, |builder| builder.acquire_timeout(secs(2)));
    is(Condition::Unused, "yet");
    monitor.sample();

    server.always(Op::Connect, Behaviour::Fail(ErrorClass::Transient));
    pool.acquire().await.unwrap_err();
    is(Condition::Down, "check the server");
    server.always(Op::Connect, Behaviour::Ok);
    rounds(&pool, 1).await;
    is(Condition::FailingConnects, "error below");
    for _ in 0..70 {
        monitor.sample();
        sleep(secs(1)).await;
    }
    is(Condition::Idle, "nothing to do");
    rounds(&pool, 1).await;
    is(Condition::Working, "well");

    let guard = pool.acquire().await.unwrap();
    let waits = |n| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.acquire().within(secs(n)).await.map(drop) })
    };
    let waiters: Vec<_> = (0..5).map(|_| waits(1)).collect();
    sleep(ms(10)).await;
    is(Condition::Exhausted, "all 1 in use, 5 waiting: raise max_size or look at who holds");
    for waiter in waiters {
        waiter.await.unwrap().unwrap_err();
    }
    drop(guard);
    is(Condition::Watch, "5 acquires got none in the last"); // no indicator has a word for it

    pool.suspend();
    is(Condition::Suspended, "resume");
    pool.resume();
    pool.close(secs(1)).await;
    is(Condition::Closed, "new pool");
}

/// What drivers say may hold an address with all that is in it.
#[tokio::test(start_paused = true)]
async fn no_secret_is_told() {
    struct Talks;
    impl Manager for Talks {
        type Connection = ();
        type Error = BoxError;
        async fn connect(&self, _: &ConnectContext) -> Result<(), BoxError> {
            Err("cannot reach postgres://app:hunter2@db/plots (password=hunter2)".into())
        }
        async fn ping(&self, (): &mut ()) -> Result<(), BoxError> {
            Ok(())
        }
    }
    let monitor = Monitor::new();
    let builder = ManagedPool::builder(Talks).name("reader").metrics(monitor.metrics());
    let pool = builder.acquire_timeout(ms(50)).build().unwrap();
    monitor.watch("plots", [pool.view()]);
    pool.acquire().await.unwrap_err();
    monitor.probe("plots", ms(50)).await.unwrap();

    let app = Dashboard::new(&monitor).live();
    let json = text(get(&app, "/api/live").await).await;
    assert!(!json.contains("hunter2"), "{json}");
    let said: Value = serde_json::from_str(&json).unwrap();
    let error = said["databases"][0]["last_connect_error"]["text"].as_str().unwrap();
    assert!(error.contains("postgres://***@db/plots (password=***)"), "{error}");
    assert!(said["databases"][0]["last_probe"]["error"].is_string());
    assert_eq!(said["events"][0]["database"], "plots", "the name it is watched under");
}

/// Figures come from where they are counted.
#[tokio::test(start_paused = true)]
async fn the_document_tells_of_holders_operations_and_closes() {
    let monitor = Monitor::new();
    let (_, pool) = watched(&monitor, 2, |builder| builder);
    rounds(&pool, 3).await;
    pool.acquire().await.unwrap().invalidate();
    let _held = pool.acquire().operation("report").await.unwrap();
    sleep(secs(3)).await;
    let live = Live::of(&monitor);
    let plots = &live.databases[0];
    let holder = &plots.holders[0];
    assert!(holder.site.starts_with("tests/it/dashboard.rs:"), "{}", holder.site);
    assert_eq!((holder.operation, holder.count), (Some("report"), 1));
    assert_eq!(holder.longest_seconds.round(), 3.0);
    let served = |name| {
        let found = plots.operations.iter().find(|row| row.operation == name);
        found.map(|row| row.wait.count)
    };
    assert_eq!((served(Some("list_plots")), served(None)), (Some(3), Some(1)));
    assert_eq!((plots.closes[0].reason, plots.closes[0].count), ("invalidated", 1));
    assert_eq!((plots.sides[0].max_size, plots.sides[0].in_use), (2, 1));
    assert_eq!(plots.window.acquired, 5);
    assert_eq!(plots.window.usage.count, 4);
}
