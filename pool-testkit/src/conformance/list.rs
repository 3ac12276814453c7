//! The list of all cases, and the ways to run them.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::mpsc;
use std::time::Duration;

use super::harness::{Harness, Outcome};
use super::trial::Trial;

/// How long a case may take in real time; then it hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a case needs of the harness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Needs {
    /// Nothing but the manager.
    Nothing,
    /// [`Harness::break_connection`].
    BreakConnection,
    /// [`Harness::open_connections`].
    OpenConnections,
    /// [`Harness::begin`] and [`Harness::in_transaction`].
    Transactions,
    /// [`Harness::leave_state`] and [`Harness::has_state`].
    SessionState,
}

/// One case.
pub struct Case<H: Harness> {
    name: &'static str,
    needs: Needs,
    run: Box<dyn FnOnce(Trial<H>) -> LocalFuture + Send>,
}

type LocalFuture = Pin<Box<dyn Future<Output = Outcome>>>;

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The rule holds.
    Pass,
    /// It does not: what was seen.
    Fail(String),
    /// The pool under test does not offer it: why.
    Cannot(String),
}

impl<H: Harness> Case<H> {
    pub(super) fn new<F>(name: &'static str, needs: Needs, run: fn(Trial<H>) -> F) -> Self
    where
        F: Future<Output = Outcome> + 'static,
    {
        Self { name, needs, run: Box::new(move |trial| Box::pin(run(trial))) }
    }

    /// Its name; the rule it proves comes first.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it needs of the harness.
    pub fn needs(&self) -> Needs {
        self.needs
    }

    /// Runs it on a thread and a runtime of its own, for a minute at most.
    pub fn run(self) -> Verdict {
        let (sender, receiver) = mpsc::channel();
        let Self { name, run, .. } = self;
        let body = move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| run_here::<H>(run)));
            // Nobody listens any more if it took too long.
            let _ = sender.send(outcome);
        };
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn(body).expect("a thread can be started");
        match receiver.recv_timeout(DEADLINE) {
            Ok(Ok(Ok(()))) => Verdict::Pass,
            Ok(Ok(Err(cannot))) => Verdict::Cannot(cannot.0),
            Ok(Err(panic)) => Verdict::Fail(text(&*panic)),
            Err(_) => Verdict::Fail(format!("it hangs: no end after {DEADLINE:?}")),
        }
    }
}

fn run_here<H: Harness>(run: impl FnOnce(Trial<H>) -> LocalFuture) -> Outcome {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(H::PAUSED).build();
    runtime.expect("a runtime can be made").block_on(async { run(Trial::new().await).await })
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "it panicked".to_owned())
}

impl<H: Harness> fmt::Debug for Case<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Runs the case of this name as a test.
///
/// # Panics
/// If it fails, cannot be run, or does not exist.
pub fn check<H: Harness>(name: &str) {
    let case = suite::<H>().into_iter().find(|case| case.name == name);
    match case.expect("there is such a case").run() {
        Verdict::Pass => {}
        Verdict::Fail(why) => panic!("{name}: {why}"),
        Verdict::Cannot(why) => panic!("{name} cannot be run: {why}"),
    }
}

/// All cases, for runners of their own.
pub fn suite<H: Harness>() -> Vec<Case<H>> {
    crate::__conformance!(@list suite H)
}

/// One `#[test]` for each case of the [conformance suite](mod@crate::conformance).
///
/// `conformance!(MyHarness)`, or with what the harness cannot do and why:
/// `conformance!(MyHarness, without(break_connection = "reason", transactions = "reason"))`. Those
/// cases are then ignored with the reason. The groups are `break_connection`, `open_connections`,
/// `transactions` and `session_state`.
#[macro_export]
macro_rules! conformance {
    ($harness:ty $(,)?) => { $crate::conformance!($harness, without()); };
    ($harness:ty, without($($without:tt)*) $(,)?) => {
        $crate::__conformance!(@without $harness, [] [] [] [] { $($without)* });
    };
}

/// The list itself; the rest of it is how it is turned into tests and into a suite.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance {
    (@list $then:ident $($args:tt)*) => {
        $crate::__conformance! { @$then $($args)*;
            Nothing {
                r01_never_more_than_max_size
                scenario_r01_bound
                scenario_r02_order
                scenario_r03_cancelled_connect
                scenario_r04_race
                scenario_r05_no_storm
                scenario_r06_sizes
                scenario_r07_deadline
                scenario_r08_zero_none_huge
                scenario_r09_lifetime
                scenario_r12_permanent
                scenario_r14_cancel
                scenario_r15_panics
                scenario_r16_suspicion
                scenario_r19_proof
                scenario_r20_controls
                scenario_r21_close
                scenario_r23_holders
                scenario_r24_counts
                scenario_r25_secrets
            }
            BreakConnection {
                scenario_r13_capacity
            }
            OpenConnections {
            }
            Transactions {
                scenario_r17_return
                scenario_r18_no_inheritance
            }
            SessionState {
            }
        }
    };

    // Which groups to do without: [break_connection] [open_connections] [transactions]
    // [session_state].
    (@without $h:ty, $b:tt $o:tt $t:tt $s:tt {}) => {
        $crate::__conformance!(@list tests $h, $b $o $t $s);
    };
    (@without $h:ty, [] $o:tt $t:tt $s:tt { break_connection = $why:literal $(, $($more:tt)*)? }) => {
        $crate::__conformance!(@without $h, [$why] $o $t $s { $($($more)*)? });
    };
    (@without $h:ty, $b:tt [] $t:tt $s:tt { open_connections = $why:literal $(, $($more:tt)*)? }) => {
        $crate::__conformance!(@without $h, $b [$why] $t $s { $($($more)*)? });
    };
    (@without $h:ty, $b:tt $o:tt [] $s:tt { transactions = $why:literal $(, $($more:tt)*)? }) => {
        $crate::__conformance!(@without $h, $b $o [$why] $s { $($($more)*)? });
    };
    (@without $h:ty, $b:tt $o:tt $t:tt [] { session_state = $why:literal $(, $($more:tt)*)? }) => {
        $crate::__conformance!(@without $h, $b $o $t [$why] { $($($more)*)? });
    };
    (@without $h:ty, $b:tt $o:tt $t:tt $s:tt { $($wrong:tt)* }) => {
        compile_error!(concat!(
            "not a group, or one named twice: `", stringify!($($wrong)*), "`; write one of ",
            "break_connection, open_connections, transactions, session_state, each with its ",
            "reason: without(break_connection = \"why\")"
        ));
    };

    (@tests $h:ty, $b:tt $o:tt $t:tt $s:tt; $nothing:ident { $($plain:ident)* }
        $break:ident { $($broken:ident)* } $open:ident { $($counted:ident)* }
        $transactions:ident { $($transaction:ident)* } $session:ident { $($state:ident)* }
    ) => {
        $($crate::__conformance!(@test $h, [] $plain);)*
        $($crate::__conformance!(@test $h, $b $broken);)*
        $($crate::__conformance!(@test $h, $o $counted);)*
        $($crate::__conformance!(@test $h, $t $transaction);)*
        $($crate::__conformance!(@test $h, $s $state);)*
    };
    (@test $h:ty, [$($why:literal)?] $case:ident) => {
        #[test]
        $(#[ignore = $why])?
        fn $case() {
            $crate::conformance::check::<$h>(stringify!($case));
        }
    };

    (@suite $h:ident; $($needs:ident { $($case:ident)* })*) => {
        vec![$($(
            $crate::conformance::Case::new(
                stringify!($case),
                $crate::conformance::Needs::$needs,
                $crate::conformance::cases::$case::<$h>,
            ),
        )*)*]
    };
}
