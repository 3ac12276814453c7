//! [`Layer`]: what one source sets, each setting once.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::SettingsFault;
use crate::setting::{Change, Setting};
use crate::source::Source;
use crate::ssl::SslMode;
use crate::words::{Place, Reading, known};

/// What one source sets.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    changes: BTreeMap<Setting, (Change, Source)>,
    /// Settings about which something was said that makes no sense.
    broken: BTreeSet<Setting>,
}

impl Layer {
    /// Adds what stands under a name. An empty value counts as none.
    ///
    /// # Errors
    /// The name or the value makes no sense, or another name says something else.
    pub(crate) fn add(
        &mut self,
        name: &str,
        value: &str,
        place: Place,
        source: Source,
    ) -> Result<(), SettingsFault> {
        if value.trim().is_empty() {
            return Ok(());
        }
        let Some(reading) = Reading::of(name, place) else {
            return Err(SettingsFault::new(source, None, unknown(name, place)));
        };
        let added = match reading.read(value) {
            Ok(change) => self.put(change, source),
            // The rest of a password may stand in a URL where a parameter is looked for.
            Err(want) if place == Place::Url => Err(SettingsFault::new(source, None, want)),
            Err(want) => Err(SettingsFault::new(source, Some(value), want)),
        };
        if added.is_err() {
            self.broken.insert(reading.setting());
        }
        added
    }

    /// Adds that nothing stands under a name.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub(crate) fn add_none(
        &mut self,
        name: &str,
        place: Place,
        source: Source,
    ) -> Result<(), SettingsFault> {
        match Reading::of(name, place) {
            None => Err(SettingsFault::new(source, None, unknown(name, place))),
            Some(reading) => match Change::none(reading.setting()) {
                Some(none) => self.put(none, source),
                None => Ok(()),
            },
        }
    }

    /// Adds a setting.
    fn put(&mut self, change: Change, source: Source) -> Result<(), SettingsFault> {
        match self.changes.entry(change.setting()) {
            Entry::Vacant(free) => drop(free.insert((change, source))),
            Entry::Occupied(taken) if taken.get().0 == change => {}
            Entry::Occupied(taken) => {
                let ((other, place), name) = (taken.get(), change.setting().name());
                let want = format!(
                    "want the same {name} as {place} ({}), or only one of the two",
                    other.show()
                );
                return Err(SettingsFault::new(source, Some(&change.show()), want));
            }
        }
        Ok(())
    }

    /// Sets a setting, whatever it was.
    pub(crate) fn set(&mut self, change: Change, source: Source) {
        self.changes.insert(change.setting(), (change, source));
    }

    pub(crate) fn ssl_mode(&self) -> Option<SslMode> {
        match self.changes.get(&Setting::SslMode) {
            Some((Change::SslMode(mode), _)) => Some(*mode),
            _ => None,
        }
    }

    pub(crate) fn broken(&self) -> impl Iterator<Item = Setting> {
        self.broken.iter().copied()
    }

    pub(crate) fn take(&mut self, setting: Setting) -> Option<(Change, Source)> {
        self.changes.remove(&setting)
    }

    pub(crate) fn into_changes(self) -> impl Iterator<Item = (Change, Source)> {
        self.changes.into_values()
    }
}

/// Words of HikariCP's and PgBouncer's, in small letters without marks, and what they are here. They
/// are no names here, since theirs are in milliseconds, or PgBouncer's own business too.
const ELSEWHERE: [(&str, &str); 13] = [
    ("maximumpoolsize", "max_size"),
    ("minimumidle", "min_idle"),
    ("connectiontimeout", "acquire_timeout, in seconds or with a unit (\"30s\")"),
    ("validationtimeout", "ping_timeout, in seconds or with a unit (\"5s\")"),
    ("idletimeout", "idle_timeout, in seconds or with a unit (\"10m\")"),
    ("maxlifetime", "max_lifetime, in seconds or with a unit (\"30m\")"),
    ("keepalivetime", "keepalive, in seconds or with a unit (\"2m\")"),
    ("leakdetectionthreshold", "leak_after, in seconds or with a unit (\"2s\")"),
    ("defaultpoolsize", "max_size"),
    ("maxclientconn", "max_waiting and max_size together"),
    ("querywaittimeout", "acquire_timeout"),
    ("serveridletimeout", "idle_timeout"),
    ("serverlifetime", "max_lifetime"),
];

/// What to write instead of a name that is not known.
pub(crate) fn unknown(name: &str, place: Place) -> String {
    let plain = name.replace(['_', '-'], "").to_ascii_lowercase();
    if let Some((_, here)) = ELSEWHERE.iter().find(|(word, _)| *word == plain) {
        return format!("no such setting; here it is {here}");
    }
    match pool_sql::nearest(name, &known(place)) {
        Some(nearest) => format!("no such setting; did you mean {nearest}?"),
        None => "no such setting".into(),
    }
}
