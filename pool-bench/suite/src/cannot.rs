//! Cases that say nothing about a peer, since an adapter is in the way.

/// Why this case cannot be run on this pool, beyond what the pool lacks.
pub(crate) fn why(pool: &str, case: &str) -> Option<&'static str> {
    Some(match (pool, case) {
        (
            "sqlx",
            "r12_a_permanent_error_reaches_all_who_wait"
            | "r12_a_permanent_error_is_not_remembered_for_ever"
            | "scenario_r12_permanent",
        ) => "the adapter's connect errors come from after_connect, and sqlx tries all those again",
        ("sqlx", "r15_a_panic_in_the_drop_of_a_connection") => {
            "the adapter cannot make SQLite's own connection panic"
        }
        ("r2d2", "r02_a_newcomer_never_overtakes_a_waiter") => {
            "the adapter acquires on a thread, so that no acquire ends at its first poll"
        }
        (
            "r2d2",
            "r02_those_who_come_back_queue_up_again"
            | "scenario_r02_order"
            | "scenario_r18_no_inheritance",
        ) => "the adapter acquires on threads, and those begin in any order",
        ("r2d2", "r02_a_forgotten_future_does_not_block_the_others") => {
            "a blocking acquire is no future that could be forgotten"
        }
        ("r2d2", "r14_a_ping_that_was_cut_off_ends_its_connection") => {
            "a blocking test cannot be cut off"
        }
        ("r2d2", "r05_demand_that_has_vanished_starts_nothing") => {
            "a blocking acquire cannot be given up"
        }
        (
            "mobc",
            "r02_a_return_takes_effect_at_once"
            | "r08_zero_tries_once"
            | "scenario_r08_zero_none_huge",
        ) => "mobc's timeouts have to be more than zero",
        _ => return None,
    })
}
