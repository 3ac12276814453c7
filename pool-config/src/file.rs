//! [`PoolSettings`]: the part of a configuration file that is about the pool.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// The part of a configuration file that is about the pool, for a field of your own configuration
/// struct. It reads a table of any format that serde reads, with the words of
/// [WORDS.md](crate#words): `max_size = 20`, `pool_size = 10`, `idle_timeout = "10m"`.
///
/// Values are read when they are loaded, together with those from everywhere else, so that all that
/// is wrong is said at once.
///
/// ```
/// use pool_config::{Loader, PoolSettings};
///
/// #[derive(serde::Deserialize)]
/// struct App {
///     listen: String,
///     database: PoolSettings,
/// }
///
/// let app: App = serde_json::from_str(
///     r#"{"listen": "[::]:80", "database": {"max_size": 20, "idle_timeout": "1h30m"}}"#,
/// )?;
/// let loaded = Loader::new().file("app.json", &app.database).load()?;
/// assert_eq!(loaded.config.max_size, 20);
/// # assert_eq!(app.listen, "[::]:80");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PoolSettings {
    /// A value that is none stands for nothing, such as `null`.
    pub(crate) entries: Vec<(String, Option<String>)>,
}

impl PoolSettings {
    /// From words and their values.
    pub fn new<W: Into<String>, V: Into<String>>(
        entries: impl IntoIterator<Item = (W, V)>,
    ) -> Self {
        let entries = entries.into_iter().map(|(word, value)| (word.into(), Some(value.into())));
        Self { entries: entries.collect() }
    }
}

/// The words; a URL may be among the values.
impl fmt::Debug for PoolSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries.iter().map(|(word, _)| word)).finish()
    }
}

impl<'de> Deserialize<'de> for PoolSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;

        impl<'de> Visitor<'de> for Table {
            type Value = PoolSettings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of pool settings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PoolSettings, A::Error> {
                let mut entries = Vec::new();
                while let Some((word, Scalar(value))) = map.next_entry()? {
                    entries.push((word, value));
                }
                Ok(PoolSettings { entries })
            }
        }
        deserializer.deserialize_map(Table)
    }
}

/// A value as text, or nothing.
struct Scalar(Option<String>);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a text, true or false")
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar(Some(value.to_string())))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar(Some(value.to_string())))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar(Some(value.to_string())))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar(Some(value.to_string())))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Scalar, E> {
                Ok(Scalar(Some(value.into())))
            }

            fn visit_unit<E: Error>(self) -> Result<Scalar, E> {
                Ok(Scalar(None))
            }

            fn visit_none<E: Error>(self) -> Result<Scalar, E> {
                self.visit_unit()
            }

            fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<Scalar, D::Error> {
                value.deserialize_any(self)
            }

            /// As [`PoolConfig`](pool_core::PoolConfig) writes its validation.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
                let entry: Option<(String, Scalar)> = map.next_entry()?;
                let more = map.next_entry::<String, Scalar>()?;
                match (entry, more) {
                    (Some((word, value)), None) if word == "if_idle_for" => Ok(value),
                    _ => Err(A::Error::custom("want one value, or if_idle_for with its time")),
                }
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use pool_core::PoolConfig;

    use super::*;
    use crate::Loader;

    #[test]
    fn a_table_of_all_kinds_of_values_is_read() {
        let json = r#"{"max_size": 20, "lifetime_jitter": 0.1, "pool_pre_ping": true,
            "idle_timeout": null, "reuse": "fifo", "validation": {"if_idle_for": "3s"}}"#;
        let settings: PoolSettings = serde_json::from_str(json).unwrap();
        let values: Vec<_> = settings.entries.iter().map(|(_, value)| value.as_deref()).collect();
        let wanted = [Some("20"), Some("0.1"), Some("true"), None, Some("fifo"), Some("3s")];
        assert_eq!(values, wanted);
    }

    #[test]
    fn null_says_nothing_but_where_it_is_no_limit() {
        let json = r#"{"name": null, "sqlite_path": null, "max_size": null, "max_lifetime": null}"#;
        let loader = Loader::new().file("f", &serde_json::from_str(json).unwrap());
        let loaded = loader.load().unwrap();
        assert_eq!(loaded.config, PoolConfig::default().max_lifetime(None));
        assert_eq!(loaded.database, None);
    }

    #[test]
    fn debug_shows_no_value() {
        let settings = PoolSettings::new([("url", "postgres://me:secret@host/db")]);
        assert_eq!(format!("{settings:?}"), r#"{"url"}"#);
    }
}
