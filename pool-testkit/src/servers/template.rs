//! Data folders that are made once and copied for each server.
//!
//! A template serves all processes of one user within a day; after that it is made anew, since
//! those who clean the temporary folder may have taken a part of it.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::geteuid;

use super::client;
use super::error::ServerError;
use super::identity::Identity;
use super::place;

const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// How a kind of server makes its first data.
pub(super) struct Recipe<'a> {
    /// The name in front of the template's.
    pub(super) name: &'a str,
    /// The server's program: another version has another template.
    pub(super) program: &'a Path,
    /// Who owns the data.
    pub(super) identity: Identity,
    /// What else decides how the data looks.
    pub(super) options: &'a [&'a str],
}

impl Recipe<'_> {
    /// Copies the template to a folder that is not there yet. If there is no template, it is made,
    /// by a closure that gets the folder to make.
    pub(super) fn copy(
        &self,
        to: &Path,
        make: impl FnOnce(&Path) -> Result<(), ServerError>,
    ) -> Result<(), ServerError> {
        self.copy_from(&templates()?, to, make)
    }

    fn copy_from(
        &self,
        templates: &Path,
        to: &Path,
        make: impl FnOnce(&Path) -> Result<(), ServerError>,
    ) -> Result<(), ServerError> {
        let template = self.path(templates)?;
        let lock = Lock::new(&template)?;
        lock.0.lock_shared().map_err(ServerError::io("locking a template"))?;
        if !fresh(&template) {
            lock.0.unlock().map_err(ServerError::io("unlocking a template"))?;
            lock.0.lock().map_err(ServerError::io("locking a template"))?;
            // Unless another process was faster.
            if !fresh(&template) {
                self.make(&template, make)?;
                sweep(templates);
            }
            // The lock stays an exclusive one during the copy: no moment for anybody in between.
        }
        let mut copy = client::command(Path::new("cp"));
        client::run(copy.args(["-a", "--reflink=auto"]).arg(&template).arg(to))?;
        Ok(())
    }

    fn make(
        &self,
        template: &Path,
        make: impl FnOnce(&Path) -> Result<(), ServerError>,
    ) -> Result<(), ServerError> {
        // Under another name first, so that half a template is none.
        let new = template.with_extension("new");
        for old in [&new, template] {
            if old.exists() {
                fs::remove_dir_all(old).map_err(ServerError::io(old.display()))?;
            }
        }
        place::create(&new, 0o700)?;
        self.identity.own(&new)?;
        make(&new)?;
        // Its age counts from here.
        File::open(&new)
            .and_then(|folder| folder.set_modified(std::time::SystemTime::now()))
            .and_then(|()| fs::rename(&new, template))
            .map_err(ServerError::io(template.display()))
    }

    fn path(&self, templates: &Path) -> Result<PathBuf, ServerError> {
        let program =
            fs::metadata(self.program).map_err(ServerError::io(self.program.display()))?;
        let mut hasher = DefaultHasher::new();
        (self.program, program.len(), program.mtime(), self.identity, self.options)
            .hash(&mut hasher);
        Ok(templates.join(format!("{}-{:016x}", self.name, hasher.finish())))
    }
}

/// The folder of all templates of this user; nobody else may write there.
fn templates() -> Result<PathBuf, ServerError> {
    let uid = geteuid().as_raw();
    let folder = place::temporary().join(format!("pool-templates-{uid}"));
    if !folder.exists() {
        // Another process may be doing the same.
        let _ = place::create(&folder, 0o755);
    }
    let data = fs::symlink_metadata(&folder).map_err(ServerError::io(folder.display()))?;
    if !data.is_dir() || data.uid() != uid || data.mode() & 0o022 != 0 {
        let text = format!("{} is not a folder of this user alone", folder.display());
        return Err(ServerError::failed(text));
    }
    Ok(folder)
}

/// The file of a template's lock. What is locked is unlocked when this is dropped.
///
/// Closing the file would not do: a child that another thread is starting has a copy of it until it
/// runs its own program, and a lock lives as long as any copy.
struct Lock(File);

impl Lock {
    fn new(template: &Path) -> Result<Self, ServerError> {
        let path = template.with_extension("lock");
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        Ok(Self(file.map_err(ServerError::io(path.display()))?))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // It fails for a file that cannot be locked only.
        let _ = self.0.unlock();
    }
}

/// Removes old templates that nobody uses, as those of versions before an update.
fn sweep(templates: &Path) {
    for template in fs::read_dir(templates).into_iter().flatten().flatten().map(|it| it.path()) {
        if template.extension().is_some() || !template.is_dir() || fresh(&template) {
            continue;
        }
        // Unless it was made anew a moment ago, or is about to be copied. The file of the lock
        // stays: somebody may wait for it.
        let Ok(lock) = Lock::new(&template) else { continue };
        if lock.0.try_lock().is_ok() && !fresh(&template) {
            let _ = fs::remove_dir_all(&template);
        }
    }
}

fn fresh(template: &Path) -> bool {
    fs::metadata(template)
        .and_then(|data| data.modified())
        .is_ok_and(|time| time.elapsed().is_ok_and(|age| age < LIFE))
}

#[cfg(test)]
mod tests {
    use super::super::place::Folder;
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn a_template_is_made_once_until_it_is_old() {
        let identity = Identity::of(&["nobody"]).unwrap();
        let folder = Folder::new(identity).unwrap();
        let at = |name: &str| folder.path().join(name);
        let recipe =
            Recipe { name: "test", program: Path::new("/bin/sh"), identity, options: &["-x"] };
        let write = |data: &Path, text: &str| {
            fs::write(data.join("file"), text).map_err(ServerError::io("writing"))
        };
        let copy = |to: &str, text: &'static str| {
            recipe.copy_from(folder.path(), &at(to), |data| write(data, text)).unwrap();
            fs::read_to_string(at(to).join("file")).unwrap()
        };

        let fails = |data: &Path| {
            write(data, "half")?;
            Err(ServerError::failed("in the middle"))
        };
        recipe.copy_from(folder.path(), &at("none"), fails).unwrap_err();
        assert!(!at("none").exists());
        assert_eq!(copy("a", "first"), "first");
        assert_eq!(copy("b", "second"), "first");

        let path = recipe.path(folder.path()).unwrap();
        let age = || {
            let template = File::open(&path).unwrap();
            template.set_modified(SystemTime::now() - LIFE * 2).unwrap();
        };
        age();
        assert_eq!(copy("c", "third"), "third");

        // Another one takes the old with it.
        let other = Recipe { options: &["-y"], ..recipe };
        age();
        other.copy_from(folder.path(), &at("d"), |data| write(data, "other")).unwrap();
        assert!(other.path(folder.path()).unwrap().exists());
        assert!(!path.exists());
    }

    #[test]
    fn a_lock_ends_though_a_child_has_a_copy_of_its_file() {
        let folder = Folder::new(Identity::of(&["nobody"]).unwrap()).unwrap();
        let template = folder.path().join("test");
        let lock = Lock::new(&template).unwrap();
        lock.0.lock().unwrap();
        let copy = lock.0.try_clone().unwrap();
        let other = Lock::new(&template).unwrap();
        other.0.try_lock().unwrap_err();

        drop(lock);
        other.0.try_lock().unwrap();
        drop(copy);
    }
}
