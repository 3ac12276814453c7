//! Every interleaving of a few threads over the state machine and its queue, by the model checker
//! loom: `./test.sh loom`.
//!
//! The machine and its lock are the real ones. Around them is the smallest shell that keeps the
//! real one's order: lock, run, unlock, then carry out what is asked for. A waiting thread parks
//! until its waker is called, so a lost wake-up is a deadlock, which loom reports. Time is an event:
//! where nothing else is left to do, the timer fires.
//!
//! Each model prints how many interleavings it explored. One that explores a single one proves
//! nothing, and fails.

use std::collections::VecDeque;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::{Wake, Waker};

use loom::thread::{self, Thread};

use super::outbox::Errands;
use super::recorder::Recorder;
use super::state::State;
use super::tuning::{Sizes, Tuning};
use super::vocabulary::{Caller, Miss, Refusal, Settled, SlotKey, Taken, Time, Verdict, Who};
use super::waiters::Waiter;
use crate::sync::{AtomicUsize, Mutex, lock};
use crate::{ErrorClass, Limits, PoolConfig, Validation};

/// A connection: the key of its slot.
type Token = SlotKey;

/// How connects go, in their order.
#[derive(Clone, Copy, Debug)]
enum Connect {
    Opens,
    Fails(ErrorClass),
    /// It is left to a thread of the model.
    Later,
}

struct Pool {
    state: Mutex<State<Token>>,
    /// What the model's threads agree on outside of the machine; never locked across a switch.
    connects: std::sync::Mutex<Connects>,
    /// Held connections, to see that nobody gets one that somebody has.
    held: std::sync::Mutex<Vec<Token>>,
    time: AtomicU64,
    maintenance: std::sync::Mutex<Option<Thread>>,
    handles: AtomicUsize,
}

#[derive(Default)]
struct Connects {
    outcomes: VecDeque<Connect>,
    under_way: Vec<SlotKey>,
}

/// Looks into what only the model uses.
fn of<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// A pool of this size with a runtime; connects go as listed, and open after that.
    fn new(max_size: u32, connects: impl IntoIterator<Item = Connect>) -> Arc<Self> {
        let config = PoolConfig::new()
            .max_size(max_size)
            .idle_timeout(None)
            .max_lifetime(None)
            .leak_after(None)
            .validation(Validation::Never);
        let mut state = State::new(Tuning::new(&config, false, false), 1, Recorder::new(0));
        state.now = Time(1);
        state.bind();
        drop(std::mem::take(&mut state.out));
        let outcomes = connects.into_iter().collect();
        Arc::new(Self {
            state: Mutex::new(state),
            connects: std::sync::Mutex::new(Connects { outcomes, ..Connects::default() }),
            held: std::sync::Mutex::default(),
            time: AtomicU64::new(1),
            maintenance: std::sync::Mutex::default(),
            handles: AtomicUsize::new(1),
        })
    }

    /// As `Shared::with`: lock, run, unlock, carry out.
    fn with<R>(&self, run: impl FnOnce(&mut State<Token>) -> R) -> R {
        let (result, mut out) = {
            let mut state = lock(&self.state);
            state.now = Time(self.time.load(Ordering::Relaxed));
            let result = run(&mut state);
            state.check().expect("the counts fit");
            (result, std::mem::take(&mut state.out))
        };
        if let Some(waker) = out.wake.take() {
            waker.wake();
        }
        if out.nudge {
            let maintenance = of(&self.maintenance).clone();
            maintenance.inspect(Thread::unpark);
        }
        if let Some(errands) = out.take_errands() {
            self.carry_out(*errands);
        }
        result
    }

    fn carry_out(&self, errands: Errands<Token>) {
        errands.wake.into_iter().for_each(Waker::wake);
        errands.connect.into_iter().for_each(|start| self.connect(start.slot));
        for (token, _) in errands.validate {
            self.with(|state| state.settle(token, token, Settled::Proven { took: 1 }));
        }
        for (token, _) in errands.reset {
            self.with(|state| state.settle(token, token, Settled::Reset { took: 1 }));
        }
        for (token, _) in errands.close {
            let _ = self.with(|state| state.ended(token, false));
        }
    }

    fn connect(&self, slot: SlotKey) {
        let outcome = of(&self.connects).outcomes.pop_front().unwrap_or(Connect::Opens);
        match outcome {
            Connect::Opens => self.opened(slot),
            Connect::Fails(class) => self.with(|state| state.connect_failed(slot, Some(class))),
            Connect::Later => of(&self.connects).under_way.push(slot),
        }
    }

    fn opened(&self, slot: SlotKey) {
        self.with(|state| state.connected(slot, slot, Limits::none()));
    }

    /// The connect that was left to this thread.
    fn under_way(&self) -> SlotKey {
        of(&self.connects).under_way.pop().expect("one is under way")
    }

    /// Takes a connection, parked until it is served.
    fn acquire(&self) -> Result<Token, Refusal> {
        let mut miss = Miss::MustWait;
        match (self.with(|state| state.acquire(&caller(), &mut miss)), miss) {
            (Some(connection), _) => Ok(self.got(connection)),
            (None, Miss::Refused(why)) => Err(why),
            (None, Miss::Unbound) => unreachable!("it is bound"),
            (None, Miss::MustWait) => {
                let waiter = self.enqueue(Some(unpark()))?;
                self.wait(&waiter)
            }
        }
    }

    fn enqueue(&self, waker: Option<Waker>) -> Result<Arc<Waiter<Token>>, Refusal> {
        let mut waiter = Waiter::new(Time(1), Time::NEVER, caller(), waker);
        self.with(|state| state.enqueue(&mut waiter, None)).map(|()| waiter)
    }

    fn wait(&self, waiter: &Arc<Waiter<Token>>) -> Result<Token, Refusal> {
        loop {
            let look = || self.with(|state| state.look(waiter, &mut Some(unpark())));
            match waiter.take().unwrap_or_else(look) {
                Taken::Got { connection, .. } => return Ok(self.got(connection)),
                Taken::Refused(why) => return Err(why),
                Taken::Nothing { .. } => thread::park(),
            }
        }
    }

    fn give_up(&self, waiter: &Waiter<Token>, cancelled: bool) -> Option<Token> {
        match self.with(|state| state.give_up(waiter, cancelled)) {
            Taken::Got { connection, .. } => Some(self.got(connection)),
            Taken::Refused(_) | Taken::Nothing { .. } => None,
        }
    }

    fn got(&self, token: Token) -> Token {
        let mut held = of(&self.held);
        assert!(!held.contains(&token), "two users of one connection");
        held.push(token);
        token
    }

    fn release(&self, token: Token) {
        of(&self.held).retain(|held| *held != token);
        self.with(|state| state.release(token, token, Verdict::Clean));
    }

    /// A user: acquires, holds, gives back.
    fn use_one(&self) {
        let token = self.acquire().expect("served");
        self.release(token);
    }

    /// The maintenance task; sleeping, it is woken by a nudge or by its timer, which fires at once.
    fn maintain(&self) {
        *of(&self.maintenance) = Some(thread::current());
        loop {
            let (due, closed) = self.with(|state| (state.tick(), state.closed));
            if closed {
                break;
            }
            if due == Time::NEVER {
                thread::park();
            } else {
                self.time.fetch_max(due.0, Ordering::Relaxed);
            }
        }
    }

    fn shut(&self) {
        self.with(State::shut);
    }

    /// As the drop of a handle: the last one shuts.
    fn drop_handle(&self) {
        if self.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shut();
        }
    }

    /// Nobody waits or holds, and so many connections are idle.
    fn at_rest(&self, idle: usize) {
        let state = lock(&self.state);
        let seen = (state.waiters().len(), state.holders().count(), state.idle.len(), state.open());
        assert_eq!(seen, (0, 0, idle, idle), "waiting, held, idle, open");
    }
}

#[track_caller]
fn caller() -> Caller {
    Caller { site: Location::caller(), operation: None, who: Who::Unknown }
}

/// Wakes this thread.
fn unpark() -> Waker {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    Arc::new(Unpark(thread::current())).into()
}

/// Runs a model in every interleaving: of two threads all, of three all with so few preemptions.
fn explore(name: &str, preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let explored = Arc::new(AtomicU64::new(0));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.max_branches = 10_000;
    let count = explored.clone();
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let explored = explored.load(Ordering::Relaxed);
    println!("{name}: {explored} interleavings");
    assert!(explored > 1, "a single interleaving proves nothing");
}

const ALL: Option<usize> = None;
const THREE: Option<usize> = Some(3);

/// Runs closures in threads of the model beside the one that calls it, and waits for them.
macro_rules! beside {
    ($pool:ident, $main:expr, $($other:expr),+) => {{
        let threads = [$({
            let $pool = $pool.clone();
            thread::spawn(move || { let _ = &$pool; $other; })
        }),+];
        let result = $main;
        threads.into_iter().for_each(|thread| thread.join().expect("it has not panicked"));
        result
    }};
}

#[test]
fn release_against_enqueue() {
    explore("release against enqueue", ALL, || {
        let pool = Pool::new(1, []);
        let token = pool.acquire().unwrap();
        beside!(pool, pool.release(token), pool.use_one());
        pool.at_rest(1);
    });
    explore("release against enqueue, 3 threads", THREE, || {
        let pool = Pool::new(1, []);
        let token = pool.acquire().unwrap();
        beside!(pool, pool.release(token), pool.use_one(), pool.use_one());
        pool.at_rest(1);
    });
}

#[test]
fn cancel_against_hand_off() {
    explore("cancel against hand-off", ALL, || {
        let pool = Pool::new(1, []);
        let token = pool.acquire().unwrap();
        let waiter = pool.enqueue(None).unwrap();
        beside!(pool, pool.release(token), {
            assert!(pool.give_up(&waiter, true).is_none());
        });
        pool.at_rest(1);
    });
    explore("cancel against hand-off, 3 threads", THREE, || {
        let pool = Pool::new(1, []);
        let token = pool.acquire().unwrap();
        let waiter = pool.enqueue(None).unwrap();
        beside!(
            pool,
            pool.release(token),
            {
                assert!(pool.give_up(&waiter, true).is_none());
            },
            pool.use_one()
        );
        pool.at_rest(1);
    });
}

#[test]
fn timeout_against_hand_off() {
    fn time_out(pool: &Pool, waiter: &Waiter<Token>) {
        if let Some(token) = pool.give_up(waiter, false) {
            pool.release(token);
        }
    }
    explore("timeout against hand-off", ALL, || {
        let pool = Pool::new(1, []);
        let token = pool.acquire().unwrap();
        let waiter = pool.enqueue(None).unwrap();
        beside!(pool, pool.release(token), time_out(&pool, &waiter));
        pool.at_rest(1);
    });
    explore("timeout against hand-off, 3 threads", THREE, || {
        let pool = Pool::new(1, []);
        let token = pool.acquire().unwrap();
        let waiter = pool.enqueue(None).unwrap();
        beside!(pool, pool.release(token), time_out(&pool, &waiter), pool.use_one());
        pool.at_rest(1);
    });
}

#[test]
fn take_back_against_taking() {
    /// Nobody came for what was handed out: the timer fires.
    fn time_passes(pool: &Pool) {
        pool.time.fetch_max(1 + super::tick::GRACE, Ordering::Relaxed);
        pool.with(|state| state.tick());
    }
    fn come_for_it(pool: &Pool, waiter: &Arc<Waiter<Token>>) {
        let token = pool.wait(waiter).expect("served");
        pool.release(token);
    }
    explore("take back against taking", ALL, || {
        let pool = Pool::new(1, []);
        let token = pool.acquire().unwrap();
        let waiter = pool.enqueue(None).unwrap();
        pool.release(token);
        beside!(pool, come_for_it(&pool, &waiter), time_passes(&pool));
        pool.at_rest(1);
    });
    explore("take back against taking, 3 threads", THREE, || {
        let pool = Pool::new(1, []);
        let token = pool.acquire().unwrap();
        let waiter = pool.enqueue(None).unwrap();
        pool.release(token);
        beside!(pool, come_for_it(&pool, &waiter), time_passes(&pool), pool.use_one());
        pool.at_rest(1);
    });
}

#[test]
fn close_against_acquire() {
    fn try_to_use(pool: &Pool) {
        match pool.acquire() {
            Ok(token) => pool.release(token),
            Err(why) => assert_eq!(why, Refusal::Closed),
        }
    }
    explore("close against acquire", ALL, || {
        let pool = Pool::new(1, []);
        beside!(pool, pool.shut(), try_to_use(&pool));
        pool.at_rest(0);
    });
    explore("close against acquire, 3 threads", THREE, || {
        let pool = Pool::new(1, []);
        beside!(pool, pool.shut(), try_to_use(&pool), try_to_use(&pool));
        pool.at_rest(0);
    });
}

#[test]
fn last_handle_against_maintenance() {
    explore("last handle against maintenance", ALL, || {
        let pool = Pool::new(1, []);
        pool.use_one();
        beside!(pool, pool.drop_handle(), pool.maintain());
        pool.at_rest(0);
    });
    explore("last handle against maintenance, 3 threads", THREE, || {
        let pool = Pool::new(1, []);
        pool.use_one();
        pool.handles.fetch_add(1, Ordering::Relaxed);
        beside!(pool, pool.drop_handle(), pool.drop_handle(), pool.maintain());
        pool.at_rest(0);
    });
}

#[test]
fn failed_connect_against_next_waiter() {
    let transient = ErrorClass::Transient;
    explore("failed connect against next waiter", ALL, || {
        let pool = Pool::new(1, [Connect::Later]);
        let first = pool.enqueue(None).unwrap();
        let connect = pool.under_way();
        beside!(
            pool,
            pool.with(|state| state.connect_failed(connect, Some(ErrorClass::Permanent))),
            match pool.acquire() {
                Ok(token) => pool.release(token),
                Err(why) => assert_eq!(why, Refusal::Connect),
            }
        );
        assert_eq!(pool.wait(&first), Err(Refusal::Connect));
    });
    explore("failed connect against next waiter, 3 threads", THREE, move || {
        // After a failure the next attempt waits for the timer: the maintenance has to hear of it.
        let pool = Pool::new(1, [Connect::Later, Connect::Fails(transient)]);
        let first = pool.enqueue(None).unwrap();
        let connect = pool.under_way();
        beside!(
            pool,
            {
                pool.with(|state| state.connect_failed(connect, Some(transient)));
                let token = pool.wait(&first).expect("the third connect opens");
                pool.release(token);
                pool.use_one();
                pool.shut();
            },
            match pool.acquire() {
                Ok(token) => pool.release(token),
                Err(why) => assert_eq!(why, Refusal::Closed),
            },
            pool.maintain()
        );
        pool.at_rest(0);
    });
}

#[test]
fn resize_against_release() {
    fn shrink(pool: &Pool) {
        let sizes = Sizes { max_size: 1, min_size: 0, min_idle: 0, max_idle: 1 };
        pool.with(|state| state.retune(Arc::new(Tuning { sizes, ..state.tuning.clone() })));
    }
    explore("resize against release", ALL, || {
        let pool = Pool::new(2, []);
        let (one, two) = (pool.acquire().unwrap(), pool.acquire().unwrap());
        beside!(
            pool,
            {
                pool.release(one);
                pool.release(two);
            },
            shrink(&pool)
        );
        pool.at_rest(1);
    });
    explore("resize against release, 3 threads", THREE, || {
        let pool = Pool::new(2, []);
        let (one, two) = (pool.acquire().unwrap(), pool.acquire().unwrap());
        beside!(
            pool,
            {
                pool.release(one);
                pool.release(two);
            },
            shrink(&pool),
            pool.use_one()
        );
        let open = lock(&pool.state).open();
        pool.at_rest(open);
        assert!(open <= 1, "{open} open after the shrink");
    });
}

#[test]
fn invalidate_against_return() {
    explore("invalidate against return", ALL, || {
        let pool = Pool::new(1, []);
        let token = pool.acquire().unwrap();
        beside!(pool, pool.release(token), pool.with(State::invalidate_all));
        pool.at_rest(0);
    });
    explore("invalidate against return, 3 threads", THREE, || {
        let pool = Pool::new(1, []);
        let token = pool.acquire().unwrap();
        beside!(pool, pool.release(token), pool.with(State::invalidate_all), pool.use_one());
        // The old one is gone; the third thread may have opened another.
        let state = lock(&pool.state);
        assert!(
            state.open() <= 1
                && state.idle.iter().all(|(key, _)| state.unfit(&state.slots[*key]).is_none())
        );
    });
}
