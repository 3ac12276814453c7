//! What is known upstream of how a peer fails a case.

/// In a few words, why this case fails on this pool: the issue, if there is one.
pub(crate) fn reason(pool: &str, case: &str) -> Option<&'static str> {
    let tail = case.trim_start_matches("scenario_");
    Some(match (pool, tail) {
        (_, "r02_a_forgotten_future_does_not_block_the_others") => {
            "what was handed to a future that nobody polls is not taken back"
        }
        (_, "r21_with_the_last_handle_idle_connections_go") => match pool {
            "bb8" => "idle connections stay while one is held (bb8 #249)",
            "r2d2" => "idle connections stay while one is held (r2d2 #99, #101)",
            _ => "idle connections stay while one is held",
        },
        (_, "r07_a_ping_that_hangs_does_not_use_up_the_acquire") => match pool {
            "sqlx" => "a test has no limit of its own (sqlx #4146)",
            "r2d2" => "a test that hangs blocks its caller (diesel #3016)",
            _ => "a test has no limit of its own",
        },
        ("bb8", "r02_a_loop_that_is_always_served_starves_no_other_task") => {
            "a hit spends nothing of tokio's budget"
        }
        ("bb8", case) if case.starts_with("r02_") => "newcomers overtake those who wait (bb8 #243)",
        ("bb8", "r09_a_cohort_does_not_expire_together") => "lifetimes have no jitter",
        ("bb8", "r09_pruning_leaves_the_minimum_alone") => {
            "the reaper closes min_idle too and opens it again (bb8 #123)"
        }
        ("bb8", case) if case.starts_with("r12_") => {
            "no connect error reaches who waits (bb8 #102, #141)"
        }
        ("bb8", "r13_a_hung_connect_serves_the_queue") => {
            "connects have no limit, and one that hangs keeps its place for ever"
        }
        ("bb8" | "r2d2", "r13_a_panicking_connect_serves_the_queue" | "r15_a_panic_in_connect") => {
            "a panic in connect costs its place for ever"
        }
        (
            "bb8",
            "r14_a_ping_that_was_cut_off_ends_its_connection"
            | "r14_dropped_at_any_poll_of_a_slow_ping"
            | "r15_a_panic_in_ping",
        ) => "a half-tested connection is handed on",
        ("bb8" | "r2d2", "r15_a_panic_in_condition") => {
            "a panic in has_broken costs its place for ever"
        }
        ("deadpool", "r04_a_returned_connection_overtakes_a_slow_connect") => {
            "who connects takes nothing that comes back meanwhile (deadpool #462)"
        }
        (_, "r04_a_returned_connection_overtakes_a_slow_connect") => {
            "who connects takes nothing that comes back meanwhile"
        }
        ("sqlx", "r21_who_waits_for_a_connect_is_told_of_the_close") => {
            "who connects does not hear of the close (sqlx #2376)"
        }
        (_, "r21_who_waits_for_a_connect_is_told_of_the_close") => {
            "who connects does not hear of the close"
        }
        ("r2d2" | "sqlx", case) if case.starts_with("r08_") => {
            "a long timeout overflows and panics"
        }
        ("r2d2", "r07_a_ping_that_hangs") => {
            "a test that hangs blocks its caller beyond its time (diesel #3016)"
        }
        ("r2d2", case) if case.starts_with("r12_") => {
            "every connect error is tried again until the timeout"
        }
        ("r2d2", "r13_a_hung_connect_serves_the_queue") => {
            "connects have no limit, and one that hangs keeps its place for ever"
        }
        ("r2d2", "r15_a_panic_in_ping") => "a panic in is_valid costs its place for ever",
        ("r2d2", case) if ["r13_", "r17_", "r18_"].iter().any(|rule| case.starts_with(rule)) => {
            "a broken connection coming back wakes nobody"
        }
        ("mobc", "r09_pruning_takes_nothing_that_a_waiter_needs") => {
            "idle time is counted from birth: last_used_at is never set again"
        }
        ("mobc", case) if case.starts_with("r09_") => {
            "old connections are looked at only when somebody asks (mobc #58, #98)"
        }
        ("mobc", case) if case.starts_with("r17_") || case.starts_with("r05_") => {
            "a connection is given back in a task: who asks at once opens another"
        }
        ("mobc" | "sqlx", case) if case.starts_with("r21_a_guard_dropped") => {
            if pool == "sqlx" {
                "giving back without a runtime panics (sqlx #1396, tokio #3963)"
            } else {
                "giving back without a runtime panics"
            }
        }
        ("sqlx", "r05_a_server_that_is_down_is_not_hammered") => {
            "each caller tries on its own, again after 10 ms, without jitter"
        }
        (
            "sqlx",
            "r05_bursts_open_as_many_as_were_in_use_at_once"
            | "r17_a_clean_connection_is_used_again",
        ) => {
            "a connection is given back in a task: who asks at once opens another (sqlx #622, #1210)"
        }
        ("sqlx", "r14_a_reset_that_was_cut_off_ends_its_connection") => {
            "what is done at the return has no limit (sqlx #4349)"
        }
        ("sqlx", "r09_pruning_leaves_the_minimum_alone") => {
            "the minimum is closed too, and opened again"
        }
        _ => return None,
    })
}
