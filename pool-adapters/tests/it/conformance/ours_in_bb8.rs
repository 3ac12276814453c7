//! Our manager in bb8 0.9.1, with our queue in front of it: what that does of our rules.

use std::sync::Arc;
use std::time::Duration;

use pool_adapters::{Bb8Pool, ForBb8};
use pool_core::{Builder, PoolConfig, Reuse, Validation};
use pool_testkit::conformance::{Cannot, Faulted, Feature, Harness, SharedPool};
use pool_testkit::{FakeConnection, FakeManager, FakeServer};

use super::fake::fake_server;
use super::inside::Inside;
use super::table::{But, OURS_ALONE, all_pass};

const CLASSES: &str = "to bb8 all errors are the same";
const CONTROLS: &str = "bb8 has no hooks, controls or observers of ours";
const IDLE_FOR: &str = "bb8 tests each time or never";
const MAX_IDLE: &str = "bb8 has no max_idle";
const MAX_WAITING: &str = "bb8 has no max_waiting";
const MAX_CONNECTING: &str = "bb8 has no bound on connects at once";
const MIN_SIZE: &str = "bb8 has min_idle, but no min_size";
const RESET: &str = "bb8 cannot reset";
const ZERO: &str = "bb8 panics at a timeout of zero";
const KEEPALIVE: &str = "bb8 keeps nothing alive";
const LEAKS: &str = "bb8 looks for no leaks";

/// As long as this means as good as never.
fn is_never(time: Duration) -> bool {
    time == Duration::MAX
}

struct InBb8(FakeServer);

impl Harness for InBb8 {
    type Manager = FakeManager;

    fn manager(&self) -> FakeManager {
        self.0.manager()
    }
    fake_server!(FakeConnection);

    fn managed(&self, _: Faulted<Self>) -> Result<Builder<Faulted<Self>>, Cannot> {
        Err(Cannot(CONTROLS.into()))
    }

    async fn pool(
        &self,
        manager: Faulted<Self>,
        config: PoolConfig,
    ) -> Result<SharedPool<Self>, Cannot> {
        let default = PoolConfig::new();
        for (without, why) in [
            (config.max_idle.is_none(), MAX_IDLE),
            (config.max_waiting.is_none(), MAX_WAITING),
            (config.min_size == 0, MIN_SIZE),
            (config.acquire_timeout != Some(Duration::ZERO), ZERO),
            (config.max_connecting >= default.max_connecting, MAX_CONNECTING),
            (config.keepalive.is_none_or(is_never), KEEPALIVE),
            (config.leak_after.is_none_or(is_never), LEAKS),
        ] {
            if !without {
                return Err(Cannot(why.into()));
            }
        }
        let test = match config.validation {
            Validation::Always => true,
            Validation::Never => false,
            Validation::IfIdleFor(time) if is_never(time) => false,
            validation if validation == default.validation => true, // bb8's own default
            _ => return Err(Cannot(IDLE_FOR.into())),
        };
        let queue = match config.reuse {
            Reuse::Fifo => bb8::QueueStrategy::Fifo,
            _ => bb8::QueueStrategy::Lifo,
        };
        let manager = ForBb8::new(manager)
            .connect_timeout(config.connect_timeout)
            .ping_timeout(config.ping_timeout);
        let builder = bb8::Pool::builder()
            .max_size(config.max_size)
            .min_idle(Some(config.min_idle))
            .test_on_check_out(test)
            .max_lifetime(config.max_lifetime)
            .idle_timeout(config.idle_timeout)
            .connection_timeout(config.acquire_timeout.unwrap_or(Duration::MAX))
            .reaper_rate(Duration::from_millis(20))
            .queue_strategy(queue);
        Ok(Arc::new(Inside(Bb8Pool::new(config.name, builder, manager))))
    }

    fn lacks(&self, feature: Feature) -> Option<&'static str> {
        match feature {
            Feature::MaxIdle => Some(MAX_IDLE),
            Feature::MinSize => Some(MIN_SIZE),
            Feature::Reset | Feature::ResetAtReturn => Some(RESET),
            Feature::MaxConnecting => Some(MAX_CONNECTING),
            Feature::ErrorClasses => Some(CLASSES),
            _ => None,
        }
    }
}

const BUT: &[But] = &[
    But::Cannot(CONTROLS, OURS_ALONE),
    But::Cannot(
        CLASSES,
        &[
            "r12_a_permanent_error_is_remembered_for_a_moment",
            "r12_a_saturated_server_is_left_alone",
            "r12_one_permanent_error_is_enough_for_all",
            "r12_what_is_open_serves_in_spite_of_permanent_errors",
        ],
    ),
    But::Cannot(
        IDLE_FOR,
        &[
            "r16_when_all_pings_fail_all_get_new_connections",
            "r19_a_connection_idle_for_long_is_pinged",
            "r19_a_connection_just_used_is_not_pinged",
            "r19_the_free_check_comes_in_any_case",
        ],
    ),
    But::Cannot(
        MAX_CONNECTING,
        &[
            "r05_after_a_failure_connects_go_one_at_a_time",
            "r05_never_more_connects_at_once_than_max_connecting",
            "scenario_r05_no_storm",
        ],
    ),
    But::Cannot(
        MAX_IDLE,
        &["r06_above_max_idle_a_returned_connection_is_closed", "scenario_r06_sizes"],
    ),
    But::Cannot(
        MIN_SIZE,
        &[
            "r06_it_shrinks_back_to_its_minimum_with_nobody_asking",
            "r06_min_size_counts_those_in_use",
            "r09_pruning_leaves_the_minimum_alone",
        ],
    ),
    But::Cannot(
        RESET,
        &[
            "r14_a_reset_that_was_cut_off_ends_its_connection",
            "r14_dropped_at_any_poll_of_a_slow_reset",
            "r15_a_panic_in_reset",
            "r17_a_dirty_connection_is_reset_at_once",
            "r17_a_dirty_connection_keeps_its_slot_until_it_is_clean",
            "r18_a_failed_reset_ends_its_connection",
        ],
    ),
    But::Cannot(ZERO, &["r08_zero_as_a_setting_is_not_limitlessness"]),
    But::Fails(
        "no jitter: connections born together go together",
        &["r09_a_cohort_does_not_expire_together"],
    ),
    But::Fails(
        "every error is tried again until the timeout (bb8 #141, PR #147)",
        &["r12_a_permanent_error_reaches_all_who_wait", "scenario_r12_permanent"],
    ),
];

#[test]
fn ours_in_bb8() {
    all_pass::<InBb8>(BUT);
}
