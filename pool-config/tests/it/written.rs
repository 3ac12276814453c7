//! Settings as documents write them: lines of a shell, and Python's dictionaries.

use std::time::Duration;

use pool_config::{Loaded, Loader, PoolSettings};
use pool_core::{PoolConfig, Validation};

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
    PoolSettings::new(
        entries.map(|(key, value)| (key.trim().trim_matches('"'), value.trim().trim_matches('"'))),
    )
}

pub(crate) fn load_env(lines: &str) -> Loaded {
    Loader::new().env_from(variables(lines)).load().unwrap()
}

pub(crate) fn load_dictionary(text: &str) -> Loaded {
    Loader::new().file("settings", &dictionary(text)).load().unwrap()
}

/// That the settings are the defaults but for these, which stand in `name=value` words, times in
/// seconds.
#[track_caller]
pub(crate) fn assert_pool(loaded: &Loaded, wanted: &str) {
    let mut expected = PoolConfig::default();
    for word in wanted.split_whitespace() {
        let (name, value) = word.split_once('=').expect("name=value");
        let number = || value.parse::<u32>().expect("a number");
        let time = || match value {
            "none" => None,
            seconds => Some(Duration::from_secs(seconds.parse().expect("seconds"))),
        };
        match name {
            "max_size" => expected.max_size = number(),
            "min_size" => expected.min_size = number(),
            "max_idle" => expected.max_idle = Some(number()),
            "acquire_timeout" => expected.acquire_timeout = time(),
            "connect_timeout" => expected.connect_timeout = time().expect("a time"),
            "idle_timeout" => expected.idle_timeout = time(),
            "max_lifetime" => expected.max_lifetime = time(),
            "keepalive" => expected.keepalive = time(),
            "leak_after" => expected.leak_after = time(),
            "validation" if value == "always" => expected.validation = Validation::Always,
            "validation" if value == "never" => expected.validation = Validation::Never,
            _ => panic!("{word}"),
        }
    }
    assert_eq!(loaded.config, expected, "\n{loaded}");
    assert_eq!(loaded.warnings, [""; 0]);
}
