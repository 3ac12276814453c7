//! The pool as a whole, shell and tasks included, in thousands of random schedules.
//!
//! Tens of tasks use a small pool in every way there is, while connects, pings, resets and closes
//! go wrong, time passes when it likes, and now and then the runtime dies. Whatever the schedule:
//! the bound is kept, every acquire ends, the counts add up, and a closed pool has nothing left.
//!
//! `POOL_SEED` picks the schedules, `POOL_SCHEDULES` how many; a failure names its seed, and shuttle
//! prints the one schedule that failed.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use pool_core::{
    AcquireErrorKind, Cause, Condition, ConnectContext, ErrorClass, ManagedPool, Manager, Metrics,
    PoolConfig, Reset, Validation,
};
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};
use tokio::runtime::Runtime;
use tokio::time::sleep;

/// True in one of so many cases; shuttle draws, so that a schedule can be replayed.
fn one_in(n: u32) -> bool {
    thread_rng().gen_ratio(1, n)
}

/// A database without a server: it goes wrong as the schedule says, and counts its connections.
#[derive(Clone, Default)]
struct Database {
    alive: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
    /// From now on everything goes well.
    healed: Arc<AtomicBool>,
}

struct Connection {
    database: Database,
    dirty: bool,
    broken: bool,
    /// A ping or reset was begun and did not end.
    under_way: bool,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.database.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Database {
    /// Goes wrong now and then, or takes its time.
    async fn act(&self) -> Result<(), std::io::Error> {
        let healed = || self.healed.load(Ordering::Relaxed);
        shuttle::future::yield_now().await;
        if healed() || !one_in(4) {
            return Ok(());
        }
        match thread_rng().gen_range(0..4) {
            0 => Err(std::io::Error::other("told to fail")),
            1 => panic!("told to panic"),
            2 => std::future::pending().await,
            _ => {
                sleep(Duration::from_millis(thread_rng().gen_range(1..50))).await;
                Ok(())
            }
        }
    }
}

impl Manager for Database {
    type Connection = Connection;
    type Error = std::io::Error;

    async fn connect(&self, _: &ConnectContext) -> Result<Connection, Self::Error> {
        self.act().await?;
        let alive = self.alive.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak.fetch_max(alive, Ordering::Relaxed);
        Ok(Connection { database: self.clone(), dirty: false, broken: false, under_way: false })
    }

    async fn ping(&self, connection: &mut Connection) -> Result<(), Self::Error> {
        assert!(!std::mem::replace(&mut connection.under_way, true));
        self.act().await?;
        connection.under_way = false;
        Ok(())
    }

    fn condition(&self, connection: &mut Connection) -> Condition {
        match connection {
            Connection { broken: true, .. } => Condition::Broken(Cause::Disconnected),
            Connection { dirty: true, .. } => Condition::Dirty(Cause::Transaction),
            _ => Condition::Clean,
        }
    }

    async fn reset(&self, connection: &mut Connection, _: Cause) -> Result<Reset, Self::Error> {
        assert!(!std::mem::replace(&mut connection.under_way, true));
        self.act().await?;
        (connection.under_way, connection.dirty) = (false, false);
        Ok(Reset::Kept)
    }

    async fn close(&self, connection: Connection) {
        let _ = self.act().await;
        drop(connection);
    }

    fn classify(&self, _: &Self::Error) -> ErrorClass {
        [ErrorClass::Transient, ErrorClass::Saturated][usize::from(one_in(2))]
    }
}

struct Silent;
impl Metrics for Silent {}

const SIZE: u32 = 3;

fn pool(database: &Database) -> ManagedPool<Database> {
    let config = PoolConfig::new()
        .max_size(SIZE)
        .min_idle(1)
        .max_waiting(None)
        .acquire_timeout(Duration::from_secs(5))
        .connect_timeout(Duration::from_secs(1))
        .validation([Validation::Always, Validation::Never][usize::from(one_in(2))]);
    let builder = ManagedPool::builder(database.clone()).config(config);
    builder.seed(7).metrics(Arc::new(Silent)).build().expect("valid")
}

/// One user's doings; true if it was served.
async fn use_it(pool: ManagedPool<Database>) -> bool {
    let mut acquire = pin!(pool.acquire().into_future());
    let patience = if one_in(4) { thread_rng().gen_range(0..4) } else { u32::MAX };
    let mut polls = 0;
    let outcome = std::future::poll_fn(|cx: &mut Context<'_>| {
        if polls == patience {
            return Poll::Ready(None);
        }
        polls += 1;
        acquire.as_mut().poll(cx).map(Some)
    });
    let mut guard = match outcome.await {
        Some(Ok(guard)) => guard,
        Some(Err(error)) => {
            use AcquireErrorKind::{Closed, NoRuntime, Panicked, Suspended, TimedOut};
            let kind = error.kind();
            let fair = matches!(kind, Closed | NoRuntime | Panicked | Suspended | TimedOut);
            assert!(fair, "{error}");
            return false;
        }
        None => return false,
    };
    assert!(!guard.dirty && !guard.broken && !guard.under_way, "handed out half-used");
    let snapshot = pool.snapshot();
    assert!(snapshot.open() <= SIZE, "{snapshot:?}");
    for _ in 0..thread_rng().gen_range(0..3) {
        shuttle::future::yield_now().await;
    }
    match thread_rng().gen_range(0..8) {
        0 => guard.dirty = true,
        1 => guard.broken = true,
        2 => {
            guard.invalidate();
            return true;
        }
        3 => {
            drop(guard.detach());
            return true;
        }
        _ => {}
    }
    drop(guard);
    true
}

/// Now and then somebody turns a knob.
async fn turn_knobs(pool: ManagedPool<Database>) {
    for _ in 0..thread_rng().gen_range(0..3) {
        shuttle::future::yield_now().await;
        match thread_rng().gen_range(0..4) {
            0 => pool.invalidate_all(),
            1 => drop(pool.retain(|_| one_in(2))),
            2 => {
                pool.suspend();
                shuttle::future::yield_now().await;
                pool.resume();
            }
            _ => pool.resize(&PoolConfig::new().max_size(SIZE)).expect("valid"),
        }
    }
}

/// Lets time pass, when it is this task's turn, until told to stop. It has the patience to tell a
/// hang from a slow schedule.
fn clock(stop: Arc<AtomicBool>, look: impl Fn() -> String + Send + 'static) -> Clock {
    const PATIENCE: u32 = 20_000;
    shuttle::thread::spawn(move || {
        for _ in 0..PATIENCE {
            shuttle::thread::yield_now();
            if stop.load(Ordering::Relaxed) {
                return;
            }
            if one_in(8) {
                tokio::time::advance();
            }
        }
        panic!("it hangs: {}", look());
    })
}

type Clock = shuttle::thread::JoinHandle<()>;

/// What is true of a pool that has come to rest.
fn adds_up(pool: &ManagedPool<Database>, asked: u64) {
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.in_use, snapshot.waiting), (0, 0), "{snapshot:?}");
    assert_eq!(snapshot.counts.acquires(), asked, "{snapshot:?}");
    let opened = u64::from(snapshot.open() - snapshot.connecting);
    assert_eq!(snapshot.counts.created, snapshot.counts.ended.total() + opened, "{snapshot:?}");
}

fn tens_of_tasks() {
    tokio::time::reset();
    let mut runtimes = vec![Runtime::enter_new()];
    let (database, stop) = (Database::default(), Arc::new(AtomicBool::new(false)));
    let pool = pool(&database);
    let watched = pool.clone();
    let clock = clock(stop.clone(), move || watched.flight_recording().to_string());
    let knobs = shuttle::future::spawn(turn_knobs(pool.clone()));
    let users: Vec<_> = (0..20).map(|_| shuttle::future::spawn(use_it(pool.clone()))).collect();
    if one_in(4) {
        // The runtime dies under everybody; the next who asks brings another.
        shuttle::thread::yield_now();
        runtimes[0].shutdown();
        runtimes.push(Runtime::enter_new());
    }
    shuttle::future::block_on(async {
        for user in users {
            user.await.expect("no user panics");
        }
        knobs.await.expect("nobody panics");
        database.healed.store(true, Ordering::Relaxed);
        // Faults are over: everybody is served, but for what goes wrong with calls that were begun
        // before.
        let mut guards = Vec::new();
        while guards.len() < SIZE as usize {
            match pool.acquire().within(None).await {
                Ok(guard) => guards.push(guard),
                Err(error) => assert_eq!(error.kind(), AcquireErrorKind::Panicked, "{error}"),
            }
        }
    });
    let asked = pool.snapshot().counts.acquires();
    adds_up(&pool, asked);
    shuttle::future::block_on(async {
        let report = pool.close(Duration::MAX).await;
        assert!(report.is_complete(), "{report}");
        assert_eq!(database.alive.load(Ordering::Relaxed), 0, "nothing is left");
    });
    drop(pool);
    no_task_left(&runtimes);
    stop.store(true, Ordering::Relaxed);
    clock.join().expect("the clock ends");
}

/// Waits until every task of the pool has ended; one that never does runs into the step limit.
fn no_task_left(runtimes: &[Runtime]) {
    while !runtimes.iter().all(Runtime::is_idle) {
        shuttle::thread::yield_now();
    }
}

fn closing_under_load() {
    tokio::time::reset();
    let runtime = Runtime::enter_new();
    let (database, stop) = (Database::default(), Arc::new(AtomicBool::new(false)));
    let pool = pool(&database);
    let left = database.alive.clone();
    let clock =
        clock(stop.clone(), move || format!("{} connections left", left.load(Ordering::Relaxed)));
    let users: Vec<_> = (0..12).map(|_| shuttle::future::spawn(use_it(pool.clone()))).collect();
    shuttle::future::block_on(async {
        if one_in(2) {
            drop(pool.close(Duration::from_secs(60)).await);
        }
        drop(pool); // or the last handle closes it
        for user in users {
            user.await.expect("no user panics");
        }
        // Connections say goodbye on their own; a hanging one until its deadline.
        while database.alive.load(Ordering::Relaxed) > 0 {
            shuttle::future::yield_now().await;
        }
    });
    no_task_left(&[runtime]);
    stop.store(true, Ordering::Relaxed);
    clock.join().expect("the clock ends");
}

/// Runs a model in so many schedules of one kind.
fn check(scheduler: impl Scheduler + 'static, seed: u64, model: fn()) {
    struct Failed(u64);
    impl Drop for Failed {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("again with POOL_SEED={}", self.0);
            }
        }
    }
    let _failed = Failed(seed);
    let mut config = Config::new();
    config.stack_size = 0x40_000;
    config.failure_persistence = shuttle::FailurePersistence::None; // it would tell injected panics too
    config.silence_warnings = true;
    config.max_steps = shuttle::MaxSteps::FailAfter(200_000);
    Runner::new(scheduler, config).run(model);
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

fn run(model: fn()) {
    let (seed, schedules) = (number("POOL_SEED", 1), number("POOL_SCHEDULES", 2_500) as usize);
    quiet_about_injected_panics();
    check(RandomScheduler::new_from_seed(seed, schedules * 4 / 5), seed, model);
    check(PctScheduler::new_from_seed(seed, 3, schedules / 5), seed, model);
    println!("{schedules} schedules");
}

fn quiet_about_injected_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() != Some("told to panic") {
                usual(info);
            }
        }));
    });
}

#[test]
fn tens_of_tasks_leave_a_pool_whole() {
    run(tens_of_tasks);
}

#[test]
fn closing_under_load_leaves_nothing() {
    run(closing_under_load);
}
