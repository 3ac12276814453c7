//! SQLite URLs: `sqlite://path/to/file.db?synchronous=full&max_size=9`.
//!
//! A plain path, `sqlite:relative.db`, `sqlite:///absolute.db`, `file:name.db` and `:memory:` are
//! understood; in URLs (not in plain paths) `%20` is a space. Parameters may be written with a
//! leading underscore, as some drivers have them:
//!
//! | parameter | value |
//! |---|---|
//! | `mode` | `rwc` (default), `rw`, `ro`, `memory` |
//! | `journal_mode`, `synchronous`, `temp_store` | SQLite's words |
//! | `busy_timeout` | milliseconds |
//! | `foreign_keys` | `on` or `off` |
//! | `cache_size` | SQLite's number (negative: KiB), for the whole pool |
//! | `mmap_size`, `journal_size_limit` | bytes |
//! | `statement_cache` | statements a connection |
//! | `max_size` | connections |
//! | `cache` | `private`; `shared` is refused |

use std::time::Duration;

use crate::builder::SqliteBuilder;
use crate::error::{SqliteError, SqliteErrorKind};
use crate::options::{JournalMode, SqliteOptions, Synchronous, TempStore};

const KNOWN: &[&str] = &[
    "mode",
    "journal_mode",
    "synchronous",
    "temp_store",
    "busy_timeout",
    "foreign_keys",
    "cache_size",
    "mmap_size",
    "journal_size_limit",
    "statement_cache",
    "max_size",
    "cache",
];

pub(crate) fn parse(url: &str) -> Result<SqliteBuilder, SqliteError> {
    let rest = ["sqlite://", "sqlite:", "file://", "file:"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    let (path, query) = match rest {
        None => (url.to_owned(), ""), // a plain path may have any character
        Some(rest) => {
            let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
            (decode(path)?, query)
        }
    };
    if path.is_empty() && !query.contains("mode=memory") {
        return Err(fault(["there is no path; write sqlite://path/to/file.db".into()].as_ref()));
    }
    let memory = path == ":memory:" || query.split('&').any(|pair| pair == "mode=memory");
    let mut builder = match memory {
        true => SqliteBuilder::in_memory(),
        false => SqliteBuilder::file(path),
    };
    let mut faults = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = name.strip_prefix('_').unwrap_or(name);
        match apply(builder, name, value) {
            Ok(changed) => builder = changed,
            Err((unchanged, fault)) => {
                builder = unchanged;
                faults.push(fault);
            }
        }
    }
    if faults.is_empty() { Ok(builder) } else { Err(fault(&faults)) }
}

type Applied = Result<SqliteBuilder, (SqliteBuilder, String)>;

fn apply(builder: SqliteBuilder, name: &str, value: &str) -> Applied {
    let set = |builder: SqliteBuilder, set: &dyn Fn(&mut SqliteOptions)| {
        Ok(builder.options(|options| set(options)))
    };
    let wrong =
        |builder, expected: String| Err((builder, format!("{name}={value}: want {expected}")));
    macro_rules! word {
        ($kind:ident, $field:ident) => {
            match $kind::parse(value) {
                Some(word) => set(builder, &|options| options.$field = word),
                None => wrong(builder, $kind::WORDS.join(", ")),
            }
        };
    }
    macro_rules! number {
        ($expected:literal, $apply:expr) => {
            match value.parse() {
                Ok(number) => Ok($apply(builder, number)),
                Err(_) => wrong(builder, $expected.into()),
            }
        };
    }
    match name {
        "mode" => match value {
            "rwc" | "rw" | "memory" => Ok(builder),
            "ro" => Ok(builder.read_only()),
            _ => wrong(builder, "rwc, rw, ro or memory".into()),
        },
        "journal_mode" => word!(JournalMode, journal_mode),
        "synchronous" => word!(Synchronous, synchronous),
        "temp_store" => word!(TempStore, temp_store),
        "foreign_keys" => match value.to_ascii_lowercase().as_str() {
            "on" | "true" | "1" => set(builder, &|options| options.foreign_keys = true),
            "off" | "false" | "0" => set(builder, &|options| options.foreign_keys = false),
            _ => wrong(builder, "on or off".into()),
        },
        "busy_timeout" => number!("milliseconds", |builder: SqliteBuilder, ms| {
            builder.options(|options| options.busy_timeout = Duration::from_millis(ms))
        }),
        "cache_size" => {
            number!("a number of pages, or negative of KiB", |builder: SqliteBuilder, n: i64| {
                let kib = if n < 0 { n.unsigned_abs() } else { n as u64 * 4 };
                builder.options(|options| {
                    options.cache_budget = u32::try_from(kib).unwrap_or(u32::MAX);
                })
            })
        }
        "mmap_size" => number!("bytes", |builder: SqliteBuilder, bytes| {
            builder.options(|options| options.mmap_size = bytes)
        }),
        "journal_size_limit" => number!("bytes", |builder: SqliteBuilder, bytes| {
            builder.options(|options| options.journal_size_limit = bytes)
        }),
        "statement_cache" => number!("a number of statements", |builder: SqliteBuilder, n| {
            builder.options(|options| options.statement_cache = n)
        }),
        "max_size" => number!("a number of connections", SqliteBuilder::max_size),
        "cache" if value == "private" => Ok(builder),
        "cache" => wrong(
            builder,
            "private: with a shared cache readers fail at once with SQLITE_LOCKED, and SQLite \
             discourages it; WAL, the default, gives what it was for"
                .into(),
        ),
        _ => {
            let nearest = KNOWN.iter().min_by_key(|known| distance(known, name)).expect("some");
            Err((builder, format!("{name}: no such parameter; did you mean {nearest}?")))
        }
    }
}

fn fault(faults: &[String]) -> SqliteError {
    SqliteError::text(SqliteErrorKind::Config, format!("invalid SQLite URL: {}", faults.join("; ")))
}

fn decode(path: &str) -> Result<String, SqliteError> {
    percent_encoding::percent_decode_str(path)
        .decode_utf8()
        .map(Into::into)
        .map_err(|error| fault(&[format!("the path is not UTF-8: {error}")]))
}

/// How many letters to change to make one word of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            let replaced = diagonal + usize::from(x != *y);
            row[j + 1] = replaced.min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}
