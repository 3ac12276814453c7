//! [`Linux`]: a tree of files as Linux has them.

use std::fs;
use std::path::Path;

use pool_config::Machine;
use tempfile::TempDir;

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const V2: &str =
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
pub(crate) const V1: &str = "\
    33 30 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
    34 30 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

/// A tree of files that is gone at the end, with 8 CPUs and 16 GiB.
pub(crate) struct Linux(TempDir);

impl Linux {
    pub(crate) fn new(cgroup: &str, mountinfo: &str) -> Self {
        let linux = Self(tempfile::tempdir().unwrap());
        linux
            .with("/proc/self/cgroup", cgroup)
            .with(
                "/proc/self/mountinfo",
                &format!("22 1 0:21 / /proc rw - proc proc rw\n{mountinfo}"),
            )
            .with("/proc/self/status", "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7\n")
            .with("/sys/devices/system/cpu/online", "0-7\n")
            .with("/proc/meminfo", "MemTotal:       16777216 kB\nMemFree: 1 kB\n")
            .with("/proc/self/limits", &limits("1024"))
    }

    pub(crate) fn with(self, path: &str, text: &str) -> Self {
        write(self.0.path(), path, text.as_bytes());
        self
    }

    pub(crate) fn without(self, path: &str) -> Self {
        fs::remove_file(self.0.path().join(path.trim_start_matches('/'))).unwrap();
        self
    }

    pub(crate) fn detect(&self) -> Machine {
        Machine::detect_in(self.0.path())
    }
}

pub(crate) fn write(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path.trim_start_matches('/'));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

pub(crate) fn limits(files: &str) -> String {
    format!(
        "Limit                     Soft Limit           Hard Limit           Units     \n\
         Max processes             96365                96365                processes \n\
         Max open files            {files:<20} 524288               files     \n"
    )
}

pub(crate) fn cores(machine: &Machine) -> (f64, &str) {
    (machine.cores().value, &machine.cores().source)
}

pub(crate) fn memory(machine: &Machine) -> Option<(u64, &str)> {
    machine.memory().map(|found| (found.value, found.source.as_str()))
}
