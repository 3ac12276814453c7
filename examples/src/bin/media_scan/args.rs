//! What the user asks for on the command line.

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

    /// The SQLite file, made if it is not there, or the URL of a PostgreSQL, MySQL or MariaDB
    /// database: postgres://user@host/name, mysql://user@host/name [default: media_scan/media.db in
    /// your data folder]
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

    /// How many connections may read at a time, beside the one that writes
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = value_parser!(u16).range(1..=250))]
    pub(crate) readers: u16,
}

impl Args {
    /// The size of the pool: readers and one writer, or the one connection of the comparison.
    pub(crate) fn connections(&self) -> u32 {
        if self.baseline { 1 } else { u32::from(self.readers) + 1 }
    }
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
    fn without_arguments_it_is_this_folder_with_one_writer_and_24_readers() {
        let args = Args::try_parse_from(["media_scan"]).unwrap();
        assert_eq!((args.dir.to_str(), args.batch, args.connections()), (Some("."), 1000, 25));
        let args = Args::try_parse_from(["media_scan", "x", "--baseline"]).unwrap();
        assert_eq!(args.connections(), 1);
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
