//! What the command line and the environment say of the pool; the scan's own idea lies below both.

use pool_any::{AnyBuilder, Backend};
use pool_config::{Loader, Setting};

use crate::args::Args;
use crate::database::{DbError, PATIENCE, Place};
use crate::fault::Fault;

/// Connections that read, if nobody says how many.
const READERS: u16 = 24;
/// On a server one connection has the scan's lock, one writes, one reads.
const LEAST_ON_SERVER: u32 = 3;

/// The sources of the settings of a pool for files, which one connection writes; a server's has one
/// more, for the lock.
pub(crate) fn loader(args: &Args, is_server: bool) -> Loader {
    let connections = move |readers: u16| u32::from(readers) + 1 + u32::from(is_server);
    let loader = Loader::new()
        .env()
        .defaults(move |config| config.max_size(connections(READERS)).acquire_timeout(PATIENCE));
    match (args.baseline, args.readers) {
        (true, _) => {
            loader.change(move |config| config.max_size(connections(0)).min_size(0).min_idle(0))
        }
        (false, Some(readers)) => {
            loader.change(move |config| config.max_size(connections(readers)))
        }
        (false, None) => loader,
    }
}

/// The URL that `--db` gives, if it is one. Of another kind it is one too: it is no name of a file.
fn url(args: &Args) -> Option<&str> {
    let given = args.db.as_deref()?.to_str()?;
    (Backend::of_url(given).is_some() || given.contains("://")).then_some(given)
}

/// With the database that `--db` or the environment names.
fn with_database(args: &Args, loader: Loader) -> Loader {
    match url(args) {
        Some(url) => loader.url(url),
        None => loader,
    }
}

/// Which database, by `--db` or by the environment.
///
/// # Errors
/// The settings make no sense, or the file cannot be one.
pub(crate) fn place(args: &Args) -> Result<Place, Fault> {
    if args.db.is_some() && url(args).is_none() {
        return Place::file(args.db.as_deref());
    }
    let loaded = with_database(args, loader(args, false)).load();
    match loaded.map_err(|error| Fault::new(error.to_string()))?.database {
        Some(database) => Place::of(database),
        None => Place::file(None),
    }
}

/// The pool of a database that a URL names, in the making.
pub(crate) fn builder(args: &Args, is_server: bool) -> Result<AnyBuilder, DbError> {
    let builder = AnyBuilder::new(with_database(args, loader(args, is_server)))?;
    let loaded = builder.loaded();
    let max_size = loaded.config.max_size;
    if is_server && !args.baseline && max_size < LEAST_ON_SERVER {
        let source = loaded.source(Setting::MaxSize);
        return Err(DbError::Settings(format!(
            "max_size is {max_size} ({source}), but one connection has the scan's lock, one writes \
             and one reads: want at least {LEAST_ON_SERVER}"
        )));
    }
    Ok(builder)
}
