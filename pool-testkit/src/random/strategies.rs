//! The strategies: which pool, what is done to it, what goes wrong.

use std::time::Duration;

use pool_core::{ErrorClass, PoolConfig, Reuse, Validation};
use proptest::prelude::*;

use super::operation::{Cut, Left, Operation};
use crate::{Behaviour, Faults, Op};

fn ms(millis: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    millis.prop_map(Duration::from_millis)
}

/// Any plan of faults: up to eight calls, or calls from one on, of any operation go wrong.
pub fn fault_plan() -> impl Strategy<Value = Faults> {
    fault_plan_of(&Op::ALL)
}

/// A plan of faults in these operations only.
pub fn fault_plan_of(ops: &[Op]) -> impl Strategy<Value = Faults> + use<> {
    let op = prop::sample::select(ops.to_vec());
    let fault = (op, 0..12_u64, prop::bool::weighted(0.1), behaviour());
    prop::collection::vec(fault, 0..8).prop_map(|planned| {
        let faults = Faults::none();
        for (op, n, lasting, behaviour) in planned {
            // Connections that are broken from birth, one after the other, would take no time.
            if lasting && op != Op::Condition {
                faults.from(op, n, behaviour);
            } else {
                faults.at(op, n, behaviour);
            }
        }
        faults
    })
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    prop_oneof![
        2 => ms(1..400).prop_map(Behaviour::Slow),
        2 => class().prop_map(Behaviour::Fail),
        1 => (ms(1..400), class()).prop_map(|(time, class)| Behaviour::FailAfter(time, class)),
        1 => Just(Behaviour::Hang),
        1 => Just(Behaviour::Panic),
    ]
}

fn class() -> impl Strategy<Value = ErrorClass> {
    prop_oneof![
        3 => Just(ErrorClass::Transient),
        1 => Just(ErrorClass::Permanent),
        1 => Just(ErrorClass::Saturated),
    ]
}

/// What users do, up to 80 operations in a row.
pub fn operations() -> impl Strategy<Value = Vec<Operation>> {
    prop::collection::vec(operation(), 1..80)
}

fn operation() -> impl Strategy<Value = Operation> {
    let which = any::<usize>;
    let patience = prop_oneof![1 => Just(None), 6 => ms(0..600).prop_map(Some)];
    let cut = (1..5_usize, any::<bool>()).prop_map(|(polls, at_once)| Cut { polls, at_once });
    let cut = prop::option::weighted(0.2, cut);
    let left = prop_oneof![
        6 => Just(Left::Clean),
        2 => Just(Left::Dirty),
        1 => Just(Left::Broken),
        1 => Just(Left::Invalidated),
    ];
    prop_oneof![
        16 => (patience, cut).prop_map(|(patience, cut)| Operation::Acquire { patience, cut }),
        3 => which().prop_map(Operation::Cancel),
        14 => (which(), left).prop_map(|(which, left)| Operation::Release(which, left)),
        8 => ms(0..300).prop_map(Operation::Pass),
        1 => ms(300..5000).prop_map(Operation::Pass),
        1 => sizes().prop_map(|sizes| Operation::Resize(Box::new(sizes))),
        1 => settings().prop_map(|settings| Operation::Reconfigure(Box::new(settings))),
        1 => Just(Operation::Suspend),
        2 => Just(Operation::Resume),
        1 => Just(Operation::InvalidateAll),
        1 => prop::bool::weighted(0.2).prop_map(|close| if close { Operation::Close } else { Operation::Pass(Duration::ZERO) }),
    ]
}

fn sizes() -> impl Strategy<Value = PoolConfig> {
    let any = (1..6_u32, 0..6_u32, 0..6_u32, prop::option::of(0..6_u32));
    any.prop_map(|(max_size, min_size, min_idle, max_idle)| {
        let (min_size, min_idle) = (min_size.min(max_size), min_idle.min(max_size));
        let max_idle = max_idle.map(|most| most.max(min_size).max(min_idle));
        PoolConfig::new()
            .max_size(max_size)
            .min_size(min_size)
            .min_idle(min_idle)
            .max_idle(max_idle)
    })
}

/// Pools of up to five connections in which everything happens within seconds.
pub fn settings() -> impl Strategy<Value = PoolConfig> {
    let validation = prop_oneof![
        Just(Validation::Always),
        ms(10..300).prop_map(Validation::IfIdleFor),
        Just(Validation::Never),
    ];
    let reuse = prop_oneof![Just(Reuse::Lifo), Just(Reuse::Fifo)];
    let lifetime = prop_oneof![Just(None), ms(1000..4000).prop_map(Some)];
    let keepalive = prop_oneof![Just(None), ms(300..900).prop_map(Some)];
    let waiting = prop_oneof![2 => Just(None), 1 => (0..9_u32).prop_map(Some)];
    (sizes(), 1..4_u32, waiting, validation, reuse, lifetime, keepalive).prop_map(
        |(sizes, connecting, waiting, validation, reuse, lifetime, keepalive)| {
            sizes
                .max_connecting(connecting)
                .max_waiting(waiting)
                .acquire_timeout(Duration::from_secs(5))
                .connect_timeout(Duration::from_millis(300))
                .ping_timeout(Duration::from_millis(200))
                .reset_timeout(Duration::from_millis(250))
                .close_timeout(Duration::from_millis(150))
                .idle_timeout(Duration::from_millis(800))
                .max_lifetime(lifetime)
                .keepalive(keepalive)
                .validation(validation)
                .reuse(reuse)
                .backoff_cap(Duration::from_millis(200))
        },
    )
}
