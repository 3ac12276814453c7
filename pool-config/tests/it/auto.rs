//! What is advised for machines and servers of all sizes. The arithmetic in words is tested where
//! it is documented.

use pool_config::sizing::ServerLimits;
use pool_config::{Advice, Advisor, AutoConfig, Backend, Machine};
use pool_core::PoolConfig;
use proptest::prelude::*;

fn sqlite(machine: Machine) -> Advice {
    Advisor::new(Backend::Sqlite).machine(machine).advise()
}

fn postgres(cores: f64) -> Advisor {
    Advisor::new(Backend::Postgres).machine(Machine::new(cores))
}

fn max_size(advice: &Advice) -> u32 {
    advice.config.max_size
}

#[test]
fn sqlite_has_as_many_as_its_own_default_for_whole_cores() {
    for (cores, size) in [(1.0, 5), (2.0, 5), (3.0, 7), (4.0, 9), (64.0, 9)] {
        assert_eq!(max_size(&sqlite(Machine::new(cores))), size, "{cores}");
    }
    assert_eq!(max_size(&sqlite(Machine::new(2.5))), 6); // std would say 2 cores
}

#[test]
fn sqlites_page_cache_stays_below_a_twentieth_of_the_memory() {
    for (mib, size, cache) in
        [(64, 1, 3_276), (128, 2, 6_553), (512, 7, 26_214), (1024, 9, 52_428), (8192, 9, 65_536)]
    {
        let advice = sqlite(Machine::new(8.0).with_memory(mib << 20));
        assert_eq!((max_size(&advice), advice.cache_budget), (size, Some(cache)), "{mib} MiB");
        // As pool-sqlite splits it: half to the writer, at least 2000 KiB to each reader.
        let readers = size - 1;
        let used = match readers {
            0 => cache,
            _ => cache / 2 + readers * (cache / (2 * readers)).max(2_000),
        };
        assert!(u64::from(used) * 1024 <= (mib << 20) / 20, "{mib} MiB: {used}");
    }
}

#[test]
fn sqlite_in_too_little_memory_still_has_a_connection_and_a_warning() {
    let advice = sqlite(Machine::new(1.5).with_memory(32 << 20));
    assert_eq!(
        advice.to_string(),
        "max_size = 1: 1 connection that reads and writes; readers = clamp(2 x 1.5 cores rounded \
         down, 4, 8) = 4; at most 0 readers by memory: 5 % of 32 MiB = 1638 KiB, half of it at \
         2000 KiB each\n\
         cache_budget = 2000: in KiB, the least of 65536, the default, and 5 % of 32 MiB = 1638, \
         but at least 2000\n\
         warning: cache_budget is more than 5 % of the memory: 5 % of 32 MiB = 1638 KiB\n\
         warning: max_size 1: who holds a connection and acquires another waits for itself; that \
         takes 1 x (2 - 1) + 1 = 2"
    );
}

#[test]
fn few_open_files_make_a_small_pool() {
    assert_eq!(max_size(&sqlite(Machine::new(8.0).with_open_files(48))), 4); // 48 / 4 / 3
    assert_eq!(max_size(&sqlite(Machine::new(8.0).with_open_files(0))), 1);
    let machine = |files| Machine::new(8.0).with_open_files(files);
    assert_eq!(max_size(&postgres(1.0).machine(machine(20)).advise()), 10);
    assert_eq!(max_size(&postgres(1.0).machine(machine(1)).advise()), 1);
}

#[test]
fn a_big_machine_does_not_take_the_whole_server() {
    assert_eq!(max_size(&postgres(8.0).advise()), 16);
    assert_eq!(max_size(&postgres(64.0).advise()), 30);
    assert_eq!(max_size(&postgres(64.0).server(ServerLimits::new(500)).advise()), 128);
}

#[test]
fn instances_share_the_server() {
    let server = ServerLimits::new(100).reserved(3).used_by_others(10);
    let advisor = postgres(16.0).server(server);
    assert_eq!(max_size(&advisor.clone().instances(4).advise()), 21);
    assert_eq!(max_size(&advisor.clone().instances(4).surge(1).advise()), 17);
    assert_eq!(max_size(&advisor.clone().instances(80).advise()), 1);
    // Where nothing is said of the server, its defaults are shared.
    assert_eq!(max_size(&postgres(16.0).instances(10).advise()), 9);
}

#[test]
fn no_room_is_one_connection_and_a_warning_that_says_what_to_do() {
    let advice = postgres(2.0).server(ServerLimits::new(100)).instances(200).advise();
    assert_eq!(max_size(&advice), 1);
    assert!(advice.warnings[0].contains("set max_connections to at least 200"), "{advice}");
    assert!(advice.reasons[0].because.ends_with("; at least 1"), "{advice}");
    assert!(advice.reasons[0].because.contains("; at most 0: "), "{advice}");
    let advice = postgres(2.0).server_cores(f64::NAN).instances(0).advise();
    assert_eq!(advice.warnings.len(), 3, "{advice}");
}

#[test]
fn the_servers_cores_decide_if_they_are_known() {
    assert_eq!(max_size(&postgres(64.0).server_cores(4.0).advise()), 8);
    assert_eq!(max_size(&postgres(1.0).server_cores(12.0).instances(2).advise()), 12);
}

#[test]
fn every_setting_that_is_advised_has_its_reason_and_no_other_is_touched() {
    let advice = PoolConfig::auto(Backend::Sqlite);
    let reasons: Vec<_> = advice.reasons.iter().map(|r| (r.setting, r.value.clone())).collect();
    let cache = advice.cache_budget.unwrap();
    assert_eq!(
        reasons,
        [("max_size", advice.config.max_size.to_string()), ("cache_budget", cache.to_string())]
    );
    assert_eq!(advice.config, PoolConfig::new().max_size(advice.config.max_size));
    assert_eq!(PoolConfig::auto(Backend::Postgres).cache_budget, None);
}

proptest! {
    #[test]
    fn all_instances_together_stay_within_the_server(
        cores in 0.01..300.0, max in 1..2000_u32, others in 0..50_u32, instances in 1..50_u32,
        surge in 0..10_u32, server_cores in proptest::option::of(0.1..300.0),
        files in proptest::option::of(0..100_000_u64),
    ) {
        let mut machine = Machine::new(cores);
        if let Some(files) = files {
            machine = machine.with_open_files(files);
        }
        let server = ServerLimits::new(max).used_by_others(others);
        let advisor = postgres(1.0).machine(machine).server(server);
        let advisor = advisor.instances(instances).surge(surge);
        let advice = match server_cores {
            Some(cores) => advisor.server_cores(cores).advise(),
            None => advisor.advise(),
        };
        prop_assert_eq!(advice.config.validate(), Ok(()));
        let all = max_size(&advice) * (instances + surge);
        prop_assert!(all + others <= max || !advice.warnings.is_empty(), "{}", advice);
        prop_assert!(files.is_none_or(|n| u64::from(max_size(&advice)) <= (n / 2).max(1)));
    }
}
