//! [`LogLevel`]: how much is to be logged.

use crate::term::words;

words! {
    /// How much of a database's doings is to be logged. It is for the logger; a pool logs nothing
    /// by itself.
    LogLevel:
        /// Nothing.
        Silent = "silent" | "off" | "none",
        /// Errors.
        Error = "error",
        /// Errors, and what is slow.
        Warn = "warn" | "warning",
        /// Every statement.
        Info = "info",
        /// Every event of the pool as well.
        Debug = "debug" | "trace",
}
