//! [`Layer`]: what one source sets, each setting once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::error::SettingsFault;
use crate::setting::{Change, Setting};
use crate::source::Source;
use crate::ssl::SslMode;
use crate::words::{Place, Reading, known};

/// What one source sets.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    changes: BTreeMap<Setting, (Change, Source)>,
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
        match reading.read(value) {
            Ok(change) => self.put(change, source),
            Err(want) => Err(SettingsFault::new(source, Some(value), want)),
        }
    }

    /// Adds a setting.
    ///
    /// # Errors
    /// It is there already, with another value.
    pub(crate) fn put(&mut self, change: Change, source: Source) -> Result<(), SettingsFault> {
        match self.changes.entry(change.setting()) {
            Entry::Vacant(free) => drop(free.insert((change, source))),
            Entry::Occupied(taken) if taken.get().0 == change => {}
            Entry::Occupied(taken) => {
                let (other, place) = taken.get();
                let name = change.setting().name();
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

    pub(crate) fn take(&mut self, setting: Setting) -> Option<(Change, Source)> {
        self.changes.remove(&setting)
    }

    pub(crate) fn into_changes(self) -> impl Iterator<Item = (Change, Source)> {
        self.changes.into_values()
    }
}

/// What to write instead of a name that is not known.
pub(crate) fn unknown(name: &str, place: Place) -> String {
    match pool_sql::nearest(name, &known(place)) {
        Some(nearest) => format!("no such setting; did you mean {nearest}?"),
        None => "no such setting".into(),
    }
}
