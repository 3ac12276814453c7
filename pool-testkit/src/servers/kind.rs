//! What differs between the kinds of servers, and where one sits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::Signal;

use super::error::ServerError;
use super::identity::Identity;
use super::place::Folder;

/// A kind of server.
pub(super) trait Kind: Send + Sync {
    fn name(&self) -> &'static str;
    /// How to start it in the foreground, with the settings of the seat.
    fn command(&self, seat: &Seat) -> Result<Command, ServerError>;
    /// If it serves clients now. Called often while it starts.
    fn ready(&self, seat: &Seat) -> bool;
    /// What ends it without waiting for its clients.
    fn stop_signal(&self) -> Signal;
    fn url(&self, port: u16) -> String;
    fn socket(&self, seat: &Seat) -> PathBuf;
    /// After its end, which may have been a kill: what the server could not clean up.
    fn ended(&self, _seat: &Seat) {}
}

/// Where one server sits.
pub(super) struct Seat {
    pub(super) folder: Folder,
    pub(super) identity: Identity,
    pub(super) port: u16,
    pub(super) settings: Mutex<BTreeMap<String, String>>,
}

impl Seat {
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn settings(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
