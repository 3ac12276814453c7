//! Every call fails once: the Nth-fault sweep.
//!
//! For each thing that a pool calls (the manager's methods, the drop of a connection, hooks, the
//! observer) and for each way in which it can go wrong, the first call goes wrong, then the second,
//! and so on until the scenario no longer reaches it; once only, and from there on for good. Then
//! the faults end, and the pool has to heal: every acquire was answered in time, the minimums are
//! back, every slot is usable, and after close nothing is left, no task either.

use std::sync::Arc;

use pool_core::{
    AcquireFailed, Acquired, BoxError, BoxFuture, Builder, Closed, ConnectFailed, Connected,
    ErrorClass, Leaked, ManagedPool, Metrics, PoolConfig, Released, ResetDone, Stalled, Validated,
    Validation,
};
use pool_testkit::{Behaviour, FakeManager, FakeServer, Faults, FaultyManager, Op, Watch};
use tokio::time::{Instant, sleep, timeout};

use crate::support::*;

/// What a pool calls besides its manager. Each has a plan of its own, under the operation `Ping`.
#[derive(Clone, Default)]
struct Outside {
    hooks: [Faults; 6],
    observer: [Faults; 10],
}

/// Any of the things that are made to fail.
struct Point {
    name: String,
    faults: Faults,
    op: Op,
    /// It is awaited, so that it can hang or be slow.
    waits: bool,
    /// It can return an error.
    fails: bool,
}

struct World {
    server: FakeServer,
    manager: Faults,
    watch: Watch,
    outside: Outside,
    pool: ManagedPool<FaultyManager<FakeManager>>,
}

const PATIENCE: std::time::Duration = ms(400);

impl World {
    fn new() -> Self {
        let (server, manager, outside) = (FakeServer::new(), Faults::none(), Outside::default());
        // One connect fails in any case, so that what follows a failure is reached too.
        let failed = Behaviour::Fail(ErrorClass::Transient);
        server.next(Op::Connect, [Behaviour::Ok, Behaviour::Ok, Behaviour::Ok, failed]);
        let faulty = FaultyManager::new(server.manager(), manager.clone());
        let watch = faulty.watch();
        let config = PoolConfig::new()
            .max_size(3)
            .min_size(2)
            .min_idle(1)
            .acquire_timeout(PATIENCE)
            .connect_timeout(ms(60))
            .ping_timeout(ms(40))
            .reset_timeout(ms(40))
            .close_timeout(ms(40))
            .idle_timeout(ms(600))
            .max_lifetime(secs(20))
            .keepalive(ms(800))
            .leak_after(ms(30))
            .backoff_base(ms(5))
            .backoff_cap(ms(50))
            .validation(Validation::Always)
            .flight_recorder(1 << 16);
        let builder = ManagedPool::builder(faulty).config(config).seed(7);
        let builder = hooked(builder, &outside.hooks).metrics(Arc::new(outside.clone()));
        let pool = builder.build().unwrap();
        Self { server, manager, watch, outside, pool }
    }

    fn points(&self) -> Vec<Point> {
        let ops = Op::ALL.map(|op| Point {
            name: format!("{op:?}"),
            faults: self.manager.clone(),
            op,
            waits: matches!(op, Op::Connect | Op::Ping | Op::Reset | Op::Close),
            fails: !matches!(op, Op::Close | Op::Classify | Op::Limits | Op::Drop),
        });
        let hooks = self.outside.hooks.iter().enumerate().map(|(n, faults)| Point {
            name: format!("hook {n}"),
            faults: faults.clone(),
            op: Op::Ping,
            waits: n % 2 == 1,
            fails: true,
        });
        let observer = self.outside.observer.iter().enumerate().map(|(n, faults)| Point {
            name: format!("observer {n}"),
            faults: faults.clone(),
            op: Op::Ping,
            waits: false,
            fails: false,
        });
        ops.into_iter().chain(hooks).chain(observer).collect()
    }
}

/// The plain and the awaited form of each hook, in this order.
fn hooked(
    builder: Builder<FaultyManager<FakeManager>>,
    [c, c2, a, a2, r, r2]: &[Faults; 6],
) -> Builder<FaultyManager<FakeManager>> {
    fn awaited(faults: &Faults) -> BoxFuture<'static, Result<(), BoxError>> {
        let faults = faults.clone();
        Box::pin(async move { faults.act(Op::Ping).await.map_err(Into::into) })
    }
    let [c, c2, a, a2, r, r2] = [c, c2, a, a2, r, r2].map(Clone::clone);
    builder
        .after_connect(move |_| now(&c))
        .after_connect_async(move |_| awaited(&c2))
        .before_acquire(move |_| now(&a))
        .before_acquire_async(move |_| awaited(&a2))
        .after_release(move |_| now(&r))
        .after_release_async(move |_| awaited(&r2))
}

/// A call that cannot wait.
fn now(faults: &Faults) -> Result<(), BoxError> {
    match faults.call(Op::Ping) {
        Behaviour::Ok => Ok(()),
        Behaviour::Panic => panic!("injected panic in a hook or an observer"),
        _ => Err("injected".into()),
    }
}

macro_rules! observe {
    ($($n:literal $method:ident $event:ident,)*) => {
        impl Metrics for Outside {
            $(fn $method(&self, _: &$event<'_>) {
                let _ = now(&self.observer[$n]);
            })*
        }
    };
}

observe! {
    0 connected Connected,
    1 connect_failed ConnectFailed,
    2 acquired Acquired,
    3 acquire_failed AcquireFailed,
    4 released Released,
    5 reset ResetDone,
    6 validated Validated,
    7 closed Closed,
    8 stalled Stalled,
    9 leaked Leaked,
}

/// A bit of everything: use, return in every state, cancel, neglect, controls, time.
async fn scenario(world: &World) {
    let pool = &world.pool;
    let users: Vec<_> = (0..6_u64)
        .map(|n| {
            let (pool, server) = (pool.clone(), world.server.clone());
            tokio::spawn(async move {
                let begun = Instant::now();
                let outcome = pool.acquire().await;
                assert!(begun.elapsed() <= PATIENCE + ms(2), "R7: {:?}", begun.elapsed());
                let Ok(mut guard) = outcome else { return };
                assert!(!guard.in_transaction(), "R18");
                sleep(ms(10 + n)).await;
                match n {
                    0 => guard.begin(),
                    1 => server.kill(guard.id()),
                    2 => return guard.invalidate(),
                    3 => guard.soil(pool_core::Cause::SessionState),
                    4 => sleep(ms(60)).await, // leaks
                    _ => {}
                }
                drop(guard);
            })
        })
        .collect();
    sleep(ms(15)).await;
    drop(timeout(ms(3), pool.acquire()).await); // cancelled
    for user in users {
        user.await.unwrap();
    }
    // Handed a connection, and polled by nobody for a while.
    let mut neglected = Box::pin(pool.acquire().into_future());
    let _ = poll_once(&mut neglected).await;
    sleep(ms(350)).await;
    drop(neglected);
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        if let Ok(guard) = pool.blocking().acquire_within(ms(0)) {
            drop(guard.detach()); // its drop may panic, and it is this user's
        }
    }));
    pool.retain(|connection| connection.id() % 2 == 0);
    sleep(ms(100)).await;
    pool.invalidate_all();
    world.server.silence_half();
    drop(pool.acquire().await);
    sleep(secs(1)).await;
}

async fn heals(world: World, within: std::time::Duration) {
    let World { server, watch, pool, manager, outside, .. } = world;
    for faults in [&manager].into_iter().chain(&outside.hooks).chain(&outside.observer) {
        faults.clear();
    }
    sleep(within).await;
    let snapshot = audit(&pool);
    assert_eq!((snapshot.in_use, snapshot.waiting, snapshot.connecting), (0, 0, 0));
    assert!(snapshot.open() >= 2 && snapshot.idle >= 1, "the minimums are back: {snapshot:?}");
    let mut guards = Vec::new();
    for _ in 0..3 {
        let mut guard = pool.acquire().await.expect("every slot is usable");
        guard.query().expect("what is handed out works");
        guards.push(guard);
    }
    assert_eq!(watch.alive(), 3);
    drop(guards);
    let report = pool.close(secs(5)).await;
    assert!(report.is_complete(), "{report}");
    audit(&pool);
    drop(pool);
    settle().await;
    assert_eq!((watch.alive(), server.held()), (0, 0));
    assert_eq!(watch.violations(), Vec::<String>::new());
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!(tasks, 0, "tasks are left");
}

#[test]
fn r13_every_call_fails_once_and_for_good_and_the_pool_heals() {
    let runtime = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().start_paused(true).build().unwrap()
    };
    pool_testkit::hard_deadline();
    pool_testkit::hush_injected_panics();
    let points = runtime().block_on(async { World::new().points() });
    let (mut runs, mut fired) = (0, 0);
    for (at, point) in points.iter().enumerate() {
        let mut kinds = vec![Behaviour::Panic];
        if point.fails {
            let classes = [ErrorClass::Transient, ErrorClass::Permanent, ErrorClass::Saturated];
            kinds.extend(classes.map(Behaviour::Fail));
        }
        if point.waits {
            kinds.extend([Behaviour::Hang, Behaviour::Slow(ms(25)), Behaviour::Slow(ms(5000))]);
        }
        for (kind, lasting) in kinds.iter().flat_map(|kind| [(*kind, false), (*kind, true)]) {
            for n in 0.. {
                assert!(n < 500, "{} is called again and again", point.name);
                let run = std::panic::AssertUnwindSafe(|| {
                    runtime().block_on(async {
                        let world = World::new();
                        let Point { faults, op, .. } = &world.points()[at];
                        match lasting {
                            true => faults.from(*op, n, kind),
                            false => faults.at(*op, n, kind),
                        }
                        scenario(&world).await;
                        let fired = faults.fired();
                        // A permanent error keeps the minimums away for half a minute.
                        let permanent = kind == Behaviour::Fail(ErrorClass::Permanent);
                        heals(world, secs(if permanent { 40 } else { 3 })).await;
                        fired
                    })
                });
                runs += 1;
                match std::panic::catch_unwind(run) {
                    Ok(0) => break,
                    Ok(_) => fired += 1,
                    Err(panic) => {
                        eprintln!("{} call {n}, {kind:?}, for good: {lasting}", point.name);
                        std::panic::resume_unwind(panic);
                    }
                }
            }
        }
    }
    println!("{runs} runs, {fired} with a fault");
    assert!(fired > 900, "the scenario reaches little: {fired} faults");
}
