//! What is wrong with whom, and which cases have to notice.

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
        kills: &[],
        also: &[],
        ..right("one_connection_too_many")
    },
    Wrong {
        pool: PoolFlaw::NoDeadline,
        kills: &[],
        also: &[],
        ..right("waits_beyond_its_deadline")
    },
    Wrong { pool: PoolFlaw::ZeroIsNone, kills: &[], also: &[], ..right("takes_zero_for_none") },
    Wrong {
        pool: PoolFlaw::NoneIsDefault,
        kills: &[],
        also: &[],
        ..right("takes_none_for_the_default")
    },
    Wrong { pool: PoolFlaw::AnyOrder, kills: &[], also: &[], ..right("serves_in_any_order") },
    Wrong { pool: PoolFlaw::ReturnsLate, kills: &[], also: &[], ..right("returns_late") },
    Wrong {
        config: |config| config.reuse(Reuse::Fifo),
        kills: &[],
        also: &[],
        ..right("reuses_the_oldest")
    },
    Wrong {
        pool: PoolFlaw::LosesCancelled,
        kills: &[],
        also: &[],
        ..right("loses_what_a_cancelled_acquire_was_given")
    },
    Wrong {
        pool: PoolFlaw::CancelsConnects,
        kills: &[],
        also: &[],
        ..right("cancels_connects_with_their_callers")
    },
    Wrong {
        config: |config| config.max_connecting(1000),
        kills: &[],
        also: &[],
        ..right("connects_without_limit")
    },
    Wrong {
        config: |config| config.backoff_base(US).backoff_cap(US),
        kills: &[],
        also: &[],
        ..right("does_not_back_off")
    },
    Wrong {
        config: |config| {
            let all = config.max_size;
            config.min_size(all).max_idle(None)
        },
        kills: &[],
        also: &[],
        ..right("opens_everything_at_once")
    },
    Wrong {
        config: |config| config.max_idle(None),
        kills: &[],
        also: &[],
        ..right("keeps_every_spare_connection")
    },
    Wrong {
        config: |config| config.max_lifetime(None),
        kills: &[],
        also: &[],
        ..right("never_gets_old")
    },
    Wrong {
        config: |config| config.lifetime_jitter(0.0),
        kills: &[],
        also: &[],
        ..right("gets_old_all_at_once")
    },
    Wrong {
        config: |config| config.validation(Validation::Never),
        kills: &[],
        also: &[],
        ..right("never_pings")
    },
    Wrong {
        config: |config| config.validation(Validation::Always),
        kills: &[],
        also: &[],
        ..right("pings_always")
    },
    Wrong {
        config: |config| config.connect_timeout(Duration::from_secs(3600)),
        kills: &[],
        also: &[],
        ..right("gives_connects_all_the_time")
    },
    Wrong { pool: PoolFlaw::HidesCause, kills: &[], also: &[], ..right("hides_why_connects_fail") },
    Wrong {
        pool: PoolFlaw::IgnoresInvalidate,
        kills: &[],
        also: &[],
        ..right("keeps_what_was_given_up")
    },
    Wrong { pool: PoolFlaw::Poisoned, kills: &[], also: &[], ..right("is_poisoned_by_a_panic") },
    Wrong { pool: PoolFlaw::NeverCloses, kills: &[], also: &[], ..right("does_not_close") },
    Wrong {
        pool: PoolFlaw::CloseHasNoDeadline,
        kills: &[],
        also: &[],
        ..right("closes_without_a_deadline")
    },
    Wrong { pool: PoolFlaw::WrongSite, kills: &[], also: &[], ..right("names_the_wrong_place") },
    Wrong { pool: PoolFlaw::LyingSnapshot, kills: &[], also: &[], ..right("tells_lies") },
    Wrong {
        manager: ManagerFlaw::EverythingIsClean,
        kills: &[],
        also: &[],
        ..right("takes_everything_for_clean")
    },
    Wrong {
        manager: ManagerFlaw::ForgetsToReset,
        kills: &[],
        also: &[],
        ..right("forgets_to_reset")
    },
];
