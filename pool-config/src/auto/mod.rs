//! [`Advisor`]: a pool's settings computed from the machine and the server, each with its
//! arithmetic.
//!
//! ```
//! use pool_config::{AutoConfig, Backend};
//! use pool_core::PoolConfig;
//!
//! let advice = PoolConfig::auto(Backend::Postgres);
//! println!("{advice}");
//! assert!(advice.config.validate().is_ok());
//! ```
//!
//! # The formulas
//!
//! **SQLite**: one connection writes, the others read. `max_size = 1 + readers`, and `readers =
//! clamp(2 x cores rounded down, 4, 8)`, the default of `pool-sqlite` but for quotas that are no
//! whole number. Reading is the process's own work, so it is its cores that count; twice as many,
//! as some wait for the disk; at most 8, as each has a thread and a cache of its own. No more than
//! memory and open files allow:
//!
//! * The page cache of all is at most 5 % of the memory. `pool-sqlite` gives half of it to the
//!   writer and the rest to the readers, at least 2000 KiB each, SQLite's own default: `readers <=
//!   5 % of memory / 2 / 2000 KiB`. `cache_budget` is that 5 %, at most the default of 64 MiB, at
//!   least 2000 KiB.
//! * A connection has three files open: the database, its log and the log's index. All are at most
//!   a quarter of the open files.
//!
//! **PostgreSQL, MySQL**: how many connections are good for a server is a matter of the *server's*
//! cores, [`cores x 2 + spindles`](crate::sizing::cores_and_spindles), and of all its clients
//! together. With [`server_cores`](Advisor::server_cores) that is divided by the instances.
//! Without, there is but a guess by the cores of this process, `max(2 x cores rounded down, 4)`,
//! with the 4 of pgxpool's default (`max(4, NumCPU)`). No more than
//!
//! * the server's share: 30 % of `max_connections`, [a rule of
//!   thumb](crate::sizing::share_of_server);
//! * the fleet's: [`fleet_budget`] over the instances;
//! * open files: one for each connection, at most half of them.
//!
//! Where the server's limits are not given, its defaults count: 100 with 3 reserved for PostgreSQL,
//! 151 for MySQL. Memory does not count: what a driver's buffers take depends on the rows, and the
//! server's side of a connection, a megabyte or two, is not on this machine.
//!
//! Nothing is ever below 1. All other settings stay the defaults of [`PoolConfig`]: none of them is
//! a matter of the machine.
//!
//! # An example: 1.5 CPUs and 512 MB
//!
//! A container run with `--cpus 1.5 --memory 512m --ulimit nofile=1024`:
//!
//! ```
//! use pool_config::sizing::ServerLimits;
//! use pool_config::{Advisor, Backend, Machine};
//!
//! let machine = Machine::new(1.5).with_memory(512 << 20).with_open_files(1024);
//! let advise = |backend| Advisor::new(backend).machine(machine.clone()).advise().to_string();
//! assert_eq!(
//!     advise(Backend::Sqlite),
//!     "max_size = 5: 1 writer + 4 readers; \
//!      readers = clamp(2 x 1.5 cores rounded down, 4, 8) = 4; \
//!      at most 6 readers by memory: 5 % of 512 MiB = 26214 KiB, half of it at 2000 KiB each; \
//!      at most 85 connections by open files: a quarter of 1024, 3 each\n\
//!      cache_budget = 26214: in KiB, the least of 65536, the default, and 5 % of 512 MiB = 26214"
//! );
//! assert_eq!(
//!     advise(Backend::Postgres),
//!     "max_size = 4: max(2 x 1.5 cores rounded down, 4) = 4, a guess: the server's cores decide; \
//!      at most 30 by its share: 30 % of 100 max_connections, the default; \
//!      at most 97 by the fleet: 100 max_connections - 3 reserved = 97; 97 / 1 instance = 97; \
//!      at most 512 by open files: half of 1024"
//! );
//! assert_eq!(
//!     advise(Backend::MySql),
//!     "max_size = 4: max(2 x 1.5 cores rounded down, 4) = 4, a guess: the server's cores decide; \
//!      at most 45 by its share: 30 % of 151 max_connections, the default; \
//!      at most 151 by the fleet: 151 max_connections; 151 / 1 instance = 151; \
//!      at most 512 by open files: half of 1024"
//! );
//!
//! // What is known of the server and the fleet makes the guess a figure: 16 connections keep the
//! // server's 8 cores busy, shared by 4 instances, and a fifth while they are rolled out.
//! let advice = Advisor::new(Backend::Postgres)
//!     .machine(machine)
//!     .server(ServerLimits::new(100).reserved(3).used_by_others(10))
//!     .server_cores(8.0)
//!     .instances(4)
//!     .surge(1)
//!     .advise();
//! assert_eq!(
//!     advice.to_string(),
//!     "max_size = 3: (2 x 8 cores of the server + 0 spindles) / (4 instances + 1 surge) = 3; \
//!      at most 30 by its share: 30 % of 100 max_connections; \
//!      at most 17 by the fleet: 100 max_connections - 3 reserved - 10 used by others = 87; \
//!      87 / (4 instances + 1 surge) = 17; \
//!      at most 512 by open files: half of 1024"
//! );
//! ```

mod advice;

use pool_core::PoolConfig;

use crate::machine::Bytes;
use crate::sizing::{
    FleetBudget, ServerLimits, SizingError, cores_and_spindles, deadlock_floor, down, fleet_budget,
    share_of_server,
};
use crate::{Backend, Machine};

pub use advice::{Advice, Reason};

/// The least page cache of an SQLite connection, and the most of all together, in KiB: what
/// `pool-sqlite` has, too.
const LEAST_CACHE: u32 = 2_000;
const CACHE_BUDGET: u32 = 65_536;

/// [`PoolConfig::auto`](Self::auto).
pub trait AutoConfig: Sized {
    /// Settings for this machine, one instance and a server of which nothing is known. More is said
    /// to an [`Advisor`].
    fn auto(backend: Backend) -> Advice;
}

impl AutoConfig for PoolConfig {
    fn auto(backend: Backend) -> Advice {
        Advisor::new(backend).advise()
    }
}

/// Computes settings. What it is not told is found out (the machine) or assumed (the rest), which
/// the advice says.
#[derive(Clone, Debug)]
#[must_use = "advises nothing until it is asked to"]
pub struct Advisor {
    backend: Backend,
    machine: Option<Machine>,
    server: Option<ServerLimits>,
    server_cores: Option<f64>,
    instances: u32,
    surge: u32,
}

impl Advisor {
    /// For a kind of database.
    pub fn new(backend: Backend) -> Self {
        let (machine, server, server_cores) = (None, None, None);
        Self { backend, machine, server, server_cores, instances: 1, surge: 0 }
    }

    /// What the process may use. Default: [`Machine::detect`].
    pub fn machine(mut self, machine: Machine) -> Self {
        self.machine = Some(machine);
        self
    }

    /// What the server lets in; nothing for SQLite. Default: the server's defaults.
    pub fn server(mut self, server: ServerLimits) -> Self {
        self.server = Some(server);
        self
    }

    /// The server's cores; nothing for SQLite. Default: not known.
    pub fn server_cores(mut self, cores: f64) -> Self {
        self.server_cores = Some(cores);
        self
    }

    /// How many instances of the application share the server; nothing for SQLite. Default: 1.
    pub fn instances(mut self, instances: u32) -> Self {
        self.instances = instances;
        self
    }

    /// How many more run while a new version is rolled out. Default: 0.
    pub fn surge(mut self, surge: u32) -> Self {
        self.surge = surge;
        self
    }

    /// The settings. They are always valid; where there is no room for what works well, the advice
    /// has warnings.
    pub fn advise(self) -> Advice {
        let machine = self.machine.clone().unwrap_or_else(Machine::detect);
        let mut advice = Advice {
            config: PoolConfig::new(),
            cache_budget: None,
            reasons: Vec::new(),
            warnings: Vec::new(),
            machine,
        };
        match self.backend {
            Backend::Sqlite => sqlite(&mut advice),
            Backend::Postgres | Backend::MySql => self.server_side(&mut advice),
        }
        if advice.config.max_size == 1 {
            let floor = deadlock_floor(1, 2);
            advice.warnings.push(format!(
                "max_size 1: who holds a connection and acquires another waits for itself; that \
                 takes 1 x (2 - 1) + 1 = {floor}"
            ));
        }
        advice
    }

    fn server_side(&self, advice: &mut Advice) {
        let (server, default) = match &self.server {
            Some(server) => (server.clone(), ""),
            None => match self.backend {
                Backend::MySql => (ServerLimits::new(151), ", the default"),
                _ => (ServerLimits::new(100).reserved(3), ", the default"),
            },
        };
        let own = 2.0 * advice.machine.cores().value;
        let guess = down(own).max(4);
        let mut size = Size::new(
            guess,
            format!(
                "max(2 x {} cores rounded down, 4) = {guess}, a guess: the server's cores decide",
                advice.machine.cores().value
            ),
        );
        match self.server_cores.map(|cores| (cores, cores_and_spindles(cores, 0))) {
            Some((cores, Ok(all))) => {
                let at_once = u64::from(self.instances) + u64::from(self.surge);
                let each = u64::from(all) / at_once.max(1);
                let each = u32::try_from(each).unwrap_or(all); // a part of it
                size = Size::new(
                    each,
                    format!(
                        "(2 x {cores} cores of the server + 0 spindles) / {} = {each}",
                        self.fleet()
                    ),
                );
            }
            Some((_, Err(error))) => advice.warnings.push(format!("server_cores: {error}")),
            None => {}
        }
        let max = server.max_connections;
        match share_of_server(max, 0.3) {
            Ok(share) => size.at_most(
                share,
                format!("{share} by its share: 30 % of {max} max_connections{default}"),
            ),
            Err(error) => size.no_room(error, &mut advice.warnings),
        }
        match fleet_budget(&server, self.instances, self.surge) {
            Ok(budget) => {
                let FleetBudget { max_size, .. } = budget;
                size.at_most(max_size, format!("{max_size} by the fleet: {budget}"));
            }
            Err(error) => size.no_room(error, &mut advice.warnings),
        }
        if let Some(files) = advice.machine.open_files() {
            let most = whole(files.value / 2);
            size.at_most(most, format!("{most} by open files: half of {}", files.value));
        }
        let size = size.at_least_one();
        advice.config.max_size = size.value;
        advice.reason("max_size", size.value, size.because);
    }

    fn fleet(&self) -> String {
        let plural = if self.instances == 1 { "" } else { "s" };
        match self.surge {
            0 => format!("{} instance{plural}", self.instances),
            surge => format!("({} instance{plural} + {surge} surge)", self.instances),
        }
    }
}

fn sqlite(advice: &mut Advice) {
    let cores = advice.machine.cores().value;
    let guess = down(2.0 * cores).clamp(4, 8);
    let text = format!("readers = clamp(2 x {cores} cores rounded down, 4, 8) = {guess}");
    let mut readers = Size::new(guess, text);
    let mut cache = (CACHE_BUDGET, format!("in KiB, {CACHE_BUDGET}, the default"));
    if let Some(memory) = advice.machine.memory() {
        let share = memory.value / 20 / 1024;
        let text = format!("5 % of {} = {share}", Bytes(memory.value));
        let most = whole(share / 2 / u64::from(LEAST_CACHE));
        readers.at_most(
            most,
            format!("{most} readers by memory: {text} KiB, half of it at {LEAST_CACHE} KiB each"),
        );
        cache.0 = whole(share).clamp(LEAST_CACHE, CACHE_BUDGET);
        cache.1 = format!("in KiB, the least of {CACHE_BUDGET}, the default, and {text}");
        if share < LEAST_CACHE.into() {
            cache.1 += &format!(", but at least {LEAST_CACHE}");
            advice
                .warnings
                .push(format!("cache_budget is more than 5 % of the memory: {text} KiB"));
        }
    }
    if let Some(files) = advice.machine.open_files() {
        let most = whole(files.value / 4 / 3);
        readers.at_most(
            most.saturating_sub(1),
            format!("{most} connections by open files: a quarter of {}, 3 each", files.value),
        );
    }
    let what = match readers.value {
        0 => "1 connection that reads and writes".into(),
        1 => "1 writer + 1 reader".into(),
        n => format!("1 writer + {n} readers"),
    };
    advice.config.max_size = 1 + readers.value;
    advice.cache_budget = Some(cache.0);
    advice.reason("max_size", 1 + readers.value, format!("{what}; {}", readers.because));
    advice.reason("cache_budget", cache.0, cache.1);
}

/// A size in the making, with the words for it.
struct Size {
    value: u32,
    because: String,
}

impl Size {
    fn new(value: u32, because: String) -> Self {
        Self { value, because }
    }

    fn at_most(&mut self, most: u32, because: String) {
        self.value = self.value.min(most);
        self.because += "; at most ";
        self.because += &because;
    }

    fn no_room(&mut self, error: SizingError, warnings: &mut Vec<String>) {
        self.at_most(0, format!("0: {error}"));
        warnings.push(error.to_string());
    }

    /// A pool has one connection at least.
    fn at_least_one(mut self) -> Self {
        if self.value == 0 {
            self.value = 1;
            self.because += "; at least 1";
        }
        self
    }
}

fn whole(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
