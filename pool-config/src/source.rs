//! [`Source`]: where a setting's value comes from.

use std::fmt;

use crate::setting::Setting;

/// Where a setting's value comes from; the first of them that has one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The program.
    Code,
    /// A variable of the environment, by its name.
    Environment(String),
    /// A parameter of the URL, by its name.
    Url(String),
    /// An entry of a file.
    File {
        /// The file, as the program calls it.
        file: String,
        /// The entry's name.
        key: String,
    },
    /// A preset, by its name.
    Preset(&'static str),
    /// Nobody said anything: the backend's own value, or the program's for that case.
    Default,
}

impl Source {
    /// Whether it counts over another one.
    pub(crate) fn is_stronger_than(&self, other: &Self) -> bool {
        let rank = |source: &Self| match source {
            Self::Code => 0,
            Self::Environment(_) => 1,
            Self::Url(_) => 2,
            Self::File { .. } => 3,
            Self::Preset(_) => 4,
            Self::Default => 5,
        };
        rank(self) < rank(other)
    }

    /// Where a setting stands, by its name there if it has one, else by its own.
    pub(crate) fn of(&self, setting: Setting) -> String {
        match self {
            Self::Environment(_) | Self::Url(_) | Self::File { .. } => self.to_string(),
            Self::Code | Self::Preset(_) | Self::Default => format!("{} ({self})", setting.name()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code => f.write_str("the program"),
            Self::Environment(name) => write!(f, "{name} in the environment"),
            Self::Url(name) => write!(f, "{name} in the URL"),
            Self::File { file, key } => write!(f, "{key} in {file}"),
            Self::Preset(name) => write!(f, "preset {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}
