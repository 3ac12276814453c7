//! A pool under everything at once, on real threads and a real clock, for as long as you like:
//! `STRESS_SECONDS=600 cargo run --release -p pool-testkit --example stress`, or
//! `./test.sh stress`.
//!
//! It runs in rounds. Each makes a pool with settings of its own on a runtime of its own, lets tasks
//! and threads loose on it while connects, pings, resets and closes fail, hang, panic and take their
//! time, while the server dies and comes back and operators turn every knob; watches the invariants
//! all the while; then lets the faults end and wants the pool whole again: every slot usable, nothing
//! left after close, no task, no thread, no memory. `POOL_SEED` picks the rounds.
//!
//! On a failure it says what was seen, writes the flight recording to a file, and replays it.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pool_core::{Cause, ErrorClass, ManagedGuard, ManagedPool, PoolConfig, Reuse, Validation};
use pool_testkit::{Behaviour, FakeManager, FakeServer, Faults, FaultyManager, Op, Watch};
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep, timeout};

type Manager = FaultyManager<FakeManager>;
type Guard = ManagedGuard<Manager>;

/// A round ends when the pool has seen so many acquires, so that its recording is complete.
const ACQUIRES: u64 = 20_000;
const RECORDED: usize = 1 << 20;
/// A round ends by this time anyway.
const ROUND: Duration = Duration::from_secs(3);
/// By how much a deadline may be missed on a busy machine.
const LATE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let number = |name, default| {
        let given = std::env::var(name).ok();
        given.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
    };
    let seconds: u64 = number("STRESS_SECONDS", 30);
    let seed = number("POOL_SEED", fastrand::u64(..));
    println!("stress: {seconds} s, POOL_SEED={seed}");
    pool_testkit::hush_injected_panics();

    let end = Instant::now() + Duration::from_secs(seconds);
    let threads = threads();
    let (mut rounds, mut acquires, mut memory) = (0_u64, 0_u64, Vec::new());
    while Instant::now() < end {
        let failure = match round(seed.wrapping_add(rounds)) {
            Ok(seen) => {
                acquires += seen;
                eventually(|| self::threads() <= threads)
                    .map_err(|()| format!("{} threads, before {threads}", self::threads()))
                    .err()
            }
            Err(failure) => Some(failure),
        };
        if let Some(failure) = failure {
            println!("FAILED in round {rounds} (POOL_SEED={seed}): {failure}");
            return ExitCode::FAILURE;
        }
        rounds += 1;
        memory.push(resident());
        if rounds.is_power_of_two() {
            println!("{rounds} rounds, {acquires} acquires, {} MB", memory[memory.len() - 1] >> 10);
        }
    }
    let quarter = (memory.len() / 4).max(1);
    let (early, late) = (median(&memory[..quarter]), median(&memory[memory.len() - quarter..]));
    println!(
        "{rounds} rounds, {acquires} acquires: invariants held; memory {} MB in the first quarter, \
         {} MB in the last; {} threads before, {} after",
        early >> 10,
        late >> 10,
        threads,
        self::threads()
    );
    if late > early + early / 4 + (16 << 10) {
        println!("FAILED: memory grows");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Everything a round's tasks and threads share.
struct Round {
    pool: ManagedPool<Manager>,
    server: FakeServer,
    watch: Watch,
    stop: AtomicBool,
    /// The largest size the pool had.
    max_size: AtomicU32,
    held: Mutex<HashSet<u64>>,
    failures: Mutex<Vec<String>>,
}

/// How many acquires it saw, or what went wrong.
fn round(seed: u64) -> Result<u64, String> {
    fastrand::seed(seed);
    let (server, faults) = (FakeServer::new(), Faults::none());
    faults.seed(seed);
    let manager = FaultyManager::new(server.manager(), faults.clone());
    let (watch, config) = (manager.watch(), random_config());
    plan(&faults);
    let runtime = random_runtime();
    let pool = ManagedPool::builder(manager)
        .config(config.clone())
        .seed(seed)
        .runtime(runtime.handle().clone())
        .before_acquire(|_| if one_in(500) { Err("refused by a hook".into()) } else { Ok(()) })
        .after_release(|_| if one_in(500) { panic!("{OURS}") } else { Ok(()) })
        .build()
        .map_err(|error| error.to_string())?;
    let round = Arc::new(Round {
        pool,
        server,
        watch,
        stop: AtomicBool::new(false),
        max_size: AtomicU32::new(config.max_size),
        held: Mutex::default(),
        failures: Mutex::default(),
    });

    let users = config.max_size * fastrand::u32(1..8);
    let tasks: Vec<_> = (0..users).map(|_| runtime.spawn(user(round.clone()))).collect();
    let threads: Vec<_> = (0..2).map(|_| spawn(&round, thread)).collect();
    let operator = spawn(&round, operator);
    watch_it(&round);
    round.stop.store(true, Ordering::Relaxed);
    let _ = operator.join();
    threads.into_iter().for_each(|thread| drop(thread.join()));
    faults.clear();
    round.server.up();
    let outcome = runtime.block_on(async {
        for task in tasks {
            let ended = timeout(LATE * 4, task).await;
            ended.map_err(|_| "a user hangs")?.map_err(|_| "a user's task panicked")?;
        }
        heals(&round).await
    });
    let acquires = round.pool.snapshot().counts.acquires();
    let recording = round.pool.flight_recording();
    let failures = std::mem::take(&mut *lock(&round.failures));
    let outcome = match failures.into_iter().next() {
        Some(failure) => Err(failure),
        None => outcome.and_then(|()| match recording.overwritten() {
            0 => recording.replay(),
            _ => Ok(()),
        }),
    };
    let outcome = outcome.and_then(|()| {
        let metrics = runtime.metrics();
        eventually(|| metrics.num_alive_tasks() == 0)
            .map_err(|()| format!("{} tasks are left", metrics.num_alive_tasks()))
    });
    outcome.map(|()| acquires).map_err(|failure| {
        let path = std::env::temp_dir().join(format!("pool-flight-recording-{seed}.txt"));
        let written = std::fs::write(&path, recording.to_string());
        let replay = recording.replay().map_or_else(|e| e, |()| "leads to the same end".into());
        format!(
            "{failure}\n  settings: {config:?}\n  snapshot: {:?}\n  recording: {} ({written:?}); \
             replay {replay}",
            round.pool.snapshot(),
            path.display(),
        )
    })
}

/// Faults are over: every slot is usable, and a closed pool leaves nothing.
async fn heals(round: &Arc<Round>) -> Result<(), String> {
    let Round { pool, watch, server, .. } = &**round;
    pool.resume();
    let max_size = pool.snapshot().max_size;
    let mut guards = Vec::new();
    for _ in 0..max_size {
        let guard = timeout(LATE * 4, async {
            loop {
                // What was begun before the faults ended may still go wrong.
                match pool.acquire().within(LATE).await {
                    Err(_) => sleep(Duration::from_millis(5)).await,
                    Ok(guard) => return guard,
                }
            }
        });
        guards.push(guard.await.map_err(|_| "a slot is lost: no connection".to_owned())?);
    }
    drop(guards);
    let report = pool.close(LATE).await;
    if !report.is_complete() {
        return Err(format!("close: {report}"));
    }
    let counts = pool.snapshot().counts;
    if counts.created != counts.ended.total() {
        return Err(format!("created and ended differ: {counts:?}"));
    }
    let violations = watch.violations();
    match (watch.alive(), server.held(), violations.first()) {
        (0, 0, None) => Ok(()),
        (alive, held, violation) => {
            Err(format!("{alive} connections alive, {held} at the server; {violation:?}"))
        }
    }
}

/// Looks at the invariants until the round is over.
fn watch_it(round: &Round) {
    let begun = Instant::now();
    let mut last = 0;
    loop {
        let snapshot = round.pool.snapshot();
        let (max_size, counts) = (round.max_size.load(Ordering::Relaxed), snapshot.counts);
        let opened = u64::from(snapshot.open() - snapshot.connecting);
        round.check(snapshot.open() <= max_size, || format!("R1: {snapshot:?}"));
        round.check(counts.created == counts.ended.total() + opened, || {
            format!("R24: created, ended and open: {snapshot:?}")
        });
        round.check(counts.acquired == counts.hits + counts.misses, || {
            format!("R24: acquired, hits and misses: {snapshot:?}")
        });
        round.check(counts.created >= last, || format!("R24: created shrank: {snapshot:?}"));
        last = counts.created;
        let violations = round.watch.violations();
        round.check(violations.is_empty(), || format!("R14: {violations:?}"));
        let over = begun.elapsed() > ROUND || counts.acquires() > ACQUIRES;
        if over || !lock(&round.failures).is_empty() {
            return;
        }
        std::thread::park_timeout(Duration::from_micros(200));
    }
}

impl Round {
    fn check(&self, so: bool, what: impl FnOnce() -> String) {
        if !so {
            lock(&self.failures).push(what());
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// A connection came: nobody else has it, and nobody's traces are on it.
    fn got(&self, guard: &Guard) -> u64 {
        let id = guard.id();
        self.check(lock(&self.held).insert(id), || format!("R13: {id} has two users"));
        self.check(!guard.in_transaction(), || format!("R18: {id} comes with a transaction"));
        id
    }

    fn give_back(&self, id: u64) {
        lock(&self.held).remove(&id);
    }
}

/// A task that uses the pool in every way there is.
async fn user(round: Arc<Round>) {
    while !round.stopped() {
        let patience = match fastrand::u32(..8) {
            0 => Duration::ZERO,
            1 => Duration::from_micros(fastrand::u64(..200)),
            _ => Duration::from_millis(fastrand::u64(1..400)),
        };
        let begun = Instant::now();
        let acquire = round.pool.acquire().within(patience);
        let outcome = if one_in(6) {
            let cancel = Duration::from_micros(fastrand::u64(..3000));
            timeout(cancel, acquire).await.ok()
        } else {
            Some(acquire.await)
        };
        let took = begun.elapsed();
        round.check(took < patience + LATE, || format!("R7: {took:?} for {patience:?}"));
        if let Some(Ok(guard)) = outcome {
            use_it(&round, guard).await;
        }
        if one_in(8) {
            sleep(Duration::from_micros(fastrand::u64(..2000))).await;
        }
    }
}

async fn use_it(round: &Arc<Round>, mut guard: Guard) {
    let id = round.got(&guard);
    match fastrand::u32(..4) {
        0 => sleep(Duration::from_micros(fastrand::u64(..1500))).await,
        1 => tokio::task::yield_now().await,
        _ => {}
    }
    let _ = guard.query();
    let held = round.clone();
    match fastrand::u32(..40) {
        0 => guard.begin(),
        1 => guard.soil(Cause::SessionState),
        2 => round.server.kill(id),
        3 => {
            round.give_back(id);
            return guard.invalidate();
        }
        4 => {
            round.give_back(id);
            let connection = guard.detach();
            // Its drop may panic, and it is the user's now.
            return drop(catch_unwind(AssertUnwindSafe(|| drop(connection))));
        }
        5 => {
            // Its task panics with the connection in hand.
            let panics = tokio::spawn(async move {
                let _guard = guard;
                held.give_back(id);
                panic!("{OURS}");
            });
            return drop(panics.await);
        }
        6 => {
            // It is dropped on a thread without a runtime.
            let thread = std::thread::spawn(move || {
                held.give_back(id);
                drop(guard);
            });
            return drop(thread.join());
        }
        7 => {
            // It wants another, while it holds one.
            let second = round.pool.acquire().within(Duration::from_millis(2)).await;
            if let Ok(second) = second {
                round.give_back(round.got(&second));
            }
        }
        _ => {}
    }
    round.give_back(id);
}

/// A thread without a runtime that uses the pool.
fn thread(round: &Round) {
    while !round.stopped() {
        let patience = Duration::from_millis(fastrand::u64(..50));
        if let Ok(guard) = round.pool.blocking().acquire_within(patience) {
            let id = round.got(&guard);
            if one_in(4) {
                std::thread::park_timeout(Duration::from_micros(fastrand::u64(..500)));
            }
            round.give_back(id);
        }
    }
}

/// Somebody who turns every knob, and pulls plugs.
fn operator(round: &Round) {
    let Round { pool, server, .. } = round;
    while !round.stopped() {
        std::thread::park_timeout(Duration::from_micros(fastrand::u64(..4000)));
        match fastrand::u32(..24) {
            0 => pool.invalidate_all(),
            1 => drop(catch_unwind(AssertUnwindSafe(|| {
                pool.retain(|_| if one_in(9) { panic!("{OURS}") } else { one_in(2) })
            }))),
            2 => {
                pool.suspend();
                std::thread::park_timeout(Duration::from_millis(fastrand::u64(..5)));
                pool.resume();
            }
            3..6 => {
                let max_size = fastrand::u32(1..14);
                round.max_size.fetch_max(max_size, Ordering::Relaxed);
                let min_idle = fastrand::u32(0..=max_size);
                let sizes = PoolConfig::new().max_size(max_size).min_idle(min_idle);
                round.check(pool.resize(&sizes).is_ok(), || format!("refused {sizes:?}"));
            }
            6 => {
                server.down();
                std::thread::park_timeout(Duration::from_millis(fastrand::u64(..20)));
                server.up();
            }
            7 => server.kill_half(),
            8 => server.silence_half(),
            9 => drop((pool.holders(), pool.statistics(), format!("{pool:?}"))),
            _ => {}
        }
    }
}

/// Everything goes wrong now and then.
fn plan(faults: &Faults) {
    let slow = || Behaviour::Slow(Duration::from_micros(fastrand::u64(..20_000)));
    for op in [Op::Connect, Op::Ping, Op::Reset, Op::Close] {
        faults.sometimes(op, 40, Behaviour::Fail(ErrorClass::Transient));
        faults.sometimes(op, 80, Behaviour::Fail(ErrorClass::Saturated));
        faults.sometimes(op, 20, slow());
        faults.sometimes(op, 200, Behaviour::Hang);
        faults.sometimes(op, 200, Behaviour::Panic);
    }
    faults.sometimes(Op::Connect, 400, Behaviour::Fail(ErrorClass::Permanent));
    faults.sometimes(Op::Condition, 500, Behaviour::Panic);
    faults.sometimes(Op::Condition, 500, Behaviour::Fail(ErrorClass::Transient));
    for op in [Op::Classify, Op::Limits, Op::Drop] {
        faults.sometimes(op, 200, Behaviour::Panic);
    }
}

fn random_config() -> PoolConfig {
    let max_size = fastrand::u32(1..14);
    let millis = |range: std::ops::Range<u64>| Duration::from_millis(fastrand::u64(range));
    let max_lifetime = millis(20..2000);
    let keepalive = millis(5..50).min(max_lifetime / 2);
    let validation = [
        Validation::Always,
        Validation::Never,
        Validation::IfIdleFor(Duration::from_millis(fastrand::u64(..5))),
    ];
    PoolConfig::new()
        .name("stress")
        .max_size(max_size)
        .min_idle(fastrand::u32(0..=max_size))
        .max_connecting(fastrand::u32(1..5))
        .max_waiting(if one_in(3) { Some(fastrand::u32(1..20)) } else { None })
        .acquire_timeout(millis(50..500))
        .connect_timeout(millis(5..60))
        .ping_timeout(millis(5..30))
        .reset_timeout(millis(5..30))
        .close_timeout(millis(5..30))
        .backoff_base(millis(1..5))
        .backoff_cap(millis(5..30))
        .max_lifetime(max_lifetime)
        .idle_timeout(millis(5..500))
        .keepalive(if one_in(2) { Some(keepalive) } else { None })
        .leak_after(if one_in(2) { Some(millis(1..50)) } else { None })
        .reuse(if one_in(3) { Reuse::Fifo } else { Reuse::Lifo })
        .validation(validation[fastrand::usize(..3)])
        .flight_recorder(RECORDED)
}

fn random_runtime() -> Runtime {
    let runtime = if one_in(4) {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
    } else {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
    };
    runtime.expect("a runtime can be made")
}

fn spawn(round: &Arc<Round>, run: fn(&Round)) -> std::thread::JoinHandle<()> {
    let round = round.clone();
    std::thread::spawn(move || run(&round))
}

fn one_in(n: u32) -> bool {
    fastrand::u32(..n) == 0
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn eventually(mut so: impl FnMut() -> bool) -> Result<(), ()> {
    let begun = Instant::now();
    while !so() {
        if begun.elapsed() > LATE {
            return Err(());
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    Ok(())
}

/// How many threads this process has.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// How much memory this process has in use, in kilobytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}

fn median(values: &[u64]) -> u64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    values[values.len() / 2]
}

const OURS: &str = "injected panic of the stress test";
