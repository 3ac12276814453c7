//! Random lives of the state machine against a small model: nothing is lost, nobody overtakes.

use std::collections::BTreeSet;
use std::panic::Location;
use std::time::Duration;

use proptest::prelude::*;

use super::recorder::Recorder;
use super::state::State;
use super::tuning::{Sizes, Tuning};
use super::vocabulary::{Caller, Fate, Miss, Phase, Settled, SlotKey, Taken, Time, Verdict, Who};
use super::waiters::Waiter;
use crate::snapshot::CloseReason;
use crate::sync::Arc;
use crate::{Cause, ErrorClass, Limits, PoolConfig, Reuse, Validation};

const MILLI: u64 = 1_000_000;

/// Which one, modulo how many there are.
type At = usize;

/// What the world does to a pool.
#[derive(Clone, Debug)]
enum Step {
    Acquire {
        patience: u64,
    },
    Poll(At),
    TimeOut(At),
    Cancel(At),
    /// Nobody ever polls this one again.
    Forget(At),
    Release(At, Verdict),
    Reject(At, Fate),
    Detach(At),
    Strand(At),
    Finish(At, Settled),
    Connect(At, Option<Option<ErrorClass>>),
    Lose(At),
    Closed(At),
    Pass {
        millis: u64,
    },
    Retune(Tuning),
    Suspend(bool),
    InvalidateAll,
    SuspectAll,
    Inspect,
    Unbind,
    Bind,
}

fn step() -> impl Strategy<Value = Step> {
    let at = any::<At>;
    let verdict = prop_oneof![
        6 => Just(Verdict::Clean),
        1 => Just(Verdict::Dirty(Cause::Transaction)),
        1 => Just(Verdict::Dirty(Cause::Upkeep)),
        1 => Just(Verdict::Broken(Cause::Disconnected)),
        1 => Just(Verdict::Broken(Cause::Invalidated)),
    ];
    let settled = prop_oneof![
        4 => Just(Settled::Proven { took: 1 }),
        1 => Just(Settled::Kept),
        1 => Just(Settled::Failed),
        1 => Just(Settled::Close(CloseReason::Validation)),
    ];
    let fate = prop_oneof![
        1 => Just(Fate::Reset(Cause::Transaction)),
        1 => Just(Fate::Close(Cause::Disconnected)),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Panicked),
    ];
    let class = prop_oneof![
        6 => Just(None),
        1 => Just(Some(Some(ErrorClass::Transient))),
        1 => Just(Some(Some(ErrorClass::Permanent))),
        1 => Just(Some(None)),
    ];
    prop_oneof![
        8 => (0..400_u64).prop_map(|patience| Step::Acquire { patience }),
        6 => at().prop_map(Step::Poll),
        1 => at().prop_map(Step::TimeOut),
        2 => at().prop_map(Step::Cancel),
        1 => at().prop_map(Step::Forget),
        8 => (at(), verdict).prop_map(|(at, verdict)| Step::Release(at, verdict)),
        2 => (at(), fate).prop_map(|(at, fate)| Step::Reject(at, fate)),
        1 => at().prop_map(Step::Detach),
        1 => at().prop_map(Step::Strand),
        6 => (at(), settled).prop_map(|(at, settled)| Step::Finish(at, settled)),
        8 => (at(), class).prop_map(|(at, class)| Step::Connect(at, class)),
        1 => at().prop_map(Step::Lose),
        6 => at().prop_map(Step::Closed),
        4 => (0..300_u64).prop_map(|millis| Step::Pass { millis }),
        1 => (0..5000_u64).prop_map(|millis| Step::Pass { millis }),
        1 => tuning().prop_map(Step::Retune),
        1 => any::<bool>().prop_map(Step::Suspend),
        1 => Just(Step::InvalidateAll),
        1 => Just(Step::SuspectAll),
        1 => Just(Step::Inspect),
        1 => Just(Step::Unbind),
        2 => Just(Step::Bind),
    ]
}

fn sizes() -> impl Strategy<Value = Sizes> {
    (1..6_usize, 0..6_usize, 0..6_usize, 0..6_usize).prop_map(|(max_size, size, idle, spare)| {
        let (min_size, min_idle) = (size.min(max_size), idle.min(max_size));
        let max_idle = spare.max(min_size).max(min_idle).min(max_size);
        Sizes { max_size, min_size, min_idle, max_idle }
    })
}

/// Everything that makes one pool behave unlike another.
fn tuning() -> impl Strategy<Value = Tuning> {
    let validation = prop_oneof![
        Just(Validation::Always),
        Just(Validation::IfIdleFor(Duration::from_millis(150))),
        Just(Validation::Never),
    ];
    let reuse = prop_oneof![Just(Reuse::Lifo), Just(Reuse::Fifo)];
    let keepalive = prop_oneof![Just(None), Just(Some(Duration::from_millis(700)))];
    let leaks = prop_oneof![Just(None), Just(Some(Duration::from_millis(100)))];
    let hooks = (prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    (sizes(), validation, reuse, keepalive, leaks, hooks).prop_map(
        |(sizes, validation, reuse, keepalive, leaks, (prepare, finish))| {
            let config = PoolConfig::new()
                .max_waiting(9)
                .max_lifetime(Duration::from_secs(3))
                .lifetime_jitter(0.9)
                .idle_timeout(Duration::from_millis(500))
                .leak_after(leaks)
                .validation(validation)
                .reuse(reuse)
                .keepalive(keepalive);
            Tuning { sizes, ..Tuning::new(&config, prepare, finish) }
        },
    )
}

/// A connection: the key of its slot. Every one that exists has to be somewhere.
type Token = SlotKey;

/// The shell's side: everything that is not inside the machine.
#[derive(Default)]
struct World {
    waiting: Vec<Arc<Waiter<Token>>>,
    forgotten: Vec<Arc<Waiter<Token>>>,
    held: Vec<Held>,
    connecting: Vec<SlotKey>,
    /// Being proven, cleaned or inspected.
    working: Vec<Token>,
    closing: Vec<Token>,
}

/// What a caller holds, with how it came to it.
struct Held {
    token: Token,
    /// When it asked.
    since: Time,
}

fn pick<T>(from: &mut Vec<T>, at: At) -> Option<T> {
    (!from.is_empty()).then(|| from.swap_remove(at % from.len()))
}

impl World {
    fn apply(&mut self, state: &mut State<Token>, step: Step) {
        let caller = Caller { site: Location::caller(), operation: None, who: Who::Unknown };
        let mut miss = Miss::MustWait;
        match step {
            Step::Acquire { patience } => match (state.acquire(&caller, &mut miss), miss) {
                (Some(token), _) => self.held.push(Held { token, since: state.now }),
                (None, Miss::MustWait) => {
                    let limited = !patience.is_multiple_of(5);
                    let deadline =
                        if limited { state.now.after(patience * MILLI) } else { Time::NEVER };
                    self.enqueue(state, Waiter::new(state.now, deadline, caller, None), None);
                }
                (None, Miss::Refused(_) | Miss::Unbound) => {}
            },
            Step::Poll(at) => {
                if let Some(waiter) = pick(&mut self.waiting, at) {
                    let taken = waiter.take().unwrap_or_else(|| state.look(&waiter, &mut None));
                    self.taken(waiter, taken, true);
                }
            }
            Step::Forget(at) => self.forgotten.extend(pick(&mut self.waiting, at)),
            Step::TimeOut(at) | Step::Cancel(at) => {
                let cancelled = matches!(step, Step::Cancel(_));
                if let Some(waiter) = pick(&mut self.waiting, at) {
                    let taken = state.give_up(&waiter, cancelled);
                    self.taken(waiter, taken, false);
                }
            }
            Step::Release(at, verdict) => {
                if let Some(Held { token, .. }) = pick(&mut self.held, at) {
                    state.release(token, token, verdict);
                }
            }
            Step::Reject(at, fate) => {
                if let Some(Held { token, since }) = pick(&mut self.held, at) {
                    let ticket = state.slot(token).ticket;
                    state.release(token, token, Verdict::Rejected(fate));
                    if fate != Fate::Panicked {
                        let deadline = state.now.after(200 * MILLI);
                        let waiter = Waiter::new(since, deadline, caller, None);
                        self.enqueue(state, waiter, Some(ticket));
                    }
                }
            }
            Step::Detach(at) => {
                if let Some(Held { token, .. }) = pick(&mut self.held, at) {
                    state.ending(token, CloseReason::Detached);
                    let _ = state.ended(token, false);
                }
            }
            Step::Strand(at) => {
                if let Some(waiter) = pick(&mut self.waiting, at) {
                    state.stranded(Some(&waiter));
                }
            }
            Step::Finish(at, settled) => {
                if let Some(token) = pick(&mut self.working, at) {
                    let settled = match state.slot(token).phase {
                        Phase::Resetting => Settled::Reset { took: 1 },
                        _ => settled,
                    };
                    state.settle(token, token, settled);
                }
            }
            Step::Connect(at, outcome) => {
                if let Some(key) = pick(&mut self.connecting, at) {
                    match outcome {
                        None => {
                            let idle = Duration::from_millis(300 * (at % 4 + 1) as u64);
                            let limits = Limits::none();
                            let limits = if at % 3 == 0 { limits.idle(idle) } else { limits };
                            state.connected(key, key, limits);
                        }
                        Some(class) => state.connect_failed(key, class),
                    }
                }
            }
            Step::Lose(at) => {
                if let Some(token) = pick(&mut self.working, at) {
                    let _ = state.ended(token, false);
                }
            }
            Step::Closed(at) => {
                if let Some(token) = pick(&mut self.closing, at) {
                    let _ = state.ended(token, false);
                }
            }
            Step::Pass { millis } => {
                state.now = state.now.after(millis * MILLI);
                let _ = state.tick();
            }
            Step::Retune(tuning) => {
                let Tuning { prepare, finish, .. } = state.tuning; // its hooks are its own
                state.retune(Arc::new(Tuning { prepare, finish, ..tuning }));
            }
            Step::Suspend(on) => state.suspend(on),
            Step::InvalidateAll => state.invalidate_all(),
            Step::SuspectAll => state.suspect_all(),
            Step::Inspect => self.working.extend(state.take_idle()),
            Step::Unbind => state.unbind(),
            Step::Bind if !state.bound => state.bind(),
            Step::Bind => {}
        }
        let mut out = std::mem::take(&mut state.out);
        let Some(errands) = out.take_errands() else { return };
        self.connecting.extend(errands.connect.into_iter().map(|start| start.slot));
        self.working.extend(errands.validate.into_iter().map(|(token, _)| token));
        self.working.extend(errands.reset.into_iter().map(|(token, _)| token));
        self.closing.extend(errands.close.into_iter().map(|(token, _)| token));
    }

    fn enqueue(
        &mut self,
        state: &mut State<Token>,
        mut waiter: Arc<Waiter<Token>>,
        ticket: Option<u64>,
    ) {
        if state.enqueue(&mut waiter, ticket).is_ok() {
            self.waiting.push(waiter);
        }
    }

    /// Everything under way comes to a good end, everyone who is served gives back.
    fn end_all_well(&mut self, state: &mut State<Token>) {
        let under_way = self.waiting.len()
            + self.held.len()
            + self.connecting.len()
            + self.working.len()
            + self.closing.len();
        for at in 0..=under_way {
            for step in [
                Step::Poll(at),
                Step::Release(0, Verdict::Clean),
                Step::Finish(0, Settled::Proven { took: 1 }),
                Step::Connect(1, None),
                Step::Closed(0),
            ] {
                self.apply(state, step);
            }
        }
    }

    fn taken(&mut self, waiter: Arc<Waiter<Token>>, taken: Taken<Token>, stays: bool) {
        match taken {
            Taken::Got { connection: token, .. } => {
                self.held.push(Held { token, since: waiter.since });
            }
            Taken::Nothing { .. } if stays => self.waiting.push(waiter),
            Taken::Nothing { .. } | Taken::Refused(_) => {}
        }
    }

    /// Tickets of those who have a connection in hand.
    fn handed(&self) -> BTreeSet<u64> {
        let owners = self.waiting.iter().chain(&self.forgotten);
        owners.filter(|waiter| waiter.in_hand().is_some()).map(|waiter| waiter.ticket).collect()
    }

    /// Every slot's connection is in exactly one place.
    fn audit(&self, state: &State<Token>) {
        let owners = || self.waiting.iter().chain(&self.forgotten);
        let handed = owners().filter_map(|waiter| waiter.in_hand());
        let tokens: Vec<Token> = (state.idle.iter().map(|(_, token)| *token))
            .chain(handed)
            .chain(self.held.iter().map(|held| held.token))
            .chain(self.working.iter().chain(&self.closing).chain(&self.connecting).copied())
            .collect();
        let distinct: BTreeSet<_> = tokens.iter().collect();
        assert_eq!(distinct.len(), tokens.len(), "R13: one connection in two places: {tokens:?}");
        assert_eq!(tokens.len(), state.open(), "R13: every slot's connection is somewhere");
        let waiting = owners().filter(|waiter| !waiter.is_handed()).count();
        assert_eq!(waiting, state.waiters().len(), "R24: nobody waits unknown");
    }
}

/// As usual, or as `PROPTEST_CASES` says.
fn twice_as_many() -> ProptestConfig {
    pool_testkit::hard_deadline();
    let usual = ProptestConfig::default();
    ProptestConfig { cases: 2 * usual.cases, ..usual }
}

proptest! {
    #![proptest_config(twice_as_many())]

    #[test]
    fn r01_r02_r13_r24_hold_after_every_step(
        tuning in tuning(),
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let recorder = Recorder::new(0);
        let mut state = State::new(tuning, seed, recorder);
        let mut world = World::default();
        state.now = Time(1);
        world.apply(&mut state, Step::Bind);
        for step in steps {
            let (open, had) = (state.open(), world.handed());
            world.apply(&mut state, step.clone());
            state.check().map_err(TestCaseError::fail)?;
            world.audit(&state);
            let most = state.tuning.sizes.max_size.max(open);
            prop_assert!(state.open() <= most, "R1: {} open after {step:?}", state.open());
            let served: Vec<u64> = world.handed().difference(&had).copied().collect();
            let first = state.waiters().in_line().map(|waiter| waiter.ticket).min();
            if let Some(first) = first {
                prop_assert!(
                    served.iter().all(|ticket| *ticket < first),
                    "R2: {served:?} were served before {first}"
                );
            }
        }
        // No wake-up is lost: once faults end, whoever still waits is served, with no other clock
        // than the alarm that the machine itself sets.
        if state.suspended {
            world.apply(&mut state, Step::Suspend(false));
        }
        world.apply(&mut state, Step::Bind);
        for _ in 0..500 {
            world.end_all_well(&mut state);
            if world.waiting.is_empty() {
                break;
            }
            let due = state.tick();
            if due != Time::NEVER {
                state.now = due.max(state.now);
            }
        }
        prop_assert!(world.waiting.is_empty(), "R2: somebody still waits: {state:?}");
        world.audit(&state);
        world.waiting.append(&mut world.forgotten);
        // R13: once everything has come to an end, a closed pool is empty.
        state.shut();
        world.apply(&mut state, Step::Bind);
        for _ in 0..50 {
            world.end_all_well(&mut state);
        }
        prop_assert_eq!((state.open(), state.waiters().len()), (0, 0));
    }
}
