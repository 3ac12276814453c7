//! The words of other libraries, and what they mean here.
//!
//! Each is known in the places in which people write it: in the environment, in URLs, as the key of
//! a file or of a dictionary. WORDS.md shows them; a test keeps it true.

use std::time::Duration;

use crate::preset::Preset;
use crate::setting::{Change, Setting};
use crate::term::Term as _;

use Place::{Env, Key, Url};
use Reading::{As, Echo, Kept, Limited, Patience, Production, Recycle, Tested};
use Setting::{
    AcquireTimeout, IdleTimeout, Keepalive, LogEvents, MaxIdle, MaxLifetime, MaxOverflow, MaxSize,
    Metrics, MinSize, PoolSize,
};

/// Where a word stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Env,
    Url,
    Key,
}

/// How a word's value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As that of a setting.
    As(Setting),
    /// True tests each connection before it is handed out, false none.
    Tested,
    /// As a time to wait for a connection, where zero is for ever.
    Patience,
    /// As a number of connections that stay, where less than zero is none.
    Kept,
    /// As an age, which is not zero: that would be each checkout.
    Recycle,
    /// As a number of connections, where zero, which is no limit there, is refused.
    Limited(Setting),
    /// As a flag that may be the word `debug` as well.
    Echo,
    /// True is the preset `production`, false is `default`.
    Production,
}

struct Word {
    name: &'static str,
    places: &'static [Place],
    reading: Reading,
    /// Whose word it is.
    of: &'static str,
    note: &'static str,
}

const fn word(
    name: &'static str,
    places: &'static [Place],
    reading: Reading,
    of: &'static str,
    note: &'static str,
) -> Word {
    Word { name, places, reading, of, note }
}

const ENV: &[Place] = &[Env];
const KEY: &[Place] = &[Url, Key];
const GO: &str = "Go, database/sql";
const ALCHEMY: &str = "SQLAlchemy";
const SQLX: &str = "sqlx";
const PRISMA: &str = "Prisma";
const COMMON: &str = "many";

#[rustfmt::skip]
static WORDS: &[Word] = &[
    word("DB_MAX_OPEN_CONNS", ENV, Limited(MaxSize), GO, "0, no limit there, is refused"),
    word("DB_MAX_IDLE_CONNS", ENV, Kept, GO, "less than 0 is 0: none stays"),
    word("DB_CONN_MAX_LIFETIME", ENV, As(MaxLifetime), GO, ""),
    word("DB_CONN_MAX_IDLE_TIME", ENV, As(IdleTimeout), GO, ""),
    word("max_open", KEY, Limited(MaxSize), GO, "0, no limit there, is refused"),
    word("max_open_conns", KEY, Limited(MaxSize), GO, "0, no limit there, is refused"),
    word("max_idle_conns", KEY, Kept, GO, "less than 0 is 0: none stays"),
    word("conn_max_lifetime", KEY, As(MaxLifetime), GO, ""),
    word("conn_max_idle_time", KEY, As(IdleTimeout), GO, ""),
    word("DB_POOL_MIN_CONNECTIONS", ENV, As(MinSize), COMMON, "all that are open, not the spare ones"),
    word("DB_POOL_MAX_CONNECTIONS", ENV, As(MaxSize), COMMON, ""),
    word("DB_POOL_MAX_IDLE_TIME", ENV, As(IdleTimeout), COMMON, ""),
    word("DB_POOL_CONNECTION_TIMEOUT", ENV, Patience, COMMON, "the wait for a connection, as HikariCP's connectionTimeout, where 0 waits for ever too; DB_POOL_CONNECT_TIMEOUT is the time to open one"),
    word("DB_POOL_HEALTH_CHECK_INTERVAL", ENV, As(Keepalive), COMMON, "each idle connection is pinged as often"),
    word("DB_POOL_ENABLE_METRICS", ENV, As(Metrics), COMMON, ""),
    word("max_idle_time", KEY, As(IdleTimeout), COMMON, ""),
    word("connection_timeout", KEY, Patience, COMMON, "the wait for a connection, 0 waits for ever; `connect_timeout` is the time to open one"),
    word("health_check_interval", KEY, As(Keepalive), COMMON, "each idle connection is pinged as often"),
    word("enable_metrics", &[Key], As(Metrics), COMMON, ""),
    word("pool_timeout", &[Key], As(AcquireTimeout), ALCHEMY, "the wait for a connection"),
    word("pool_recycle", KEY, Recycle, ALCHEMY, "-1 is never; 0, each checkout there, is refused"),
    word("pool_pre_ping", KEY, Tested, ALCHEMY, "true: validation = always; false: never"),
    word("echo_pool", &[Key], Echo, ALCHEMY, "`debug` is true"),
    word("DB_POOL_TIMEOUT", ENV, As(AcquireTimeout), ALCHEMY, "the wait for a connection"),
    word("DB_POOL_RECYCLE", ENV, Recycle, ALCHEMY, "-1 is never; 0, each checkout there, is refused"),
    word("DB_POOL_PRE_PING", ENV, Tested, ALCHEMY, ""),
    word("DB_POOL_ECHO", ENV, Echo, ALCHEMY, "`debug` is true"),
    word("DB_MAX_OVERFLOW", ENV, As(MaxOverflow), ALCHEMY, "-1, no limit there, is refused"),
    word("DB_MIN_CONNECTIONS", ENV, As(MinSize), SQLX, "all that are open, not the spare ones"),
    word("DB_MAX_CONNECTIONS", ENV, As(MaxSize), SQLX, ""),
    word("min_connections", KEY, As(MinSize), SQLX, "all that are open, not the spare ones"),
    word("max_connections", KEY, As(MaxSize), SQLX, ""),
    word("test_before_acquire", KEY, Tested, SQLX, "true: validation = always; false: never"),
    word("DATABASE_CONNECTION_LIMIT", ENV, As(MaxSize), PRISMA, ""),
    word("connection_limit", KEY, As(MaxSize), PRISMA, ""),
    word("pool_timeout", &[Url], Patience, PRISMA, "the wait for a connection; 0 waits for ever"),
    word("max_idle_connection_lifetime", &[Url], As(IdleTimeout), PRISMA, ""),
    word("max_connection_lifetime", &[Url], As(MaxLifetime), PRISMA, ""),
    word("DATABASE_POOL_TIMEOUT", ENV, As(IdleTimeout), "node-postgres", "an idle time, unlike `pool_timeout`"),
    word("USE_ENHANCED_POOLING", ENV, Production, "a Node service", "true: preset = production; false: default"),
];

impl Reading {
    /// By name, in one place.
    pub(crate) fn of(name: &str, place: Place) -> Option<Self> {
        let own = Setting::ALL.iter().copied().find(|setting| match place {
            Env => setting.env_name() == name,
            Key => setting.name() == name,
            Url => setting.name() == name && is_pools(*setting),
        });
        let of = |word: &&Word| word.name == name && word.places.contains(&place);
        let own = own.map(|own| if own == PoolSize { Limited(own) } else { As(own) });
        own.or_else(|| WORDS.iter().find(of).map(|word| word.reading))
    }

    /// What it is about.
    pub(crate) fn setting(self) -> Setting {
        match self {
            As(setting) | Limited(setting) => setting,
            Tested => Setting::Validation,
            Patience => AcquireTimeout,
            Kept => MaxIdle,
            Recycle => MaxLifetime,
            Echo => LogEvents,
            Production => Setting::Preset,
        }
    }

    /// Reads a value, or says what would be right.
    pub(crate) fn read(self, text: &str) -> Result<Change, String> {
        match self {
            As(setting) => Change::read(setting, text),
            Tested => bool::read(text).map(|tested| {
                use pool_core::Validation::{Always, Never};
                Change::Validation(if tested { Always } else { Never })
            }),
            Patience => Change::read(AcquireTimeout, text).map(|change| match change {
                Change::AcquireTimeout(Some(none)) if none.is_zero() => {
                    Change::AcquireTimeout(None)
                }
                change => change,
            }),
            Kept => match text.trim().parse() {
                Ok(..0_i64) => Ok(Change::MaxIdle(Some(0))),
                _ => Change::read(MaxIdle, text),
            },
            Recycle if Duration::read(text).is_ok_and(|age| age.is_zero()) => {
                Err("0 is each checkout in SQLAlchemy: want an age, or -1 for never".into())
            }
            Recycle => Change::read(MaxLifetime, text),
            Limited(_) if text.trim().parse() == Ok(0_u32) => {
                Err("0 is no limit elsewhere, and a pool has one: want at least 1".into())
            }
            Limited(setting) => Change::read(setting, text),
            Echo if text.trim().eq_ignore_ascii_case("debug") => Ok(Change::LogEvents(true)),
            Echo => Change::read(LogEvents, text),
            Production => {
                let preset = if bool::read(text)? { "production" } else { "default" };
                Preset::named(preset).map(Change::Preset)
            }
        }
    }
}

/// Whether a parameter of a URL by that name is the pool's; the others are the driver's.
fn is_pools(setting: Setting) -> bool {
    use Setting::{
        ConnectTimeout, LogLevel, Mode, Name, Preset, SqlitePath, SslMode, Url as OwnUrl,
    };
    !matches!(
        setting,
        Name | ConnectTimeout // of libpq and of MySQL
            | Preset | SslMode | OwnUrl | Mode | SqlitePath | Metrics | LogEvents | LogLevel
    )
}

/// All names that mean something in one place.
pub(crate) fn known(place: Place) -> Vec<&'static str> {
    let own = Setting::ALL.iter().map(|setting| match place {
        Env => setting.env_name(),
        Url | Key => setting.name(),
    });
    let words = WORDS.iter().filter(|word| word.places.contains(&place)).map(|word| word.name);
    own.chain(words).filter(|name| Reading::of(name, place).is_some()).collect()
}

/// All settings and words as two tables in Markdown: for a `--help`, or for your own documentation.
pub fn words() -> String {
    format!("{}\n{}", settings_table(), words_table())
}

fn settings_table() -> String {
    let mut table = String::from("| setting | in the environment |\n|---|---|\n");
    for setting in Setting::ALL {
        table += &format!("| `{}` | `{}` |\n", setting.name(), setting.env_name());
    }
    table
}

fn words_table() -> String {
    let mut table =
        String::from("| word | where | is | whose word | note |\n|---|---|---|---|---|\n");
    for Word { name, places, reading, of, note } in WORDS {
        let places = places.iter().map(|place| match place {
            Env => "environment",
            Url => "URL",
            Key => "file",
        });
        let places: Vec<_> = places.collect();
        let (places, is) = (places.join(", "), reading.setting().name());
        table += &format!("| `{name}` | {places} | `{is}` | {of} | {note} |\n");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_has_two_meanings_in_one_place() {
        for place in [Env, Url, Key] {
            let mut names = known(place);
            names.sort_unstable();
            let all = names.len();
            names.dedup();
            assert_eq!(names.len(), all, "{place:?}: {names:?}");
        }
    }

    #[test]
    fn the_tables_in_the_documentation_are_true() {
        let shown = include_str!("../WORDS.md");
        let tables = [settings_table(), words_table()];
        for table in tables {
            assert!(shown.contains(&table), "WORDS.md should have:\n{table}");
        }
    }

    #[test]
    fn every_preset_is_made_of_words() {
        for preset in Preset::all() {
            for (word, value) in preset.words() {
                let reading = Reading::of(word, Key).unwrap_or_else(|| panic!("{word}"));
                reading.read(value).unwrap_or_else(|want| panic!("{word} {value}: {want}"));
            }
        }
    }
}
