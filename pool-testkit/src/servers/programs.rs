//! Where the installed programs are.

use std::path::{Path, PathBuf};
use std::{env, fs};

use super::error::ServerError;

/// Where Debian keeps what ordinary users do not start, besides `PATH`.
const SYSTEM: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/bin"];

/// A program of the `PATH` or of the system.
pub(super) fn find(program: &str, install: &'static str) -> Result<PathBuf, ServerError> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(SYSTEM.iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .ok_or_else(|| ServerError::Missing { program: program.into(), install })
}

/// A program of the newest PostgreSQL. Debian has them in a folder for each version, and wrappers
/// in the `PATH`, some of which choose by other rules.
pub(super) fn of_postgres(program: &str, install: &'static str) -> Result<PathBuf, ServerError> {
    match newest(Path::new("/usr/lib/postgresql"), program) {
        Some(file) => Ok(file),
        None => find(program, install),
    }
}

fn newest(versions: &Path, program: &str) -> Option<PathBuf> {
    fs::read_dir(versions)
        .ok()?
        .flatten()
        .filter_map(|folder| {
            let version: u32 = folder.file_name().to_str()?.parse().ok()?;
            let file = folder.path().join("bin").join(program);
            file.is_file().then_some((version, file))
        })
        .max()
        .map(|(_, file)| file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_its_line() {
        let error = find("no-such-program", "apt-get install it").unwrap_err();
        assert!(error.to_string().contains("Install it: apt-get install it"), "{error}");
        assert!(find("sh", "").unwrap().is_absolute());
        assert_eq!(newest(Path::new("/nowhere"), "postgres"), None);
    }
}
