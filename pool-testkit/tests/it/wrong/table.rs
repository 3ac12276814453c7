//! What is wrong with whom, and which cases have to notice.

use std::collections::BTreeSet;
use std::time::Duration;

use pool_core::{PoolConfig, Reuse, Validation};

use super::manager::ManagerFlaw;
use super::pool::PoolFlaw;

pub(crate) struct Wrong {
    pub(crate) name: &'static str,
    pub(crate) config: fn(PoolConfig) -> PoolConfig,
    pub(crate) pool: PoolFlaw,
    pub(crate) manager: ManagerFlaw,
    /// The cases on what is wrong.
    pub(crate) kills: &'static [&'static str],
    /// Cases on other things that cannot but fail too, and why.
    pub(crate) also: &'static [(&'static str, &'static str)],
}

impl Wrong {
    /// All cases that it has to fail.
    pub(crate) fn expected(&self) -> BTreeSet<&'static str> {
        self.kills.iter().copied().chain(self.also.iter().map(|(case, _)| *case)).collect()
    }
}

const US: Duration = Duration::from_micros(1);

const fn right(name: &'static str) -> Wrong {
    Wrong {
        name,
        config: |config| config,
        pool: PoolFlaw::None,
        manager: ManagerFlaw::None,
        kills: &[],
        also: &[],
    }
}

pub(crate) const TABLE: &[Wrong] = &[
    Wrong {
        config: |config| {
            let more = config.max_size + 1;
            config.max_size(more)
        },
        kills: &[
            "r01_churn_never_exceeds_max_size",
            "r01_gauges_never_exceed_max_size",
            "r01_never_more_than_max_size",
            "scenario_r01_bound",
        ],
        also: &[
            (
                "r02_a_newcomer_never_overtakes_a_waiter",
                "with max_size 1 there are two: nobody has to wait",
            ),
            ("r07_holders_who_never_return", "with max_size 1 there are two: nobody has to wait"),
            (
                "r08_a_timeout_per_acquire_counts_instead_of_the_pools",
                "with max_size 1 there are two: nobody has to wait",
            ),
            ("r08_none_waits_without_limit", "with max_size 1 there are two: nobody has to wait"),
            (
                "r17_a_clean_connection_is_handed_on_without_a_call",
                "with max_size 1 there are two: nobody has to wait",
            ),
            (
                "r17_a_dirty_connection_keeps_its_slot_until_it_is_clean",
                "with max_size 1 there are two: nobody has to wait",
            ),
            (
                "r21_who_waits_is_told_of_the_close",
                "with max_size 1 there are two: nobody has to wait",
            ),
            ("scenario_r02_order", "with max_size 1 there are two: nobody has to wait"),
            ("scenario_r08_zero_none_huge", "with max_size 1 there are two: nobody has to wait"),
            ("scenario_r13_capacity", "with max_size 1 there are two: nobody has to wait"),
            ("scenario_r14_cancel", "with max_size 1 there are two: nobody has to wait"),
            ("scenario_r21_close", "with max_size 1 there are two: nobody has to wait"),
            ("scenario_r25_secrets", "with max_size 1 there are two: nobody has to wait"),
        ],
        ..right("one_connection_too_many")
    },
    Wrong {
        pool: PoolFlaw::NoDeadline,
        kills: &[
            "r07_a_close_that_hangs",
            "r07_a_connect_that_hangs",
            "r07_a_ping_that_hangs",
            "r07_a_reset_that_hangs",
            "r07_holders_who_never_return",
            "r08_a_timeout_per_acquire_counts_instead_of_the_pools",
            "r08_zero_as_a_setting_is_not_limitlessness",
            "r08_zero_tries_once",
            "scenario_r07_deadline",
            "scenario_r08_zero_none_huge",
        ],
        also: &[
            (
                "r12_the_time_out_carries_the_last_connect_error",
                "it waits for a time-out that never comes",
            ),
            (
                "r12_transient_errors_are_retried_until_the_deadline",
                "it waits for a time-out that never comes",
            ),
            ("scenario_r25_secrets", "it waits for a time-out that never comes"),
        ],
        ..right("waits_beyond_its_deadline")
    },
    Wrong {
        pool: PoolFlaw::ZeroIsNone,
        kills: &[
            "r08_zero_as_a_setting_is_not_limitlessness",
            "r08_zero_tries_once",
            "scenario_r08_zero_none_huge",
        ],
        also: &[],
        ..right("takes_zero_for_none")
    },
    Wrong {
        pool: PoolFlaw::NoneIsDefault,
        kills: &[
            "r08_a_timeout_per_acquire_counts_instead_of_the_pools",
            "r08_none_waits_without_limit",
        ],
        also: &[],
        ..right("takes_none_for_the_default")
    },
    Wrong {
        pool: PoolFlaw::AnyOrder,
        kills: &[
            "r02_a_newcomer_never_overtakes_a_waiter",
            "r02_those_who_come_back_queue_up_again",
            "scenario_r02_order",
        ],
        also: &[
            (
                "r07_a_ping_that_hangs",
                "it never queues, so nothing is opened, proven or closed for those who wait",
            ),
            (
                "r07_a_ping_that_hangs_does_not_use_up_the_acquire",
                "it never queues, so nothing is opened, proven or closed for those who wait",
            ),
            (
                "r07_one_connect_that_hangs_does_not_starve_the_others",
                "it never queues, so nothing is opened, proven or closed for those who wait",
            ),
            (
                "r08_none_waits_without_limit",
                "it never queues, so nothing is opened, proven or closed for those who wait",
            ),
            (
                "r09_pruning_takes_nothing_that_a_waiter_needs",
                "it never queues, so nothing is opened, proven or closed for those who wait",
            ),
            (
                "r13_a_failed_ping_serves_the_queue",
                "it never queues, so nothing is opened, proven or closed for those who wait",
            ),
            (
                "r14_a_ping_that_was_cut_off_ends_its_connection",
                "it never queues, so nothing is opened, proven or closed for those who wait",
            ),
            (
                "r14_dropped_at_any_poll_of_a_slow_ping",
                "it never queues, so nothing is opened, proven or closed for those who wait",
            ),
            (
                "r15_a_panic_in_ping",
                "it never queues, so nothing is opened, proven or closed for those who wait",
            ),
            (
                "r16_after_a_restart_no_room_is_lost",
                "it never queues, so nothing is opened, proven or closed for those who wait",
            ),
            (
                "r16_with_pings_nobody_finds_a_dead_connection",
                "it never queues, so nothing is opened, proven or closed for those who wait",
            ),
            (
                "r19_always_means_a_ping_before_each_use",
                "it never queues, so nothing is opened, proven or closed for those who wait",
            ),
            (
                "r19_failed_pings_cost_no_caller_an_error",
                "it never queues, so nothing is opened, proven or closed for those who wait",
            ),
            (
                "r19_the_free_check_comes_in_any_case",
                "it never queues, so nothing is opened, proven or closed for those who wait",
            ),
            (
                "r21_who_waits_for_a_connect_is_told_of_the_close",
                "it never queues, so nothing is opened, proven or closed for those who wait",
            ),
            (
                "r21_who_waits_is_told_of_the_close",
                "it never queues, so nothing is opened, proven or closed for those who wait",
            ),
            (
                "scenario_r04_race",
                "it never queues, so nothing is opened, proven or closed for those who wait",
            ),
            (
                "scenario_r12_permanent",
                "it never queues, so nothing is opened, proven or closed for those who wait",
            ),
            (
                "scenario_r19_proof",
                "it never queues, so nothing is opened, proven or closed for those who wait",
            ),
        ],
        ..right("serves_in_any_order")
    },
    Wrong {
        pool: PoolFlaw::ReturnsLate,
        kills: &["r02_a_return_takes_effect_at_once", "r17_a_clean_connection_is_used_again"],
        also: &[
            (
                "r19_the_free_check_comes_in_any_case",
                "it acquires again before the connection is back",
            ),
            ("scenario_r08_zero_none_huge", "it acquires again before the connection is back"),
        ],
        ..right("returns_late")
    },
    Wrong {
        config: |config| config.reuse(Reuse::Fifo),
        kills: &["r02_the_connection_returned_last_is_reused_first"],
        also: &[],
        ..right("reuses_the_oldest")
    },
    Wrong {
        pool: PoolFlaw::LosesCancelled,
        kills: &[
            "r14_dropped_at_any_poll_in_the_queue",
            "r14_dropped_at_any_poll_of_a_slow_connect",
            "r14_dropped_at_any_poll_of_a_slow_ping",
            "r14_dropped_at_any_poll_of_a_slow_reset",
            "scenario_r14_cancel",
        ],
        also: &[
            (
                "r02_a_forgotten_future_does_not_block_the_others",
                "it drops an acquire along the way, and a slot is gone",
            ),
            (
                "r03_a_connect_goes_on_without_its_caller",
                "it drops an acquire along the way, and a slot is gone",
            ),
            (
                "r05_demand_that_has_vanished_starts_nothing",
                "it drops an acquire along the way, and a slot is gone",
            ),
            ("scenario_r02_order", "it drops an acquire along the way, and a slot is gone"),
            (
                "scenario_r03_cancelled_connect",
                "it drops an acquire along the way, and a slot is gone",
            ),
            ("scenario_r05_no_storm", "it drops an acquire along the way, and a slot is gone"),
            ("scenario_r19_proof", "it drops an acquire along the way, and a slot is gone"),
        ],
        ..right("loses_what_a_cancelled_acquire_was_given")
    },
    Wrong {
        pool: PoolFlaw::CancelsConnects,
        kills: &["r03_a_connect_goes_on_without_its_caller", "scenario_r03_cancelled_connect"],
        also: &[
            ("scenario_r05_no_storm", "it drops an acquire along the way, and counts connects"),
            ("scenario_r14_cancel", "it drops an acquire along the way, and counts connects"),
        ],
        ..right("cancels_connects_with_their_callers")
    },
    Wrong {
        config: |config| config.max_connecting(1000),
        kills: &["r05_never_more_connects_at_once_than_max_connecting", "scenario_r05_no_storm"],
        also: &[],
        ..right("connects_without_limit")
    },
    Wrong {
        config: |config| config.backoff_base(US).backoff_cap(US),
        kills: &[
            "r05_a_server_that_is_down_is_not_hammered",
            "r12_a_saturated_server_is_left_alone",
        ],
        also: &[],
        ..right("does_not_back_off")
    },
    Wrong {
        config: |config| {
            let all = config.max_size;
            config.min_size(all).max_idle(None)
        },
        kills: &[
            "r06_above_max_idle_a_returned_connection_is_closed",
            "r06_it_shrinks_back_to_its_minimum_with_nobody_asking",
            "r06_min_size_counts_those_in_use",
            "r06_without_a_minimum_nothing_is_opened_before_it_is_asked_for",
            "scenario_r06_sizes",
        ],
        also: &[
            (
                "r04_a_returned_connection_overtakes_a_slow_connect",
                "it counts connects or connections, and there are more",
            ),
            (
                "r04_what_lost_the_race_is_kept",
                "it counts connects or connections, and there are more",
            ),
            (
                "r05_bursts_open_as_many_as_were_in_use_at_once",
                "it counts connects or connections, and there are more",
            ),
            (
                "r05_demand_that_has_vanished_starts_nothing",
                "it counts connects or connections, and there are more",
            ),
            (
                "r09_pruning_leaves_the_minimum_alone",
                "it counts connects or connections, and there are more",
            ),
            (
                "r12_a_saturated_server_is_left_alone",
                "it counts connects or connections, and there are more",
            ),
            (
                "r17_a_clean_connection_is_used_again",
                "it counts connects or connections, and there are more",
            ),
            (
                "r20_a_connection_given_up_is_closed_and_no_other",
                "it counts connects or connections, and there are more",
            ),
            ("r21_a_closed_pool_refuses", "it counts connects or connections, and there are more"),
            ("scenario_r05_no_storm", "it counts connects or connections, and there are more"),
            ("scenario_r09_lifetime", "it counts connects or connections, and there are more"),
        ],
        ..right("opens_everything_at_once")
    },
    Wrong {
        config: |config| config.max_idle(None),
        kills: &["r06_above_max_idle_a_returned_connection_is_closed", "scenario_r06_sizes"],
        also: &[],
        ..right("keeps_every_spare_connection")
    },
    Wrong {
        config: |config| config.max_lifetime(None),
        kills: &[
            "r09_a_connection_that_is_never_idle_ends_too",
            "r09_what_comes_back_too_old_is_closed",
            "scenario_r09_lifetime",
        ],
        also: &[],
        ..right("never_gets_old")
    },
    Wrong {
        config: |config| config.lifetime_jitter(0.0),
        kills: &["r09_a_cohort_does_not_expire_together"],
        also: &[],
        ..right("gets_old_all_at_once")
    },
    Wrong {
        config: |config| config.validation(Validation::Never),
        kills: &[
            "r19_a_connection_idle_for_long_is_pinged",
            "r19_always_means_a_ping_before_each_use",
            "scenario_r19_proof",
        ],
        also: &[(
            "r14_a_ping_that_was_cut_off_ends_its_connection",
            "the ping that is cut off there never begins",
        )],
        ..right("never_pings")
    },
    Wrong {
        config: |config| config.validation(Validation::Always),
        kills: &["r19_a_connection_just_used_is_not_pinged", "r19_never_means_no_ping"],
        also: &[
            (
                "r02_a_return_takes_effect_at_once",
                "a ping takes its time where the fast path takes none",
            ),
            ("r08_zero_tries_once", "a ping takes its time where the fast path takes none"),
            (
                "r17_a_clean_connection_is_handed_on_without_a_call",
                "a ping takes its time where the fast path takes none",
            ),
            ("scenario_r08_zero_none_huge", "a ping takes its time where the fast path takes none"),
        ],
        ..right("pings_always")
    },
    Wrong {
        config: |config| config.connect_timeout(Duration::from_secs(3600)),
        kills: &["r13_a_hung_connect_serves_the_queue"],
        also: &[],
        ..right("gives_connects_all_the_time")
    },
    Wrong {
        pool: PoolFlaw::HidesCause,
        kills: &["r12_the_time_out_carries_the_last_connect_error", "scenario_r12_permanent"],
        also: &[],
        ..right("hides_why_connects_fail")
    },
    Wrong {
        pool: PoolFlaw::IgnoresInvalidate,
        kills: &[
            "r20_a_connection_given_up_is_closed_and_no_other",
            "r20_every_connection_is_asked_of_the_manager",
        ],
        also: &[],
        ..right("keeps_what_was_given_up")
    },
    Wrong {
        pool: PoolFlaw::Poisoned,
        kills: &["r15_a_panic_in_condition", "r15_a_panic_in_connect", "scenario_r15_panics"],
        also: &[(
            "r13_a_panicking_connect_serves_the_queue",
            "the connect that fails there does so by a panic",
        )],
        ..right("is_poisoned_by_a_panic")
    },
    Wrong {
        pool: PoolFlaw::NeverCloses,
        kills: &[
            "r21_a_close_races_with_everything",
            "r21_a_closed_pool_leaves_nothing_at_the_database",
            "r21_a_closed_pool_refuses",
            "r21_a_guard_that_comes_back_after_the_close_is_not_kept",
            "r21_goodbyes_have_ended_when_the_close_returns",
            "r21_idle_connections_end_now_and_others_as_they_come_back",
            "r21_who_waits_for_a_connect_is_told_of_the_close",
            "r21_who_waits_is_told_of_the_close",
            "scenario_r21_close",
        ],
        also: &[],
        ..right("does_not_close")
    },
    Wrong {
        pool: PoolFlaw::CloseHasNoDeadline,
        kills: &[
            "r21_a_forgotten_guard_does_not_hold_up_the_close",
            "r21_a_guard_that_comes_back_after_the_close_is_not_kept",
        ],
        also: &[],
        ..right("closes_without_a_deadline")
    },
    Wrong {
        pool: PoolFlaw::LyingSnapshot,
        kills: &["scenario_r06_sizes", "scenario_r13_capacity", "scenario_r21_close"],
        also: &[],
        ..right("tells_lies")
    },
    Wrong {
        manager: ManagerFlaw::EverythingIsClean,
        kills: &[
            "r18_no_session_state_outlives_its_user",
            "r18_no_transaction_outlives_a_plain_return",
            "r18_no_transaction_outlives_a_waiter_who_gives_up",
            "r18_no_transaction_outlives_an_aborted_task",
            "r18_session_state_is_cleared_but_what_after_connect_set_up",
            "scenario_r17_return",
            "scenario_r18_no_inheritance",
        ],
        also: &[
            (
                "r16_after_a_restart_at_most_one_user_finds_a_dead_connection",
                "a broken connection is handed on",
            ),
            ("scenario_r13_capacity", "a broken connection is handed on"),
        ],
        ..right("takes_everything_for_clean")
    },
    Wrong {
        manager: ManagerFlaw::ForgetsToReset,
        kills: &["scenario_r17_return"],
        also: &[],
        ..right("forgets_to_reset")
    },
];
