//! Why a server is not to be had, and what a test does about it.

use std::io::Write;
use std::{env, fmt, io};

/// A server did not start, or did not do what it was told.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerError {
    /// A program is not installed.
    Missing {
        /// Its name.
        program: String,
        /// The line that installs it on Debian and its relatives.
        install: &'static str,
    },
    /// Something failed; the text has the end of the server's log where there is one.
    Failed(String),
}

impl ServerError {
    pub(super) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    /// For `map_err`: what was tried, and how it failed.
    pub(super) fn io(what: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Failed(format!("{what}: {error}"))
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { program, install } => {
                write!(f, "{program} is not installed. Install it: {install}")?;
                write!(f, " (or skip such tests: {SKIP}=1)")
            }
            Self::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ServerError {}

/// The variable that turns tests without a server into skipped ones.
const SKIP: &str = "POOL_TEST_SKIP_SERVERS";

/// The server for a test, or none if it is not installed and `POOL_TEST_SKIP_SERVERS` is `1`. A
/// skip is announced on the standard error, past the capture of the test harness.
///
/// ```
/// use pool_testkit::servers::{MariaDb, or_skip};
///
/// # fn main() {
/// let Some(server) = or_skip(MariaDb::start()) else { return };
/// # drop(server); }
/// ```
///
/// # Panics
///
/// With every other error; that of a missing program has the line that installs it.
#[track_caller]
pub fn or_skip<T>(result: Result<T, ServerError>) -> Option<T> {
    let skip = env::var_os(SKIP).is_some_and(|value| value == "1");
    // Not eprintln, which the test harness keeps for itself when the test passes.
    judge(result, skip, &mut io::stderr())
}

#[track_caller]
fn judge<T>(result: Result<T, ServerError>, skip: bool, out: &mut dyn Write) -> Option<T> {
    match result {
        Ok(server) => Some(server),
        Err(error @ ServerError::Missing { .. }) if skip => {
            let place = std::panic::Location::caller();
            // In one piece, other tests write too.
            let _ = out.write_all(format!("SKIPPED, tests nothing: {place}: {error}\n").as_bytes());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing() -> Result<(), ServerError> {
        let install = "apt-get install --no-install-recommends nothing";
        Err(ServerError::Missing { program: "nothingd".into(), install })
    }

    #[test]
    fn a_missing_program_is_skipped_where_that_is_allowed() {
        let mut said = Vec::new();
        assert_eq!(judge(missing(), true, &mut said), None);
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("SKIPPED") && said.contains("error.rs"), "{said}");
    }

    #[test]
    #[should_panic(expected = "apt-get install --no-install-recommends nothing")]
    fn a_missing_program_fails_with_the_line_that_installs_it() {
        judge(missing(), false, &mut io::sink());
    }

    #[test]
    #[should_panic(expected = "no luck")]
    fn a_failure_is_never_skipped() {
        judge::<()>(Err(ServerError::failed("no luck")), true, &mut io::sink());
    }
}
