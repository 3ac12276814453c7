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
        self.run_within(DEADLINE)
    }

    /// Runs it as [`run`](Self::run) does, for so long at most; what hangs is left behind.
    pub fn run_within(self, limit: Duration) -> Verdict {
        let (sender, receiver) = mpsc::channel();
        let Self { name, run, .. } = self;
        let body = move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| run_here::<H>(run)));
            // Nobody listens any more if it took too long.
            let _ = sender.send(outcome);
        };
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn(body).expect("a thread can be started");
        match receiver.recv_timeout(limit) {
            Ok(Ok(Ok(()))) => Verdict::Pass,
            Ok(Ok(Err(cannot))) => Verdict::Cannot(cannot.0),
            Ok(Err(panic)) => Verdict::Fail(text(&*panic)),
            Err(_) => Verdict::Fail(format!("it hangs: no end after {limit:?}")),
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
                r01_churn_never_exceeds_max_size
                r01_gauges_never_exceed_max_size
                r01_never_more_than_max_size
                r02_a_forgotten_future_does_not_block_the_others
                r02_a_loop_that_is_always_served_starves_no_other_task
                r02_a_newcomer_never_overtakes_a_waiter
                r02_a_release_that_meets_an_acquire_is_not_lost
                r02_a_return_takes_effect_at_once
                r02_nobody_waits_for_ever_among_threads
                r02_the_connection_returned_last_is_reused_first
                r02_those_who_come_back_queue_up_again
                r02_two_thousand_at_once_are_all_served
                r02_waiters_are_served_in_order
                r03_a_connect_goes_on_without_its_caller
                r04_a_returned_connection_overtakes_a_slow_connect
                r04_what_lost_the_race_is_kept
                r05_a_server_that_is_down_is_not_hammered
                r05_after_a_failure_connects_go_one_at_a_time
                r05_bursts_open_as_many_as_were_in_use_at_once
                r05_demand_that_has_vanished_starts_nothing
                r05_never_more_connects_at_once_than_max_connecting
                r06_above_max_idle_a_returned_connection_is_closed
                r06_it_shrinks_back_to_its_minimum_with_nobody_asking
                r06_min_idle_is_kept_on_top_of_those_in_use
                r06_min_size_counts_those_in_use
                r06_without_a_minimum_nothing_is_opened_before_it_is_asked_for
                r07_a_close_that_hangs
                r07_a_connect_that_hangs
                r07_a_ping_that_hangs
                r07_a_ping_that_hangs_does_not_use_up_the_acquire
                r07_holders_who_never_return
                r07_one_connect_that_hangs_does_not_starve_the_others
                r08_a_timeout_per_acquire_counts_instead_of_the_pools
                r08_none_waits_without_limit
                r08_the_longest_durations_do_not_overflow
                r08_zero_as_a_setting_is_not_limitlessness
                r08_zero_tries_once
                r09_a_cohort_does_not_expire_together
                r09_a_connection_that_is_never_idle_ends_too
                r09_pruning_leaves_the_minimum_alone
                r09_pruning_takes_nothing_that_a_waiter_needs
                r09_the_jitter_is_fixed_at_birth
                r09_what_comes_back_too_old_is_closed
                r10_a_lifetime_of_the_servers_counts
                r10_what_the_server_would_cut_ends_before
                r11_a_jump_of_the_wall_clock_makes_all_suspect
                r12_a_permanent_error_is_not_remembered_for_ever
                r12_a_permanent_error_is_remembered_for_a_moment
                r12_a_permanent_error_reaches_all_who_wait
                r12_a_saturated_server_is_left_alone
                r12_one_permanent_error_is_enough_for_all
                r12_the_time_out_carries_the_last_connect_error
                r12_transient_errors_are_retried_until_the_deadline
                r12_waiters_are_served_when_the_server_is_back
                r12_what_is_open_serves_in_spite_of_permanent_errors
                r13_a_broken_return_serves_the_queue
                r13_a_failed_connect_serves_the_queue
                r13_a_failed_ping_serves_the_queue
                r13_a_hung_connect_serves_the_queue
                r13_a_panicking_connect_serves_the_queue
                r13_an_invalidated_connection_serves_the_queue
                r14_a_ping_that_was_cut_off_ends_its_connection
                r14_a_reset_that_was_cut_off_ends_its_connection
                r14_aborted_tasks_give_back_what_they_hold
                r14_dropped_at_any_poll_in_the_queue
                r14_dropped_at_any_poll_of_a_slow_connect
                r14_dropped_at_any_poll_of_a_slow_ping
                r14_dropped_at_any_poll_of_a_slow_reset
                r14_what_a_dropped_waiter_was_handed_goes_to_the_next
                r15_a_panic_in_after_connect
                r15_a_panic_in_after_connect_async
                r15_a_panic_in_after_release
                r15_a_panic_in_after_release_async
                r15_a_panic_in_before_acquire
                r15_a_panic_in_before_acquire_async
                r15_a_panic_in_classify
                r15_a_panic_in_close
                r15_a_panic_in_condition
                r15_a_panic_in_connect
                r15_a_panic_in_every_method_of_an_observer
                r15_a_panic_in_limits
                r15_a_panic_in_ping
                r15_a_panic_in_reset
                r15_a_panic_in_the_drop_of_a_connection
                r15_a_panic_in_the_predicate_of_retain
                r15_users_who_panic_cost_no_capacity
                r16_a_failed_ping_makes_the_others_suspect
                r16_when_all_pings_fail_all_get_new_connections
                r17_a_broken_connection_is_not_used_again
                r17_a_broken_connection_is_replaced_for_who_waits
                r17_a_clean_connection_is_handed_on_without_a_call
                r17_a_clean_connection_is_used_again
                r17_a_dirty_connection_is_reset_at_once
                r17_a_dirty_connection_keeps_its_slot_until_it_is_clean
                r18_a_failed_reset_ends_its_connection
                r18_what_after_connect_set_up_is_always_there
                r19_a_connection_idle_for_long_is_pinged
                r19_a_connection_just_used_is_not_pinged
                r19_always_means_a_ping_before_each_use
                r19_failed_pings_cost_no_caller_an_error
                r19_never_means_no_ping
                r19_the_free_check_comes_in_any_case
                r20_a_connection_given_up_is_closed_and_no_other
                r20_a_detached_connection_is_outside
                r20_a_new_minimum_is_opened_though_nobody_asks
                r20_a_pool_made_larger_serves_who_waits
                r20_a_pool_made_smaller_closes_spare_ones_now
                r20_a_pool_made_smaller_comes_down_and_stays_there
                r20_a_pool_made_smaller_serves_no_more_than_it_may
                r20_a_suspended_pool_hands_nothing_out_until_it_is_resumed
                r20_every_connection_is_asked_of_the_manager
                r20_invalidate_all_ends_every_connection
                r20_invalidate_all_reaches_a_connect_under_way
                r20_max_waiting_sheds_the_rest_and_no_other
                r20_pressure_rises_with_demand
                r20_ready_says_why_not
                r20_ready_waits_for_the_minimum
                r20_retain_ends_what_is_not_to_be_kept
                r20_settings_that_make_no_sense_are_all_named
                r20_sizes_that_make_no_sense_change_nothing
                r21_a_close_races_with_everything
                r21_a_closed_pool_refuses
                r21_a_forgotten_guard_does_not_hold_up_the_close
                r21_a_guard_dropped_after_its_runtime_has_ended_leaks_nothing
                r21_a_guard_dropped_outside_any_runtime_goes_back
                r21_a_guard_that_comes_back_after_the_close_is_not_kept
                r21_goodbyes_have_ended_when_the_close_returns
                r21_idle_connections_end_now_and_others_as_they_come_back
                r21_the_last_handle_leaves_no_task
                r21_the_report_names_who_holds
                r21_who_waits_for_a_connect_is_told_of_the_close
                r21_who_waits_is_told_of_the_close
                r21_with_the_last_handle_idle_connections_go
                r22_a_blocking_acquire_keeps_its_deadline
                r22_a_blocking_acquire_needs_no_runtime
                r22_a_blocking_acquire_refuses_on_an_async_worker
                r22_a_pool_serves_one_runtime_after_another
                r22_a_pool_serves_two_runtimes_at_once
                r22_what_an_ended_runtime_left_is_proven_first
                r22_who_waits_while_the_runtime_ends_is_served
                r22_without_any_runtime_an_acquire_says_so
                r23_a_leak_is_reported_once_with_its_holder
                r23_a_nested_acquire_is_told
                r23_a_time_out_names_who_holds
                r23_holders_are_those_who_hold
                r23_operations_are_told_by_name
                r23_the_place_in_the_code_survives_an_object
                r23_who_holds_nothing_waits_for_others
                r24_counts_add_up
                r24_gauges_are_right_at_the_end
                r24_gauges_tell_what_is
                r24_histograms_have_an_entry_for_each_acquire
                r25_no_output_shows_the_manager_or_a_connection
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
                r16_after_a_restart_at_most_one_user_finds_a_dead_connection
                r16_after_a_restart_no_room_is_lost
                r16_with_pings_nobody_finds_a_dead_connection
                scenario_r13_capacity
            }
            OpenConnections {
                r21_a_closed_pool_leaves_nothing_at_the_database
                r21_a_dropped_pool_leaves_nothing_at_the_database
            }
            Transactions {
                r07_a_reset_that_hangs
                r18_no_transaction_outlives_a_panic
                r18_no_transaction_outlives_a_plain_return
                r18_no_transaction_outlives_a_waiter_who_gives_up
                r18_no_transaction_outlives_an_aborted_task
                scenario_r17_return
                scenario_r18_no_inheritance
            }
            SessionState {
                r18_no_session_state_outlives_its_user
                r18_session_state_is_cleared_but_what_after_connect_set_up
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
