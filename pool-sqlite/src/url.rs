//! SQLite URLs: `sqlite://path/to/file.db?synchronous=full&max_size=9`.
//!
//! A plain path, `sqlite:relative.db`, `sqlite:///absolute.db`, `file:name.db` and `:memory:` are
//! understood; in URLs (not in plain paths) `%20` is a space. A plain path has parameters too, if it
//! goes on with `?name=`, as in `media.db?_journal_mode=WAL`. They may be written with a leading
//! underscore, as some drivers have them:
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

use pool_sql::nearest;

use crate::builder::SqliteBuilder;
use crate::error::{SqliteError, SqliteErrorKind};
use crate::options::{JournalMode, Synchronous, TempStore};

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
        .find_map(|scheme| url.strip_prefix(scheme))
        .or_else(|| url.starts_with(":memory:").then_some(url));
    if rest.is_none()
        && let Some(scheme) = other_scheme(url)
    {
        let want = "want sqlite://path/to/file.db; other databases have crates of their own";
        return Err(fault(&[format!("{scheme}: is no scheme of SQLite's; {want}")]));
    }
    let (path, query) = match rest {
        // A plain path may have any character, but nobody names a file like that.
        None => match url.split_once('?') {
            Some((path, query)) if has_name(query) => (path.to_owned(), query),
            _ => (url.to_owned(), ""),
        },
        Some(rest) => {
            let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
            (decode(path)?, query)
        }
    };
    let pairs = || query.split('&').map(|pair| pair.strip_prefix('_').unwrap_or(pair));
    let memory = path == ":memory:" || pairs().any(|pair| pair == "mode=memory");
    if path.trim().is_empty() && !memory {
        return Err(fault(&["there is no path; write sqlite://path/to/file.db".into()]));
    }
    let mut builder = match memory {
        true => SqliteBuilder::in_memory(),
        false => SqliteBuilder::file(path),
    };
    let mut faults = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = name.strip_prefix('_').unwrap_or(name);
        if let Err(expected) = apply(&mut builder, name, value) {
            faults.push(format!("{pair}: {expected}"));
        }
    }
    if faults.is_empty() { Ok(builder) } else { Err(fault(&faults)) }
}

/// The scheme, where a path begins as a URL does. What follows is not for errors: it may have a
/// password.
fn other_scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once("://")?;
    let of_a_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    (!scheme.is_empty() && scheme.chars().all(of_a_scheme)).then_some(scheme)
}

/// Whether it begins with `name=`.
fn has_name(query: &str) -> bool {
    let name = query.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Sets what one parameter says, or tells what would be right.
fn apply(builder: &mut SqliteBuilder, name: &str, value: &str) -> Result<(), String> {
    let options = &mut builder.options;
    match name {
        "mode" => match value {
            "rwc" | "memory" => {}
            "rw" => builder.set_create(false),
            "ro" if options.is_file() => builder.set_read_only(),
            "ro" => return Err("a database in memory cannot be for reading only".into()),
            _ => return Err("want rwc, rw, ro or memory".into()),
        },
        "journal_mode" => options.journal_mode = JournalMode::parse(value)?,
        "synchronous" => options.synchronous = Synchronous::parse(value)?,
        "temp_store" => options.temp_store = TempStore::parse(value)?,
        "foreign_keys" => {
            options.foreign_keys = match value.to_ascii_lowercase().as_str() {
                "on" | "true" | "1" => true,
                "off" | "false" | "0" => false,
                _ => return Err("want on or off".into()),
            }
        }
        "busy_timeout" => {
            options.busy_timeout = Duration::from_millis(number(value, "milliseconds")?);
        }
        "cache_size" => {
            let size: i64 = number(value, "a number of pages, or negative of KiB")?;
            let kib = if size < 0 { size.unsigned_abs() } else { (size as u64).saturating_mul(4) };
            options.cache_budget = u32::try_from(kib).unwrap_or(u32::MAX);
        }
        "mmap_size" => options.mmap_size = number(value, "a number of bytes")?,
        "journal_size_limit" => options.journal_size_limit = number(value, "a number of bytes")?,
        "statement_cache" => options.statement_cache = number(value, "a number of statements")?,
        "max_size" => builder.set_max_size(number(value, "a number of connections")?),
        "cache" if value == "private" => {}
        "cache" => {
            return Err("want private: with a shared cache readers fail at once with \
                        SQLITE_LOCKED, and SQLite discourages it; WAL, the default, gives what it \
                        was for"
                .into());
        }
        _ => {
            let nearest = nearest(name, KNOWN).unwrap_or_default();
            return Err(format!("no such parameter; did you mean {nearest}?"));
        }
    }
    Ok(())
}

fn number<T: std::str::FromStr>(value: &str, what: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("want {what}"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Database;

    fn database(url: &str) -> Database {
        parse(url).unwrap().options.database
    }

    fn file(path: &str) -> Database {
        Database::File { path: path.into(), read_only: false, create: true }
    }

    #[test]
    fn paths_and_urls_name_the_same_file() {
        assert_eq!(database("a b?.db"), file("a b?.db"));
        assert_eq!(database("sqlite:a%20b%3F.db"), file("a b?.db"));
        assert_eq!(database("sqlite:///var/x.db?synchronous=full"), file("/var/x.db"));
        assert_eq!(database("file:x.db"), file("x.db"));
        assert_eq!(database("a%20b.db?_journal_mode=WAL&mode=rwc"), file("a%20b.db"));
        for odd in ["what?.db", "what?=.db", "a?b-c=d.db"] {
            assert_eq!(database(odd), file(odd));
        }
        assert_eq!(
            database("sqlite:x.db?_mode=rw"),
            Database::File { path: "x.db".into(), read_only: false, create: false }
        );
        let memories =
            [":memory:", "sqlite::memory:", ":memory:?max_size=2", "file:x?_mode=memory"];
        for memory in memories {
            assert!(matches!(database(memory), Database::Memory { .. }), "{memory}");
        }
        assert_eq!(
            database("sqlite:x.db?mode=ro"),
            Database::File { path: "x.db".into(), read_only: true, create: true }
        );
    }

    #[test]
    fn the_pragmas_of_a_media_server_are_understood() {
        let url = "m.db?mode=rwc&_journal_mode=WAL&_synchronous=NORMAL&_busy_timeout=30000\
                   &_cache_size=-64000&_temp_store=MEMORY&_foreign_keys=ON";
        for url in [url.to_owned(), format!("sqlite:{url}")] {
            let options = parse(&url).unwrap().options;
            assert_eq!(options.database, file("m.db"));
            assert_eq!(options.journal_mode, JournalMode::Wal);
            assert_eq!(options.busy_timeout, Duration::from_secs(30));
            assert_eq!(options.cache_budget, 64_000);
            assert!(options.foreign_keys);
        }
        let error = parse("m.db?_jurnal_mode=WAL").err().unwrap().to_string();
        assert!(error.contains("did you mean journal_mode?"), "{error}");
    }

    #[test]
    fn every_wrong_parameter_is_named_with_what_would_be_right() {
        let url = "sqlite:m.db?cache=shared&syncronous=full&busy_timeout=soon&temp_store=disk";
        let error = parse(url).unwrap_err().to_string();
        for part in [
            "cache=shared: want private",
            "syncronous=full: no such parameter; did you mean synchronous?",
            "busy_timeout=soon: want milliseconds",
            "temp_store=disk: want one of default, file, memory",
        ] {
            assert!(error.contains(part), "{error}");
        }
        for empty in ["sqlite://", "", "  "] {
            assert!(
                parse(empty).unwrap_err().to_string().contains("there is no path"),
                "{empty:?}"
            );
        }
        let error = parse("postgres://app:secret@db/media").unwrap_err().to_string();
        assert!(error.contains("postgres: is no scheme of SQLite's; want sqlite://"), "{error}");
        assert!(!error.contains("secret"));
    }
}
