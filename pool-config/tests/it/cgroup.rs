//! Control groups: which of them limits a process, and by how much.

use pool_config::{Advisor, Backend, Machine};

use crate::linux::{Linux, MIB, V1, V2, cores, memory, write};

/// What the documentation of `auto` says of such a container, found on its own files.
#[test]
fn a_container_of_one_and_a_half_cpus_and_512_mb_is_advised_as_documented() {
    let machine = Linux::new("0::/app\n", V2)
        .with("/sys/fs/cgroup/app/cpu.max", "150000 100000\n")
        .with("/sys/fs/cgroup/app/memory.max", "536870912\n")
        .detect();
    let advice = Advisor::new(Backend::Sqlite).machine(machine.clone()).advise();
    let shown = advice.to_string();
    assert!(
        shown.starts_with(
            "max_size = 5: 1 writer + 4 readers; readers = clamp(2 x 1.5 cores rounded down, 4, 8) \
             = 4; at most 6 readers by memory: 5 % of 512 MiB = 26214 KiB, half of it at 2000 KiB \
             each"
        ),
        "{shown}"
    );
    assert_eq!((advice.config.max_size, advice.cache_budget), (5, Some(26_214)));
    for (backend, share) in [(Backend::Postgres, "30 % of 100"), (Backend::MySql, "30 % of 151")] {
        let advice = Advisor::new(backend).machine(machine.clone()).advise();
        let shown = advice.to_string();
        let guess = "max_size = 4: max(2 x 1.5 cores rounded down, 4) = 4, a guess";
        assert!(shown.starts_with(guess) && shown.contains(share), "{shown}");
        assert_eq!(advice.config.max_size, 4);
    }
}

#[test]
fn v2_of_one_and_a_half_cpus_and_512_mb() {
    let machine = Linux::new("0::/app\n", V2)
        .with("/sys/fs/cgroup/app/cpu.max", "150000 100000\n")
        .with("/sys/fs/cgroup/app/memory.max", "536870912\n")
        .with("/sys/fs/cgroup/app/memory.high", "max\n")
        .detect();
    assert_eq!(
        machine.to_string(),
        "1.5 cores: /sys/fs/cgroup/app/cpu.max: 150000 us in 100000 us\n\
         512 MiB memory: /sys/fs/cgroup/app/memory.max\n\
         1024 open files: Max open files in /proc/self/limits"
    );
}

#[test]
fn a_limit_of_an_ancestor_alone_counts() {
    let machine = Linux::new("0::/pod/app/main\n", V2)
        .with("/sys/fs/cgroup/pod/app/main/cpu.max", "max 100000\n")
        .with("/sys/fs/cgroup/pod/app/main/memory.max", "max\n")
        .with("/sys/fs/cgroup/pod/app/cpu.max", "400000 100000\n")
        .with("/sys/fs/cgroup/pod/cpu.max", "50000 200000\n")
        .with("/sys/fs/cgroup/pod/memory.max", "1048576\n")
        .detect();
    assert_eq!(cores(&machine), (0.25, "/sys/fs/cgroup/pod/cpu.max: 50000 us in 200000 us"));
    assert_eq!(memory(&machine), Some((MIB, "/sys/fs/cgroup/pod/memory.max")));
    assert_eq!(machine.notes(), [""; 0]);
}

#[test]
fn the_least_along_the_way_counts_wherever_it_stands() {
    let machine = Linux::new("0::/pod/app\n", V2)
        .with("/sys/fs/cgroup/pod/app/cpu.max", "100000 100000\n")
        .with("/sys/fs/cgroup/pod/cpu.max", "300000 100000\n")
        .with("/sys/fs/cgroup/pod/app/memory.max", "4194304\n")
        .with("/sys/fs/cgroup/pod/memory.max", "8388608\n")
        .with("/sys/fs/cgroup/elsewhere/memory.max", "1\n")
        .detect();
    assert_eq!(cores(&machine).0, 1.0);
    assert_eq!(memory(&machine), Some((4 * MIB, "/sys/fs/cgroup/pod/app/memory.max")));
}

#[test]
fn memory_high_below_max_counts() {
    let machine = Linux::new("0::/app\n", V2)
        .with("/sys/fs/cgroup/app/memory.max", "536870912\n")
        .with("/sys/fs/cgroup/app/memory.high", "402653184\n")
        .detect();
    assert_eq!(memory(&machine), Some((384 * MIB, "/sys/fs/cgroup/app/memory.high")));
}

#[test]
fn v1_with_controllers_mounted_together_and_apart() {
    let machine = Linux::new("4:memory:/jobs/a\n2:cpu,cpuacct:/jobs/b\n1:cpuset:/\n", V1)
        .with("/sys/fs/cgroup/cpu,cpuacct/jobs/b/cpu.cfs_quota_us", "-1\n")
        .with("/sys/fs/cgroup/cpu,cpuacct/jobs/b/cpu.cfs_period_us", "100000\n")
        .with("/sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us", "250000\n")
        .with("/sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us", "100000\n")
        .with("/sys/fs/cgroup/memory/jobs/a/memory.limit_in_bytes", "268435456\n")
        .with("/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes", "9223372036854771712\n")
        .detect();
    let source = "/sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us: 250000 us in 100000 us";
    assert_eq!(cores(&machine), (2.5, source));
    let source = "/sys/fs/cgroup/memory/jobs/a/memory.limit_in_bytes";
    assert_eq!(memory(&machine), Some((256 * MIB, source)));
    assert_eq!(machine.notes(), [""; 0]);
}

#[test]
fn what_v1_writes_for_no_limit_is_none() {
    for sentinel in ["9223372036854771712", "9223372036854710272", "9223372036854775807", "-1"] {
        let machine = Linux::new("4:memory:/\n", V1)
            .with("/sys/fs/cgroup/memory/memory.limit_in_bytes", sentinel)
            .without("/proc/meminfo")
            .detect();
        assert_eq!(memory(&machine), None, "{sentinel}");
    }
}

#[test]
fn hybrid_looks_in_both() {
    let mounts = format!("{V1}41 30 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    let linux = Linux::new("4:memory:/a\n2:cpu,cpuacct:/a\n0::/a\n", &mounts)
        .with("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "300000")
        .with("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000")
        .with("/sys/fs/cgroup/unified/a/memory.max", "8388608");
    let machine = linux.detect();
    assert_eq!((cores(&machine).0, memory(&machine).unwrap().0), (3.0, 8 * MIB));
    let machine = linux.with("/sys/fs/cgroup/unified/a/cpu.max", "200000 100000").detect();
    assert_eq!(cores(&machine).0, 2.0);
}

#[test]
fn the_root_of_a_namespace_is_the_group() {
    let machine = Linux::new("0::/\n", V2)
        .with("/sys/fs/cgroup/cpu.max", "150000 100000\n")
        .with("/sys/fs/cgroup/memory.max", "536870912\n")
        .detect();
    assert_eq!((cores(&machine).0, memory(&machine).unwrap().0), (1.5, 512 * MIB));
    assert_eq!(machine.notes(), [""; 0]);
}

#[test]
fn a_mounted_part_of_the_hierarchy_begins_at_its_root() {
    // As Docker does it on v1: the group's name is the host's, the mount shows that group alone.
    let mount = "34 30 0:31 /docker/3f /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
    let machine = Linux::new("4:memory:/docker/3f/worker\n", mount)
        .with("/sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n")
        .with("/sys/fs/cgroup/memory/worker/memory.limit_in_bytes", "4194304\n")
        .detect();
    let source = "/sys/fs/cgroup/memory/worker/memory.limit_in_bytes";
    assert_eq!(memory(&machine), Some((4 * MIB, source)));
    assert_eq!(machine.notes(), [""; 0]);
}

#[test]
fn a_mount_from_outside_of_the_namespace_is_followed_by_its_dots() {
    let mount = "30 23 0:26 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    let linux = Linux::new("0::/../../pod/app\n", mount)
        .with("/sys/fs/cgroup/pod/memory.max", "8388608\n")
        .with("/sys/fs/cgroup/pod/app/memory.max", "4194304\n");
    let machine = linux.detect();
    assert_eq!(memory(&machine), Some((4 * MIB, "/sys/fs/cgroup/pod/app/memory.max")));
    assert_eq!(machine.notes(), [""; 0]);
}

#[test]
fn of_a_group_that_is_not_below_the_mount_the_mount_point_counts() {
    for (name, root) in [
        ("/../other", "/"),
        ("/", "/../.."),
        ("/../../x", "/.."),
        ("/system.slice/x", "/docker/3f"),
        ("/not/there", "/"),
    ] {
        let mount = format!("30 23 0:26 {root} /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        let machine = Linux::new(&format!("0::{name}\n"), &mount)
            .with("/sys/fs/cgroup/memory.max", "8388608\n")
            .with("/sys/fs/other/memory.max", "1048576\n")
            .with("/sys/fs/x/memory.max", "1048576\n")
            .detect();
        assert_eq!(memory(&machine), Some((8 * MIB, "/sys/fs/cgroup/memory.max")), "{name}");
        let note = format!(
            "/sys/fs/cgroup shows the control groups below {root}, and {name} is none: its \
             ancestors count"
        );
        assert_eq!(machine.notes(), [note]);
    }
}

#[test]
fn a_hierarchy_that_is_not_mounted_is_not_looked_for() {
    let mounts = "30 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n";
    let machine = Linux::new("0::/system.slice/containerd.service\n", mounts)
        .with("/sys/fs/cgroup/cpu.max", "150000 100000\n")
        .detect();
    assert_eq!(machine.notes(), [""; 0]);
    assert_ne!(cores(&machine).0, 1.5, "that is no control group");
}

#[test]
fn a_group_that_is_gone_leaves_its_ancestors() {
    let machine = Linux::new("0::/pod/app (deleted)\n", V2)
        .with("/sys/fs/cgroup/pod/cpu.max", "150000 100000\n")
        .detect();
    assert_eq!(cores(&machine).0, 1.5);
}

#[test]
fn without_mountinfo_the_usual_places_are_looked_at() {
    let machine = Linux::new("0::/app\n", "")
        .without("/proc/self/mountinfo")
        .with("/sys/fs/cgroup/app/cpu.max", "150000 100000\n")
        .detect();
    assert_eq!(cores(&machine).0, 1.5);
    let machine = Linux::new("3:cpu:/app\n4:memory:/app\n", "")
        .without("/proc/self/mountinfo")
        .with("/sys/fs/cgroup/cpu/app/cpu.cfs_quota_us", "150000")
        .with("/sys/fs/cgroup/cpu/app/cpu.cfs_period_us", "100000")
        .with("/sys/fs/cgroup/memory/app/memory.limit_in_bytes", "4194304")
        .detect();
    assert_eq!((cores(&machine).0, memory(&machine).unwrap().0), (1.5, 4 * MIB));
}

#[test]
fn a_mount_point_with_a_space_is_found() {
    let mount = "30 23 0:26 / /mnt/c\\040groups rw - cgroup2 none rw\n";
    let linux = Linux::new("0::/\n", mount).with("/mnt/c groups/memory.max", "4194304");
    assert_eq!(memory(&linux.detect()), Some((4 * MIB, "/mnt/c groups/memory.max")));
}

#[test]
fn nothing_outside_of_the_root_is_read() {
    let outer = tempfile::tempdir().unwrap();
    write(outer.path(), "/memory.max", b"1048576");
    write(outer.path(), "/inner/proc/self/cgroup", b"0::/../..\n");
    let mount = b"30 23 0:26 / /.. rw - cgroup2 cgroup2 rw\n";
    write(outer.path(), "/inner/proc/self/mountinfo", mount);
    assert_eq!(Machine::detect_in(&outer.path().join("inner")).memory(), None);
}
