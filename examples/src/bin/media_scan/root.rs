//! The folder that is scanned.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::fault::{Fault, Shown};
use crate::path_text::Below;

/// A folder that is there and can be read, by its full path.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    path: PathBuf,
    below: Below,
}

impl Root {
    /// Looks at the folder; symlinks to it are followed, so that it has one name.
    ///
    /// # Errors
    /// It is not there, no folder, or may not be read.
    pub(crate) fn open(dir: &Path) -> Result<Self, Fault> {
        let path = fs::canonicalize(dir).map_err(|error| refused(dir, &error))?;
        fs::read_dir(&path).map_err(|error| refused(dir, &error))?;
        Ok(Self { below: Below::folder(&path), path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is below it, in the table.
    pub(crate) fn below(&self) -> &Below {
        &self.below
    }
}

fn refused(dir: &Path, error: &io::Error) -> Fault {
    let dir = Shown(dir);
    Fault::new(match error.kind() {
        ErrorKind::NotFound => format!(
            "the folder {dir} does not exist: check the spelling, and whether its disk is there"
        ),
        ErrorKind::NotADirectory => {
            format!("{dir} is a file, no folder: name the folder it is in")
        }
        ErrorKind::PermissionDenied => format!(
            "the folder {dir} may not be read: ask for the right to, or scan as another user"
        ),
        _ => format!("the folder {dir} cannot be read: check its disk ({error})"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_folder_is_refused_in_one_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let said = |path: &Path| Root::open(path).unwrap_err().to_string();
        assert!(said(&file).contains("is a file, no folder"), "{}", said(&file));
        assert!(said(&file.join("x")).contains("is a file, no folder"));
        assert!(said(&dir.path().join("none")).contains("does not exist"));
        assert!(!said(&dir.path().join("a\nb")).contains('\n'));
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_has_one_name() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        let root = Root::open(&dir.path().join("link")).unwrap();
        assert_eq!(root.path(), fs::canonicalize(&real).unwrap());
        assert_eq!(root.below(), &Below::folder(root.path()));
    }
}
