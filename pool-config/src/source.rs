//! [`Source`]: where a setting's value comes from.

use std::fmt;

use crate::setting::Setting;

/// Where a setting's value comes from; the first of them that has one counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// The backend's own value.
    Default,
}

impl Source {
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
