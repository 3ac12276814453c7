//! R9: how old connections get. R10: what the server allows. R11: the clock that jumps.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use pool_core::{Builder, Limits, Validation};
use pool_testkit::{Behaviour, FakeManager, FakeServer, Op};
use tokio::time::{Instant, sleep};

use crate::support::*;

/// Notes how many were left whenever one had ended.
struct Left(FakeServer, AtomicU64);

impl pool_core::Metrics for Left {
    fn closed(&self, _: &pool_core::Closed<'_>) {
        self.1.fetch_min(self.0.open() as u64, Ordering::Relaxed);
    }
}

/// A hundred connections born together; then an hour in steps of a second. With how many were
/// opened in each second, and how many were open at the least.
async fn cohort(max_size: u32) -> (FakeServer, Vec<usize>, u64) {
    let server = FakeServer::new();
    server.always(Op::Connect, Behaviour::Slow(ms(100)));
    let left = std::sync::Arc::new(Left(server.clone(), AtomicU64::new(100)));
    let pool = builder(&server, max_size)
        .min_size(100)
        .max_connecting(100)
        .idle_timeout(None)
        .max_lifetime(secs(1800))
        .metrics(left.clone())
        .build()
        .unwrap();
    pool.ready().await.unwrap();
    assert_eq!(server.calls(Op::Connect), 100);
    let begun = Instant::now();
    for second in 1..=3600 {
        tokio::time::sleep_until(begun + secs(second)).await;
        settle().await;
        if second == 1801 {
            let now = pool.snapshot();
            assert_eq!(now.counts.ended.lifetime, 100, "the whole cohort is gone by now");
        }
    }
    audit(&pool);
    let mut buckets = vec![0; 3601];
    for at in &server.connects()[100..] {
        buckets[(*at - begun).as_secs() as usize] += 1;
    }
    (server, buckets, left.1.load(Ordering::Relaxed))
}

#[tokio::test(start_paused = true)]
async fn r09_a_cohort_of_100_never_expires_together() {
    let (_, buckets, fewest) = cohort(110).await;
    let most = buckets.iter().max().unwrap();
    assert!(*most <= 10, "{most} opened in one second");
    assert_eq!(fewest, 100, "replaced before retired");
    let first = buckets.iter().position(|n| *n > 0).unwrap();
    assert!((1430..=1460).contains(&first), "the last fifth of the lifetime: from {first} s");
    assert!(buckets[1440..1800].iter().filter(|n| **n > 0).count() >= 60, "and all over it");
}

#[tokio::test(start_paused = true)]
async fn r09_without_headroom_it_spreads_as_well() {
    let (server, buckets, _) = cohort(100).await;
    assert!(*buckets.iter().max().unwrap() <= 10);
    assert_eq!(server.peak(), 100);
}

#[tokio::test(start_paused = true)]
async fn r09_on_return_each_goes_by_its_own_share_of_the_lifetime() {
    let server = FakeServer::new();
    let pool = builder(&server, 20).max_lifetime(secs(60)).lifetime_jitter(1.0).build().unwrap();
    let guards = hold(&pool, 20).await;
    sleep(secs(30)).await;
    drop(guards);
    settle().await;
    let now = audit(&pool);
    assert!((9..=11).contains(&now.idle), "half of them by half of the time: {}", now.idle);
    assert_eq!(now.counts.ended.lifetime, u64::from(20 - now.idle));
}

#[tokio::test(start_paused = true)]
async fn r09_what_cannot_be_replaced_stays_for_its_whole_lifetime_and_no_longer() {
    let server = FakeServer::new();
    let pool = builder(&server, 4)
        .min_size(2)
        .idle_timeout(None)
        .max_lifetime(secs(60))
        .lifetime_jitter(0.5)
        .build()
        .unwrap();
    pool.ready().await.unwrap();
    server.always(Op::Connect, Behaviour::Fail(pool_core::ErrorClass::Transient));
    sleep(secs(59)).await;
    assert_eq!(pool.snapshot().idle, 2, "better late than none");
    sleep(secs(2)).await;
    let error = pool.acquire().within(secs(1)).await.unwrap_err();
    assert_eq!(error.kind(), pool_core::AcquireErrorKind::TimedOut);
    assert_eq!(audit(&pool).counts.ended.lifetime, 2);
}

#[tokio::test(start_paused = true)]
async fn r09_the_lifetime_is_enforced_on_return() {
    let server = FakeServer::new();
    let pool = builder(&server, 1).max_lifetime(secs(60)).lifetime_jitter(0.0).build().unwrap();
    let busy = async |time| {
        let guard = pool.acquire().await.unwrap();
        let id = guard.id();
        sleep(time).await;
        drop(guard);
        settle().await;
        id
    };
    assert_eq!(busy(secs(59)).await, 1);
    assert_eq!(pool.snapshot().idle, 1, "not yet");
    assert_eq!(busy(secs(2)).await, 1);
    assert_eq!(pool.snapshot().open(), 0, "never idle, and yet it went");
    assert_eq!(busy(secs(1)).await, 2);
    assert_eq!(audit(&pool).counts.ended.lifetime, 1);
}

#[tokio::test(start_paused = true)]
async fn r09_none_is_handed_out_beyond_its_lifetime() {
    let server = FakeServer::new();
    let pool = builder(&server, 1)
        .min_size(1)
        .max_lifetime(secs(60))
        .lifetime_jitter(1.0)
        .idle_timeout(None)
        .build()
        .unwrap();
    for _ in 0..20 {
        sleep(secs(61)).await;
        let id = pool.acquire().await.unwrap().id();
        sleep(secs(61)).await;
        assert_ne!(pool.acquire().await.unwrap().id(), id);
    }
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r09_pruning_takes_nothing_that_a_waiter_needs() {
    let server = FakeServer::new();
    let pool = builder(&server, 1).idle_timeout(ms(1)).build().unwrap();
    for _ in 0..200 {
        let begun = Instant::now();
        let guard = pool.acquire().await.unwrap();
        let waiter = tokio::spawn({
            let pool = pool.clone();
            async move { pool.acquire().await.unwrap().id() }
        });
        sleep(ms(2)).await;
        let id = guard.id();
        drop(guard);
        assert_eq!(waiter.await.unwrap(), id);
        took(begun, ms(2));
    }
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn r09_keepalive_and_retirement_fall_due_together() {
    for (min_size, min_idle) in [(4, 0), (0, 4), (2, 2)] {
        let server = FakeServer::new();
        server.always(Op::Ping, Behaviour::Slow(ms(5)));
        let pool = builder(&server, 10)
            .min_size(min_size)
            .min_idle(min_idle)
            .idle_timeout(None)
            .max_lifetime(secs(61))
            .lifetime_jitter(0.02)
            .keepalive(secs(60))
            .build()
            .unwrap();
        pool.ready().await.unwrap();
        for _ in 0..600 {
            sleep(secs(1)).await;
            assert!(server.open() as u32 >= min_size.max(min_idle));
        }
        let now = audit(&pool);
        // Each lives for about a minute of the ten.
        let retired = now.counts.ended.lifetime;
        assert!(retired >= 9 * u64::from(min_size.max(min_idle)), "{now:?}");
        usable(&server, &pool).await;
    }
}

#[tokio::test(start_paused = true)]
async fn r10_what_the_server_would_cut_is_recycled_before() {
    let server = FakeServer::new();
    server.limits(Limits::none().idle(secs(60)));
    let pool = builder(&server, 4).min_size(4).validation(Validation::Never).build().unwrap();
    pool.ready().await.unwrap();
    for _ in 0..600 {
        sleep(secs(1)).await;
        pool.acquire().await.unwrap().query().expect("never cut in a user's hands");
    }
    let now = audit(&pool);
    assert_eq!(server.cut(), 0, "the server had to cut none");
    // Four minus the one in use all the time, each about every 45 s of 600.
    assert!((30..=50).contains(&now.counts.ended.server_limit), "{now:?}");
    assert_eq!((now.open(), server.calls(Op::Ping)), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn r10_or_kept_alive_where_a_keepalive_is_set() {
    let (after, never) = (Validation::IfIdleFor(ms(500)), Validation::Never);
    for (keepalive, validation) in [(secs(30), after), (secs(300), after), (secs(300), never)] {
        let server = FakeServer::new();
        server.limits(Limits::none().idle(secs(60)));
        let pool = builder(&server, 4).min_size(4).keepalive(keepalive).validation(validation);
        let pool = pool.build().unwrap();
        pool.ready().await.unwrap();
        sleep(secs(900)).await;
        let now = audit(&pool);
        assert_eq!((server.cut(), now.counts.ended.server_limit, now.counts.created), (0, 0, 4));
        assert!(server.calls(Op::Ping) >= 4 * (900 / 54), "{}", server.calls(Op::Ping));
    }
}

#[tokio::test(start_paused = true)]
async fn r10_a_lifetime_of_the_servers_counts_like_ones_own() {
    let server = FakeServer::new();
    server.limits(Limits::none().lifetime(secs(10)));
    let (pool, begun) = (builder(&server, 1).build().unwrap(), Instant::now());
    warm(&pool, 1).await;
    sleep(secs(10)).await;
    assert_eq!(pool.acquire().await.unwrap().id(), 2);
    took(begun, secs(10));
    assert_eq!(audit(&pool).counts.ended.lifetime, 1);
}

/// A function that was frozen between two short calls: the monotonic clock saw nothing of it.
#[tokio::test(start_paused = true)]
async fn r11_a_jump_shortly_after_the_last_use_is_noticed() {
    static WALL: AtomicU64 = AtomicU64::new(1_000_000);
    fn wall() -> SystemTime {
        SystemTime::UNIX_EPOCH + secs(WALL.load(Ordering::Relaxed))
    }
    let server = FakeServer::new();
    let pool = builder(&server, 1).validation(Validation::Never).wall_clock(wall).build().unwrap();
    sleep(secs(1)).await;
    drop(pool.acquire().await.unwrap());
    WALL.fetch_add(600, Ordering::Relaxed);
    sleep(ms(2)).await;
    drop(pool.acquire().await.unwrap());
    assert_eq!(server.calls(Op::Ping), 1);
}

#[tokio::test(start_paused = true)]
async fn r11_after_a_jump_of_the_wall_clock_everything_is_suspect() {
    static WALL: AtomicU64 = AtomicU64::new(1_000_000);
    fn wall() -> SystemTime {
        SystemTime::UNIX_EPOCH + secs(WALL.load(Ordering::Relaxed))
    }
    let server = FakeServer::new();
    let pool = builder(&server, 3).validation(Validation::Never).wall_clock(wall).build().unwrap();
    warm(&pool, 3).await;
    sleep(secs(100)).await; // the wall clock standing still is no jump
    drop(pool.acquire().await.unwrap());
    WALL.fetch_add(4, Ordering::Relaxed);
    sleep(secs(1)).await;
    drop(pool.acquire().await.unwrap());
    assert_eq!(server.calls(Op::Ping), 0, "being set right by a few seconds is none either");

    sleep(secs(1)).await;
    WALL.fetch_add(3600, Ordering::Relaxed);
    server.kill_all(); // while the machine slept, and no FIN came through
    server.silence_all();
    let begun = Instant::now();
    let mut guard = pool.acquire().await.unwrap();
    guard.query().expect("nothing suspect is handed out unproven");
    assert!(begun.elapsed() <= secs(2) + ms(1), "{:?}", begun.elapsed());
    assert!(server.calls(Op::Ping) >= 1);
    drop(guard);
    sleep(secs(10)).await;
    usable(&server, &pool).await;
}

#[test]
fn r09_time_that_jumps_makes_keepalive_and_retirement_fall_due_in_one_look() {
    for (min_size, min_idle) in [(4, 0), (0, 4), (2, 2)] {
        live(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let server = FakeServer::new();
                server.always(Op::Ping, Behaviour::Slow(ms(5)));
                let pool = builder(&server, 10)
                    .min_size(min_size)
                    .min_idle(min_idle)
                    .idle_timeout(None)
                    .max_lifetime(secs(100))
                    .lifetime_jitter(0.9)
                    .keepalive(secs(20))
                    .build()
                    .unwrap();
                pool.ready().await.unwrap();
                for _ in 0..50 {
                    tokio::time::advance(secs(95)).await;
                    sleep(secs(1)).await;
                    let now = audit(&pool);
                    assert!(now.idle >= min_size.max(min_idle), "{now:?}");
                }
                usable(&server, &pool).await;
            });
        });
    }
}

#[tokio::test(start_paused = true)]
async fn r09_a_replacement_is_no_surplus() {
    let server = FakeServer::new();
    server.always(Op::Connect, Behaviour::Slow(ms(1)));
    let pool = builder(&server, 5).min_size(2).max_idle(2).max_lifetime(secs(10)).build().unwrap();
    pool.ready().await.unwrap();
    sleep(secs(100)).await;
    let snapshot = audit(&pool);
    assert_eq!((snapshot.idle, snapshot.open()), (2, 2), "{snapshot:?}");
    assert_eq!(snapshot.counts.ended.surplus, 0);
    let connects = server.calls(Op::Connect);
    assert!(connects <= 2 * 14, "{connects} connects for some ten generations of two");
}

#[tokio::test(start_paused = true)]
async fn r09_what_was_replaced_goes_at_once() {
    let server = FakeServer::new();
    let pool = builder(&server, 2).min_size(1).max_lifetime(secs(100)).lifetime_jitter(1.0);
    let pool = pool.build().unwrap();
    pool.ready().await.unwrap();
    for _ in 0..500 {
        sleep(secs(1)).await;
        settle().await;
        assert_eq!(pool.snapshot().open(), 1);
    }
    assert!(audit(&pool).counts.ended.lifetime >= 5);
}

/// Notes when connections ended.
#[derive(Default)]
struct Ends(std::sync::Mutex<Vec<Instant>>);

impl pool_core::Metrics for Ends {
    fn closed(&self, _: &pool_core::Closed<'_>) {
        self.0.lock().unwrap().push(Instant::now());
    }
}

/// When eight connections, opened at the same moment and left alone, ended.
async fn ends(set: impl FnOnce(Builder<FakeManager>) -> Builder<FakeManager>) -> Vec<Duration> {
    let (server, ends) = (FakeServer::new(), std::sync::Arc::new(Ends::default()));
    server.limits(Limits::none().idle(secs(1000)));
    let pool = set(builder(&server, 8).idle_timeout(None).metrics(ends.clone()));
    let pool = pool.build().unwrap();
    let begun = Instant::now();
    warm(&pool, 8).await;
    sleep(secs(2000)).await;
    let ends = ends.0.lock().unwrap();
    assert_eq!(ends.len(), 8);
    ends.iter().map(|at| *at - begun).collect()
}

#[tokio::test(start_paused = true)]
async fn r09_born_together_they_retire_as_far_apart_as_can_be() {
    for seed in 0..20 {
        let jitter = |pool: Builder<_>| pool.max_lifetime(secs(600)).lifetime_jitter(1.0);
        let ends = ends(|pool| jitter(pool).seed(seed).keepalive(secs(60))).await;
        for pair in ends.windows(2) {
            // Multiples of the golden ratio: of eight no two are closer than 9 % of a turn.
            assert!(pair[1] - pair[0] > secs(53), "seed {seed}: {ends:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r10_the_servers_limit_is_approached_between_two_thirds_and_nine_tenths() {
    for seed in 0..20 {
        let ends = ends(|pool| pool.max_lifetime(None).seed(seed)).await;
        for at in &ends {
            assert!((secs(650)..=secs(901)).contains(at), "seed {seed}: {ends:?}");
        }
    }
}

/// Notes when connections were pinged.
#[derive(Default)]
struct Pings(std::sync::Mutex<Vec<Instant>>);

impl pool_core::Metrics for Pings {
    fn validated(&self, _: &pool_core::Validated<'_>) {
        self.0.lock().unwrap().push(Instant::now());
    }
}

#[tokio::test(start_paused = true)]
async fn r09_keepalives_come_within_the_last_tenth_and_not_all_at_once() {
    let (server, pings) = (FakeServer::new(), std::sync::Arc::new(Pings::default()));
    let pool = builder(&server, 8).min_size(8).idle_timeout(None).max_lifetime(None);
    let pool = pool.keepalive(secs(1000)).metrics(pings.clone()).build().unwrap();
    let begun = Instant::now();
    pool.ready().await.unwrap();
    sleep(secs(1001)).await;
    let pings: Vec<_> = pings.0.lock().unwrap().iter().map(|at| *at - begun).collect();
    assert_eq!(pings.len(), 8);
    for pair in pings.windows(2) {
        assert!(pair[1] - pair[0] > secs(8), "{pings:?}");
    }
    assert!(pings[0] >= secs(900) && pings[7] <= secs(1001), "{pings:?}");
}
