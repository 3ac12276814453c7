//! What the user asks for on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, value_parser};

/// Scans a folder of media files into a database through a connection pool, while the queries of a
/// media server's start page run beside it.
///
/// Scanning again brings the database up to date: only new and changed files are read, and rows of
/// files that are gone are removed. Ctrl-C finishes the batch in hand; the next scan goes on.
#[derive(Debug, Parser)]
#[command(name = "media_scan", version)]
pub(crate) struct Args {
    /// The folder to scan, with everything below it
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,

    /// The SQLite file, made if it is not there, or a database's URL: sqlite:file.db,
    /// postgres://user@host/name, mysql://user@host/name [default: what DATABASE_URL says, else
    /// media_scan/media.db in your data folder]
    #[arg(long, value_name = "FILE|URL")]
    pub(crate) db: Option<PathBuf>,

    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,

    /// For comparison: one connection, and each file stored in a transaction of its own (--batch
    /// and --readers then change nothing about the writing)
    #[arg(long)]
    pub(crate) baseline: bool,

    /// How many files are stored in one transaction, 500 to 1000
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = value_parser!(u16).range(500..=1000))]
    pub(crate) batch: u16,

    /// How many connections may read at a time, beside the one that writes [default: 24, or by what
    /// the environment says of the pool: DB_MAX_OPEN_CONNS and its kin]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=250))]
    pub(crate) readers: Option<u16>,

    /// Show the pool as a page at this address, such as 127.0.0.1:8080, with its metrics beside it;
    /// it stays when the scan is done, until Ctrl-C. Other than from this machine only who has the
    /// token gets in that the environment's MEDIA_SCAN_TOKEN says
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) serve: Option<SocketAddr>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn without_arguments_it_is_this_folder() {
        let args = Args::try_parse_from(["media_scan"]).unwrap();
        assert_eq!((args.dir.to_str(), args.batch, args.readers), (Some("."), 1000, None));
    }

    #[test]
    fn batches_have_500_to_1000_files() {
        for wrong in ["499", "1001", "many"] {
            assert!(Args::try_parse_from(["media_scan", "--batch", wrong]).is_err());
        }
        assert!(Args::try_parse_from(["media_scan", "--batch", "500"]).is_ok());
        assert!(Args::try_parse_from(["media_scan", "--readers", "0"]).is_err());
    }
}
