//! Settings as documents write them: lines of a shell, and Python's dictionaries.

use pool_config::{Loaded, Loader, PoolSettings};
use pool_core::PoolConfig;

/// The variables of lines such as `export NAME="value"   # a comment`.
pub(crate) fn variables(lines: &str) -> Vec<(String, String)> {
    let lines = lines.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pairs = lines.map(|line| {
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').expect("NAME=value");
        (name.to_owned(), value.trim().trim_matches('"').to_owned())
    });
    pairs.collect()
}

/// The entries of a dictionary of Python's.
pub(crate) fn dictionary(text: &str) -> PoolSettings {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let lines = lines.map(|line| line.trim_matches(['{', '}', ',', ' ']));
    let entries = lines.filter_map(|line| line.split_once(':'));
    PoolSettings::new(entries.map(|(key, value)| (key.trim().trim_matches('"'), value.trim())))
}

pub(crate) fn load_env(lines: &str) -> Loaded {
    Loader::new().env_from(variables(lines)).load().unwrap()
}

pub(crate) fn load_dictionary(text: &str) -> Loaded {
    Loader::new().file("settings", &dictionary(text)).load().unwrap()
}

/// That the settings are the defaults but for these, which stand in `name=value` words.
#[track_caller]
pub(crate) fn assert_pool(loaded: &Loaded, wanted: &str) {
    let changed = loaded.config.clone();
    let lines: Vec<_> = wanted
        .split_whitespace()
        .map(|word| word.split_once('=').expect("name=value"))
        .map(|(name, value)| (format!("DB_POOL_{}", name.to_uppercase()), value.to_owned()))
        .collect();
    let expected = Loader::new().env_from(lines).load().unwrap().config;
    assert_eq!(changed, expected, "\n{loaded}");
    assert_ne!(expected, PoolConfig::default(), "nothing is wanted");
    assert_eq!(loaded.warnings, [""; 0]);
}
