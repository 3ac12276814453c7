//! [`SettingsError`]: all that is wrong with the settings, with where it stands and what would be
//! right.

use std::fmt;

/// All that is wrong with the settings, at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    pub(crate) faults: Vec<SettingsFault>,
    pub(crate) warnings: Vec<String>,
}

/// One thing that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SettingsFault {
    /// Where it stands: `DB_MAX_OPEN_CONNS in the environment`.
    pub place: String,
    /// What stands there, unless it may be a secret.
    pub value: Option<String>,
    /// What would be right.
    pub expected: String,
}

impl SettingsFault {
    pub(crate) fn new(place: impl fmt::Display, value: Option<&str>, expected: String) -> Self {
        let value = value.filter(|value| !may_be_secret(value));
        Self { place: place.to_string(), value: value.map(cut), expected }
    }
}

/// Whether a value looks like a URL, or has a password in it, that stands in the wrong place.
fn may_be_secret(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    ["://", "@", "password", "secret", "token"].iter().any(|part| value.contains(part))
}

/// The beginning of a text; nobody's settings are longer.
fn cut(text: &str) -> String {
    const LONGEST: usize = 40;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text.to_owned(),
    }
}

impl SettingsError {
    /// What is wrong; at least one thing.
    pub fn faults(&self) -> &[SettingsFault] {
        &self.faults
    }

    /// What is odd besides, and may be the reason: names that look like settings and are none.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl fmt::Display for SettingsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, value, expected } = self;
        match value {
            Some(value) => write!(f, "{place} is {value:?}: {expected}"),
            None => write!(f, "{place}: {expected}"),
        }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings make no sense")?;
        for (i, fault) in self.faults.iter().enumerate() {
            write!(f, "{} {fault}", if i == 0 { ":" } else { ";" })?;
        }
        self.warnings.iter().try_for_each(|warning| write!(f, "; {warning}"))
    }
}

impl std::error::Error for SettingsError {}
