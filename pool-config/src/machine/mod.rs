//! [`Machine`]: what this process may use of the machine it runs on.
//!
//! Cores, memory and open files. Each is the least of all that limits it, and keeps where it
//! stands:
//!
//! | | the least of |
//! |---|---|
//! | cores | the CPU quotas of its control group and of that one's ancestors; its CPUs |
//! | memory | the memory limits of the same groups; the machine's memory |
//! | open files | the soft limit `RLIMIT_NOFILE` |
//!
//! A quota of one and a half CPUs stays 1.5, which [`std::thread::available_parallelism`] makes 1.
//!
//! Detecting cannot fail. What cannot be read, or makes no sense, is not known: there is a
//! [note](Machine::notes) then, and the next best counts, for cores in the end what the standard
//! library says. All of it is read from files, those below any folder if need be, so that a test or
//! a tool can look at another machine. Nothing is cached: limits change while a process runs.

mod cgroup;
mod limits;
mod tree;

use std::fmt;
use std::num::NonZero;
use std::path::Path;

use tree::Tree;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found<T> {
    /// The value.
    pub value: T,
    /// Where it stands, with what was read if the value is computed of it.
    pub source: String,
}

impl<T> Found<T> {
    pub(crate) fn new(value: T, source: impl Into<String>) -> Self {
        Self { value, source: source.into() }
    }
}

/// What this process may use.
///
/// ```
/// use pool_config::Machine;
///
/// let machine = Machine::detect();
/// println!("{machine}"); // 1.5 cores: /sys/fs/cgroup/cpu.max: 150000 us in 100000 us, ...
/// assert!(machine.cores().value > 0.0);
///
/// let other = Machine::new(1.5).with_memory(512 << 20).with_open_files(1024);
/// assert_eq!(other.memory().unwrap().value, 536_870_912);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    cores: Found<f64>,
    memory: Option<Found<u64>>,
    open_files: Option<Found<u64>>,
    notes: Vec<String>,
}

impl Machine {
    /// One of which only the cores are known. What is not finite and above zero counts as 1.
    pub fn new(cores: f64) -> Self {
        let cores = if cores.is_finite() && cores > 0.0 { cores } else { 1.0 };
        Self::with_cores(Found::new(cores, "given"))
    }

    fn with_cores(cores: Found<f64>) -> Self {
        Self { cores, memory: None, open_files: None, notes: Vec::new() }
    }

    /// The same with so many bytes of memory.
    #[must_use]
    pub fn with_memory(mut self, bytes: u64) -> Self {
        self.memory = Some(Found::new(bytes, "given"));
        self
    }

    /// The same with so many files that may be open at once.
    #[must_use]
    pub fn with_open_files(mut self, files: u64) -> Self {
        self.open_files = Some(Found::new(files, "given"));
        self
    }

    /// What this process may use, now. Reads a dozen small files; not on Linux, only the cores are
    /// known.
    pub fn detect() -> Self {
        if cfg!(target_os = "linux") {
            Self::detect_in(Path::new("/"))
        } else {
            Self::with_cores(parallelism())
        }
    }

    /// The same by the files below `root`, which stands for `/`: `proc` and `sys` are in it.
    pub fn detect_in(root: &Path) -> Self {
        let mut tree = Tree::new(root);
        let groups = cgroup::Groups::find(&mut tree);
        let cores = [groups.cores(&mut tree), limits::cpus(&mut tree)];
        let memory = [groups.memory(&mut tree), limits::memory(&mut tree)];
        Self {
            cores: least(cores.into_iter().flatten()).unwrap_or_else(parallelism),
            memory: least(memory.into_iter().flatten()),
            open_files: limits::open_files(&mut tree),
            notes: tree.notes,
        }
    }

    /// How many cores' worth of time; finite and above zero.
    pub fn cores(&self) -> &Found<f64> {
        &self.cores
    }

    /// How many bytes of memory, if known.
    pub fn memory(&self) -> Option<&Found<u64>> {
        self.memory.as_ref()
    }

    /// How many files may be open at once. None: without limit, or not known, of which there is a
    /// note then.
    pub fn open_files(&self) -> Option<&Found<u64>> {
        self.open_files.as_ref()
    }

    /// What could not be read or made no sense.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// A line for each number, with its source, then the notes.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cores: {}", self.cores.value, self.cores.source)?;
        if let Some(memory) = &self.memory {
            write!(f, "\n{} memory: {}", Bytes(memory.value), memory.source)?;
        }
        if let Some(files) = &self.open_files {
            write!(f, "\n{} open files: {}", files.value, files.source)?;
        }
        self.notes.iter().try_for_each(|note| write!(f, "\nnote: {note}"))
    }
}

/// Bytes in the largest unit that gives a whole number.
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, unit) = match self.0 {
            n if n == 0 || n % (1 << 10) > 0 => (n, "bytes"),
            n if n % (1 << 20) > 0 => (n >> 10, "KiB"),
            n if n % (1 << 30) > 0 => (n >> 20, "MiB"),
            n => (n >> 30, "GiB"),
        };
        write!(f, "{n} {unit}")
    }
}

/// The least; of equals the first.
fn least<T: PartialOrd>(all: impl Iterator<Item = Found<T>>) -> Option<Found<T>> {
    all.reduce(|least, next| if next.value < least.value { next } else { least })
}

fn parallelism() -> Found<f64> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    Found::new(cores as f64, "std::thread::available_parallelism")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_finite_and_above_zero() {
        for cores in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Machine::new(cores).cores().value, 1.0, "{cores}");
        }
        assert_eq!(Machine::new(0.25).cores().value, 0.25);
    }

    #[test]
    fn bytes_read_as_people_write_them() {
        let text = |bytes| Bytes(bytes).to_string();
        assert_eq!(text(512 << 20), "512 MiB");
        assert_eq!(text(3 << 30), "3 GiB");
        assert_eq!(text(1500 << 10), "1500 KiB");
        assert_eq!((text(0), text(1025)), ("0 bytes".into(), "1025 bytes".into()));
    }
}
