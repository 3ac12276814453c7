//! What is expected of each case, and the run that is compared with it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use pool_testkit::conformance::{Harness, Verdict, suite};

/// How many cases run at once: most of the time they wait.
const AT_ONCE: usize = 16;

/// Cases that do not pass, and why.
pub(super) enum But {
    /// The engine does not offer it: the reason, as the harness gives it.
    Cannot(&'static str, &'static [&'static str]),
    /// The engine breaks the rule: how, and where that is known. On a busy machine, where our
    /// thread may stand still while it does, not in every run.
    Fails(&'static str, &'static [&'static str]),
    /// It may break the rule, as its threads happen to run: how.
    MayFail(&'static str, &'static [&'static str]),
}

/// Cases about what only our own pool has: hooks, controls, statistics, its builder.
pub(super) const OURS_ALONE: &[&str] = &[
    "r10_a_lifetime_of_the_servers_counts",
    "r10_what_the_server_would_cut_ends_before",
    "r11_a_jump_of_the_wall_clock_makes_all_suspect",
    "r15_a_panic_in_after_connect",
    "r15_a_panic_in_after_connect_async",
    "r15_a_panic_in_after_release",
    "r15_a_panic_in_after_release_async",
    "r15_a_panic_in_before_acquire",
    "r15_a_panic_in_before_acquire_async",
    "r15_a_panic_in_classify",
    "r15_a_panic_in_every_method_of_an_observer",
    "r15_a_panic_in_limits",
    "r15_a_panic_in_the_predicate_of_retain",
    "r16_a_failed_ping_makes_the_others_suspect",
    "r18_session_state_is_cleared_but_what_after_connect_set_up",
    "r18_what_after_connect_set_up_is_always_there",
    "r20_a_detached_connection_is_outside",
    "r20_a_new_minimum_is_opened_though_nobody_asks",
    "r20_a_pool_made_larger_serves_who_waits",
    "r20_a_pool_made_smaller_closes_spare_ones_now",
    "r20_a_pool_made_smaller_comes_down_and_stays_there",
    "r20_a_pool_made_smaller_serves_no_more_than_it_may",
    "r20_a_suspended_pool_hands_nothing_out_until_it_is_resumed",
    "r20_invalidate_all_ends_every_connection",
    "r20_invalidate_all_reaches_a_connect_under_way",
    "r20_max_waiting_sheds_the_rest_and_no_other",
    "r20_pressure_rises_with_demand",
    "r20_ready_says_why_not",
    "r20_ready_waits_for_the_minimum",
    "r20_retain_ends_what_is_not_to_be_kept",
    "r20_settings_that_make_no_sense_are_all_named",
    "r20_sizes_that_make_no_sense_change_nothing",
    "r21_the_last_handle_leaves_no_task",
    "r21_the_report_names_who_holds",
    "r22_a_blocking_acquire_keeps_its_deadline",
    "r22_a_blocking_acquire_needs_no_runtime",
    "r22_a_blocking_acquire_refuses_on_an_async_worker",
    "r22_what_an_ended_runtime_left_is_proven_first",
    "r22_who_waits_while_the_runtime_ends_is_served",
    "r22_without_any_runtime_an_acquire_says_so",
    "r23_a_leak_is_reported_once_with_its_holder",
    "r23_a_nested_acquire_is_told",
    "r23_a_time_out_names_who_holds",
    "r23_holders_are_those_who_hold",
    "r23_operations_are_told_by_name",
    "r23_the_place_in_the_code_survives_an_object",
    "r23_who_holds_nothing_waits_for_others",
    "r24_counts_add_up",
    "r24_gauges_are_right_at_the_end",
    "r24_gauges_tell_what_is",
    "r24_histograms_have_an_entry_for_each_acquire",
    "r25_no_output_shows_the_manager_or_a_connection",
    "scenario_r16_suspicion",
    "scenario_r17_return",
    "scenario_r20_controls",
    "scenario_r23_holders",
    "scenario_r24_counts",
];

/// Runs the suite. Every case has to pass, but for those in the table; those have to end as it
/// says.
pub(super) fn all_pass<H: Harness>(but: &[But]) {
    let mut expected = BTreeMap::new();
    for but in but {
        for case in but.cases() {
            assert!(expected.insert(*case, but).is_none(), "{case} is listed twice");
        }
    }
    let mut wrong = Vec::new();
    for (case, mut verdict) in run::<H>() {
        let but = expected.remove(case);
        if let (Verdict::Pass, Some(But::Fails(..))) = (&verdict, but) {
            verdict = once_more::<H>(case);
        }
        let as_listed = match (&verdict, but) {
            (Verdict::Pass, None | Some(But::MayFail(..))) => true,
            (Verdict::Fail(_), Some(But::Fails(..) | But::MayFail(..))) => true,
            (Verdict::Cannot(why), Some(But::Cannot(reason, _))) => why == reason,
            _ => false,
        };
        if !as_listed {
            let listed = but.map_or("that it passes", But::reason);
            wrong.push(format!("{case}: {verdict:?}; listed is: {listed}"));
        }
    }
    wrong.extend(expected.keys().map(|case| format!("{case}: there is no such case")));
    assert!(wrong.is_empty(), "not as the table has it:\n{}", wrong.join("\n"));
}

/// Runs one case until it shows the fault that it is listed with, ten times at most.
fn once_more<H: Harness>(name: &str) -> Verdict {
    let again = || suite::<H>().into_iter().find(|case| case.name() == name).map(|case| case.run());
    let mut verdicts = std::iter::repeat_with(again).take(10).flatten();
    verdicts.find(|verdict| !matches!(verdict, Verdict::Pass)).unwrap_or(Verdict::Pass)
}

impl But {
    fn reason(&self) -> &'static str {
        let (Self::Cannot(reason, _) | Self::Fails(reason, _) | Self::MayFail(reason, _)) = self;
        reason
    }

    fn cases(&self) -> &'static [&'static str] {
        let (Self::Cannot(_, cases) | Self::Fails(_, cases) | Self::MayFail(_, cases)) = self;
        cases
    }
}

fn run<H: Harness>() -> BTreeMap<&'static str, Verdict> {
    let (cases, verdicts) = (Mutex::new(suite::<H>()), Mutex::new(BTreeMap::new()));
    std::thread::scope(|threads| {
        for _ in 0..AT_ONCE {
            threads.spawn(|| {
                let next = || cases.lock().unwrap_or_else(PoisonError::into_inner).pop();
                while let Some(case) = next() {
                    let name = case.name();
                    let verdict = case.run();
                    verdicts.lock().unwrap_or_else(PoisonError::into_inner).insert(name, verdict);
                }
            });
        }
    });
    verdicts.into_inner().unwrap_or_else(PoisonError::into_inner)
}
