//! [`Term`]: a value as settings write it.

use std::time::Duration;

use pool_core::duration;
use pool_core::{Reuse, Validation};
use pool_sql::Secret;

/// A value that is read from text and written as text; what is written is read as the same.
pub(crate) trait Term: Sized {
    /// Reads the value, or says what would be right.
    fn read(text: &str) -> Result<Self, String>;
    fn show(&self) -> String;
}

impl Term for String {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

/// It is not shown.
impl Term for Secret {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.trim().to_owned().into())
    }

    fn show(&self) -> String {
        "(not shown)".into()
    }
}

impl Term for u32 {
    fn read(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| format!("want a number from 0 to {}", Self::MAX))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Term for usize {
    fn read(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| "want a number".into())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Term for f64 {
    fn read(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| "want a number such as 0.2".into())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Term for bool {
    fn read(text: &str) -> Result<Self, String> {
        match &*text.trim().to_ascii_lowercase() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err("want true or false".into()),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Of a number alone, in seconds: more is meant in another unit.
const LONGEST: f64 = 10.0 * 365.0 * 86_400.0;

impl Term for Duration {
    fn read(text: &str) -> Result<Self, String> {
        if text.trim().parse().is_ok_and(|seconds: f64| seconds > LONGEST) {
            return Err("a number alone is in seconds, and those are years: want a unit, such as \
                        15m or 250ms"
                .into());
        }
        duration::parse(text).map_err(|error| error.to_string())
    }

    fn show(&self) -> String {
        duration::print(*self)
    }
}

impl Term for Option<u32> {
    fn read(text: &str) -> Result<Self, String> {
        match text.trim().eq_ignore_ascii_case("none") {
            true => Ok(None),
            false => u32::read(text).map(Some).map_err(|want| format!("{want}, or none")),
        }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "none".into(), Term::show)
    }
}

impl Term for Option<Duration> {
    /// SQLAlchemy and Go write -1 for none.
    fn read(text: &str) -> Result<Self, String> {
        match &*text.trim().to_ascii_lowercase() {
            "none" | "never" | "off" | "-1" => Ok(None),
            _ => Duration::read(text).map(Some).map_err(|want| format!("{want}, or none")),
        }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "none".into(), Term::show)
    }
}

impl Term for Validation {
    fn read(text: &str) -> Result<Self, String> {
        match &*text.trim().to_ascii_lowercase() {
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => match duration::parse(text) {
                Ok(idle) => Ok(Self::IfIdleFor(idle)),
                Err(_) => Err("want always, never, or the idle time after which a connection is \
                               tested, such as 5s"
                    .into()),
            },
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Always => "always".into(),
            Self::Never => "never".into(),
            Self::IfIdleFor(idle) => idle.show(),
            other => format!("{other:?}"),
        }
    }
}

impl Term for Reuse {
    fn read(text: &str) -> Result<Self, String> {
        match &*text.trim().to_ascii_lowercase() {
            "lifo" => Ok(Self::Lifo),
            "fifo" => Ok(Self::Fifo),
            _ => Err("want lifo or fifo".into()),
        }
    }

    fn show(&self) -> String {
        format!("{self:?}").to_ascii_lowercase()
    }
}

/// A value that is one of a few words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $($(#[$variant_doc:meta])* $variant:ident = $word:literal $(| $alias:literal)*,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// The word for it in settings.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        /// Reads the word, in any case. The error says which there are.
        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match &*text.trim().to_ascii_lowercase().replace('_', "-") {
                    $($word $(| $alias)* => Ok(Self::$variant),)*
                    _ => Err(format!("want one of {}", [$($word),*].join(", "))),
                }
            }
        }

        impl $crate::term::Term for $name {
            fn read(text: &str) -> Result<Self, String> {
                text.parse()
            }

            fn show(&self) -> String {
                self.as_str().into()
            }
        }
    };
}
pub(crate) use words;
