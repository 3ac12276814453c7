//! What a process may use, read from trees of files as Linux has them.

use std::thread::available_parallelism;

use pool_config::{Advisor, Backend, Machine};
use proptest::prelude::*;

use crate::linux::{Linux, V2, cores, limits, memory, write};

#[test]
fn max_is_no_limit_so_the_machine_counts() {
    let machine = Linux::new("0::/app\n", V2)
        .with("/sys/fs/cgroup/app/cpu.max", "max 100000\n")
        .with("/sys/fs/cgroup/app/memory.max", "max\n")
        .detect();
    let source =
        "Cpus_allowed_list in /proc/self/status, of those in /sys/devices/system/cpu/online";
    assert_eq!(cores(&machine), (8.0, source));
    assert_eq!(memory(&machine), Some((16 << 30, "MemTotal in /proc/meminfo")));
    assert_eq!(machine.notes(), [""; 0]);
}

#[test]
fn a_quota_above_the_cpus_gives_no_more_cpus() {
    let linux = Linux::new("0::/app\n", V2)
        .with("/sys/fs/cgroup/app/cpu.max", "1600000 100000\n")
        .with("/sys/fs/cgroup/app/memory.max", "1099511627776\n");
    let machine = linux.detect();
    assert_eq!((machine.cores().value, machine.memory().unwrap().value), (8.0, 16 << 30));
}

#[test]
fn cpus_that_are_allowed_but_not_online_do_not_count() {
    let linux = Linux::new("0::/\n", V2)
        .with("/proc/self/status", "Cpus_allowed_list:\t0-1,4,100-127\n")
        .with("/sys/devices/system/cpu/online", "0-3,100\n");
    assert_eq!(cores(&linux.detect()).0, 3.0);
    let linux = linux.without("/sys/devices/system/cpu/online");
    assert_eq!(cores(&linux.detect()), (31.0, "Cpus_allowed_list in /proc/self/status"));
    let linux =
        linux.without("/proc/self/status").with("/sys/devices/system/cpu/online", "0-3,100\n");
    assert_eq!(cores(&linux.detect()), (5.0, "/sys/devices/system/cpu/online"));
}

#[test]
fn no_control_groups_at_all_leave_the_machine() {
    let machine = Linux::new("", "").without("/proc/self/cgroup").detect();
    assert_eq!((cores(&machine).0, memory(&machine).unwrap().0), (8.0, 16 << 30));
    assert_eq!(machine.notes().len(), 1, "{machine}");
    assert!(machine.notes()[0].starts_with("/proc/self/cgroup: "), "{machine}");
}

#[test]
fn nothing_at_all_leaves_what_the_standard_library_says() {
    let root = tempfile::tempdir().unwrap();
    let machine = Machine::detect_in(root.path());
    let std = available_parallelism().unwrap().get() as f64;
    assert_eq!(cores(&machine), (std, "std::thread::available_parallelism"));
    assert_eq!((machine.memory(), machine.open_files()), (None, None));
    assert_eq!(machine.notes().len(), 6, "{machine}");
}

#[test]
fn what_makes_no_sense_is_noted_and_the_next_best_counts() {
    let machine = Linux::new("0::/app\n", V2)
        .with("/sys/fs/cgroup/app/cpu.max", "abc 100000\n")
        .with("/sys/fs/cgroup/cpu.max", "600000 0\n")
        .with("/sys/fs/cgroup/app/memory.max", "\n")
        .with("/sys/fs/cgroup/app/memory.high", "0\n")
        .with("/sys/fs/cgroup/memory.max", "12 MiB\n")
        .with("/proc/self/status", "Cpus_allowed_list:\t7-0\n")
        .with("/proc/meminfo", "MemTotal: lots\n")
        .with("/proc/self/limits", "Max open files  many\n")
        .detect();
    assert_eq!(cores(&machine), (8.0, "/sys/devices/system/cpu/online"));
    assert_eq!((machine.memory(), machine.open_files()), (None, None));
    assert_eq!(
        machine.notes(),
        [
            r#"/sys/fs/cgroup/app/cpu.max: "abc 100000": want a quota and a period above 0"#,
            r#"/sys/fs/cgroup/cpu.max: "600000 0": want a quota and a period above 0"#,
            r#"/proc/self/status: "\t7-0": want a list of CPUs such as 0-3,8"#,
            r#"/sys/fs/cgroup/app/memory.max: "": want bytes above 0, or max"#,
            r#"/sys/fs/cgroup/memory.max: "12 MiB": want bytes above 0, or max"#,
            r#"/sys/fs/cgroup/app/memory.high: "0": want bytes above 0, or max"#,
            r#"/proc/meminfo: " lots": want MemTotal in kB"#,
            r#"/proc/self/limits: "  many": want a soft limit of Max open files"#,
        ]
    );
}

#[test]
fn open_files_without_limit_are_none_and_no_note() {
    let machine = Linux::new("0::/\n", V2).with("/proc/self/limits", &limits("unlimited")).detect();
    assert_eq!((machine.open_files(), machine.notes()), (None, [].as_slice()));
    let machine = Linux::new("0::/\n", V2).with("/proc/self/limits", &limits("64")).detect();
    assert_eq!(machine.open_files().map(|found| found.value), Some(64));
}

#[test]
fn this_machine_is_known_by_its_files() {
    let machine = Machine::detect();
    let most = available_parallelism().unwrap().get() as f64 + 1.0;
    assert!(machine.cores().value < most, "{machine}"); // std rounds quotas down
    if cfg!(target_os = "linux") {
        assert!(machine.memory().is_some() && machine.cores().source.contains('/'), "{machine}");
    }
}

/// What may stand in a file: what Linux writes, what is close to it, and bytes.
fn contents() -> impl Strategy<Value = Option<Vec<u8>>> {
    let number = prop_oneof![
        any::<u64>().prop_map(|n| n.to_string()),
        any::<i32>().prop_map(|n| n.to_string()),
        (0..10_u32).prop_map(|n| n.to_string()),
        Just("max".to_owned()),
        Just("99999999999999999999999".to_owned()),
    ];
    let text = prop_oneof![
        number.clone(),
        (number.clone(), number.clone()).prop_map(|(a, b)| format!("{a} {b}\n")),
        (number.clone(), number.clone())
            .prop_map(|(a, b)| format!("Cpus_allowed_list:\t{a}-{b}\n")),
        number.clone().prop_map(|n| format!("MemTotal: {n} kB\n")),
        number.prop_map(|n| limits(&n)),
        "0::(/|\\.\\.|a|b){0,6}\n",
        "[0-9]:(memory|cpu|cpu,cpuacct):(/|\\.\\.|a|b){0,6}\n",
        "1 2 3:4 (/|/\\.\\.|/a){1,3} /sys/fs/cgroup(/\\.\\.|/a)? rw \
         - cgroup2? cgroup (rw|cpu|memory)\n",
    ];
    prop_oneof![
        1 => Just(None),
        8 => text.prop_map(|text| Some(text.into_bytes())),
        2 => proptest::collection::vec(any::<u8>(), 0..60).prop_map(Some),
    ]
}

proptest! {
    #[test]
    fn whatever_stands_in_the_files_the_advice_is_valid(
        files in proptest::collection::vec(contents(), 12), instances in 0..9_u32,
    ) {
        const PATHS: [&str; 12] = [
            "/proc/self/cgroup", "/proc/self/mountinfo", "/proc/self/status", "/proc/self/limits",
            "/proc/meminfo", "/sys/devices/system/cpu/online", "/sys/fs/cgroup/cpu.max",
            "/sys/fs/cgroup/a/cpu.max", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/a/memory.high",
            "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        ];
        let root = tempfile::tempdir().unwrap();
        for (path, bytes) in PATHS.iter().zip(&files) {
            if let Some(bytes) = bytes {
                write(root.path(), path, bytes);
            }
        }
        let machine = Machine::detect_in(root.path());
        let cores = machine.cores().value;
        prop_assert!(cores.is_finite() && cores > 0.0, "{}", machine);
        prop_assert!(machine.memory().is_none_or(|memory| memory.value > 0), "{}", machine);
        for backend in [Backend::Sqlite, Backend::Postgres, Backend::MySql] {
            let advisor = Advisor::new(backend).machine(machine.clone()).instances(instances);
            let advice = advisor.advise();
            prop_assert_eq!(advice.config.validate(), Ok(()));
        }
    }
}
