//! Asking a server by the command-line clients that come with it.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use super::error::ServerError;

/// Seconds that a program gets; far more than it takes on any machine.
const LIMIT: &str = "60";

/// A command for [`run`]: it is killed after a minute, as when the server is frozen, reads nothing
/// and has a clean environment.
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", LIMIT]).arg(program).stdin(Stdio::null());
    clean(&mut command);
    command
}

/// Takes from the environment what changes how a client connects or a server starts, which is
/// everything but what is needed to run at all.
pub(super) fn clean(command: &mut Command) {
    command.env_clear().env("LC_ALL", "C");
    for key in ["PATH", "LD_LIBRARY_PATH"] {
        if let Some(value) = env::var_os(key) {
            command.env(key, value);
        }
    }
}

/// Runs a command to its end; its standard output.
pub(super) fn run(command: &mut Command) -> Result<String, ServerError> {
    let output = command.output().map_err(ServerError::io("timeout, of coreutils"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        return Ok(text.trim_end().to_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    // Not the first arguments, which are those of timeout.
    let said: Vec<_> = command.get_args().skip(2).map(|word| word.to_string_lossy()).collect();
    let said = said.join(" ");
    Err(ServerError::failed(format!("{said}\n{}\n{errors}{text}", output.status)))
}

/// The number that was asked for.
pub(super) fn number(answer: &str) -> Result<usize, ServerError> {
    answer
        .trim()
        .parse()
        .map_err(|_| ServerError::failed(format!("not a number of connections: {answer:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_errors_come_back() {
        let shell = |script| run(command(Path::new("/bin/sh")).args(["-c", script]));
        assert_eq!(shell("echo hello").unwrap(), "hello");
        let error = shell("echo no luck >&2; exit 3").unwrap_err().to_string();
        assert!(error.contains("no luck") && error.contains('3'), "{error}");
    }
}
