//! [`Source`]: where a setting's value comes from.

use std::fmt;

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
