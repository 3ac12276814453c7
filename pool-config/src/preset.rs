//! [`Preset`]: settings for a kind of place or of work, as data.
//!
//! A preset lies below everything else that is set and above a backend's own values. It is written
//! in the words of whoever found the figures, and read like any other settings.

use std::fmt;

use crate::term::Term;

/// Settings for a kind of place or of work, with the reason for them. `Display` shows both.
///
/// ```
/// let preset = pool_config::Preset::named("job_runner");
/// assert!(preset.unwrap_err().starts_with("want one of default, sqlite,"));
/// println!("{}", pool_config::Preset::named("background_jobs").unwrap());
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Preset {
    name: &'static str,
    why: &'static str,
    words: &'static [(&'static str, &'static str)],
}

const fn preset(
    name: &'static str,
    words: &'static [(&'static str, &'static str)],
    why: &'static str,
) -> Preset {
    Preset { name, why, words }
}

/// SQLAlchemy's words for a pool whose spare connections are tested before use.
macro_rules! tested {
    ($size:literal + $overflow:literal, wait $wait:literal, recycle $recycle:literal) => {
        &[
            ("pool_size", $size),
            ("max_overflow", $overflow),
            ("pool_timeout", $wait),
            ("pool_recycle", $recycle),
            ("pool_pre_ping", "true"),
        ]
    };
}

/// The words of sqlx for a service that would rather fail than wait.
macro_rules! service {
    ($min:literal - $max:literal $(, $word:literal = $value:literal)*) => {
        &[
            ("min_connections", $min),
            ("max_connections", $max),
            ("connect_timeout", "10s"),
            ("idle_timeout", "10m"),
            ("max_lifetime", "30m"),
            ("acquire_timeout", "5s"),
            ("test_before_acquire", "true"),
            $(($word, $value),)*
        ]
    };
}

static PRESETS: &[Preset] = &[
    preset("default", &[], "what each backend has by itself"),
    // Kinds of databases.
    preset(
        "sqlite",
        &[
            ("max_open_conns", "25"),
            ("max_idle_conns", "5"),
            ("conn_max_lifetime", "1h"),
            ("conn_max_idle_time", "15m"),
        ],
        "a server with bursts of reads on one file; few connections stay open between them",
    ),
    preset(
        "sqlite_app",
        &[
            ("min_connections", "3"),
            ("max_connections", "15"),
            ("max_idle_time", "300"),
            ("connection_timeout", "30"),
            ("health_check_interval", "60"),
        ],
        "an application on its own file: some readers are always open",
    ),
    preset(
        "postgres",
        &[
            ("max_open_conns", "100"),
            ("max_idle_conns", "20"),
            ("conn_max_lifetime", "2h"),
            ("conn_max_idle_time", "30m"),
        ],
        "one program with a server of its own; the server has to allow more than 100 connections",
    ),
    preset(
        "supabase",
        &[
            ("min_connections", "2"),
            ("max_connections", "8"),
            ("max_idle_time", "300"),
            ("connection_timeout", "30"),
            ("health_check_interval", "60"),
            ("ssl_mode", "require"),
        ],
        "a small share of a hosted server, over the internet",
    ),
    preset(
        "mysql",
        tested!("10" + "5", wait "30", recycle "1800"),
        "connections end long before the server's wait_timeout, and are tested before use",
    ),
    preset(
        "service",
        service!("2" - "10", "ssl_mode" = "prefer"),
        "a service that would rather answer 503 after 5 s than wait",
    ),
    preset(
        "service_production",
        service!("2" - "10", "ssl_mode" = "require"),
        "as service, and nothing goes over the network in plain",
    ),
    // Places.
    preset(
        "development",
        &[
            ("pool_size", "5"),
            ("max_overflow", "0"),
            ("pool_pre_ping", "false"),
            ("pool_recycle", "3600"),
            ("echo_pool", "true"),
        ],
        "a developer's machine: few connections, and all they do is logged",
    ),
    preset(
        "testing",
        &[
            ("pool_size", "1"),
            ("max_overflow", "0"),
            ("pool_pre_ping", "false"),
            ("pool_recycle", "3600"),
        ],
        "tests: one connection finds code that needs two at once",
    ),
    preset(
        "staging",
        &[
            ("pool_size", "15"),
            ("max_overflow", "10"),
            ("pool_pre_ping", "true"),
            ("pool_recycle", "1800"),
        ],
        "as in production, for fewer users",
    ),
    preset(
        "production",
        tested!("50" + "25", wait "60", recycle "1800"),
        "much traffic, room for peaks, and patience in them",
    ),
    preset(
        "vps_lite",
        tested!("20" + "10", wait "30", recycle "1800"),
        "a small rented machine, whose network is not to be relied on",
    ),
    preset(
        "raspberry_pi",
        &[
            ("pool_size", "2"),
            ("max_overflow", "1"),
            ("pool_pre_ping", "false"),
            ("pool_recycle", "3600"),
        ],
        "little memory, and the database is a local file",
    ),
    // Kinds of work.
    preset(
        "high_traffic_web",
        tested!("100" + "50", wait "10", recycle "1800"),
        "many short requests; who waits for 10 s has left",
    ),
    preset(
        "background_jobs",
        tested!("20" + "0", wait "300", recycle "3600"),
        "jobs can wait, so there is no overflow",
    ),
    preset(
        "microservice",
        tested!("10" + "5", wait "5", recycle "1800"),
        "whoever calls has a deadline of its own: fail fast",
    ),
    preset("api_server", service!("5" - "50"), "many requests at once, most of them reads"),
    preset("worker", service!("2" - "10"), "jobs one after the other, most of them writes"),
    preset("scheduler", service!("1" - "3"), "something small now and then"),
    preset(
        "high_load",
        &[
            ("max_connections", "50"),
            ("idle_timeout", "5s"),
            ("pool_pre_ping", "true"),
            ("pool_recycle", "1800"),
        ],
        "peaks of many connections, given back to the server as soon as they are over",
    ),
];

impl Preset {
    /// All there are.
    pub fn all() -> &'static [Self] {
        PRESETS
    }

    /// By name; `-` counts as `_`.
    ///
    /// # Errors
    /// Which names there are.
    pub fn named(name: &str) -> Result<&'static Self, String> {
        let name = name.trim().to_ascii_lowercase().replace('-', "_");
        PRESETS.iter().find(|preset| preset.name == name).ok_or_else(|| {
            let names: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
            format!("want one of {}", names.join(", "))
        })
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// For what it is, and why it is as it is.
    pub fn why(&self) -> &'static str {
        self.why
    }

    /// Its settings, as they stand in a file.
    pub fn words(&self) -> &'static [(&'static str, &'static str)] {
        self.words
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# {}: {}", self.name, self.why)?;
        self.words.iter().try_for_each(|(word, value)| writeln!(f, "{word} = {value:?}"))
    }
}

impl Term for &'static Preset {
    fn read(text: &str) -> Result<Self, String> {
        Preset::named(text)
    }

    fn show(&self) -> String {
        self.name.into()
    }
}
