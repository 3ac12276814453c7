//! Whatever stands in the environment, in a URL or in a file: valid settings or a whole error.

use pool_config::{Loader, PoolSettings, Preset};
use proptest::prelude::*;

/// A variable with a name that may be known and a value that may be right.
fn variable() -> impl Strategy<Value = (String, String)> {
    let known: Vec<_> = pool_config::words()
        .split('`')
        .filter(|word| word.starts_with("DB_") || word.starts_with("DATABASE_"))
        .map(str::to_owned)
        .collect();
    let name = prop_oneof![4 => proptest::sample::select(known), 1 => "DB_POOL_[A-Z_]{0,12}"];
    (name, value())
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{1,3}",
        "[0-9]{1,3}(ms|s|m|h|M|d)",
        "true|false|none|always|never|lifo|fifo|production|staging|require|prefer|sqlite|-1|0\\.5",
        "(sqlite|postgres|mysql)://[a-z:@/?=&_0-9]{0,30}",
        "\\PC{0,20}",
    ]
}

fn entry() -> impl Strategy<Value = (String, String)> {
    let is_key =
        |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let words = pool_config::words();
    let known: Vec<_> = words.split('`').filter(is_key).map(str::to_owned).collect();
    (proptest::sample::select(known), value())
}

proptest! {
    #[test]
    fn anything_is_valid_or_a_whole_error(
        env in proptest::collection::vec(variable(), 0..6),
        file in proptest::collection::vec(entry(), 0..4),
        url in proptest::option::of("(postgres|mysql|sqlite)://[a-z]{0,3}(\\?([a-z_]{0,16}=[a-z0-9%@]{0,5}&?){0,3})?"),
    ) {
        let settings = PoolSettings::new(file);
        let mut loader = Loader::new().env_from(env).file("file", &settings);
        if let Some(url) = url {
            loader = loader.url(url);
        }
        match loader.load() {
            Ok(loaded) => {
                prop_assert!(loaded.config.validate().is_ok());
                prop_assert!(!loaded.to_string().is_empty());
            }
            Err(error) => {
                prop_assert!(!error.faults().is_empty());
                for fault in error.faults() {
                    prop_assert!(!fault.place.is_empty() && !fault.expected.is_empty(), "{fault}");
                }
            }
        }
    }

    #[test]
    fn what_is_printed_is_read_as_the_same(
        env in proptest::collection::vec(variable(), 0..6),
    ) {
        if let Ok(loaded) = Loader::new().env_from(env).load() {
            let again = Loader::new().env_from(loaded.to_env()).load().unwrap();
            prop_assert_eq!(again.config, loaded.config);
        }
    }

    #[test]
    fn what_is_not_the_pools_stays_in_the_url(
        user in "[a-z]{0,4}", host in "[a-z]{1,4}",
        query in proptest::collection::vec(("(app|options|connect_timeout)", "[a-z0-9]{0,3}"), 0..3),
    ) {
        let query: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let bare = format!("postgres://{user}@{host}/d");
        let join = |parts: &[String]| match parts {
            [] => bare.clone(),
            parts => format!("{bare}?{}", parts.join("&")),
        };
        let mut with = query.clone();
        with.insert(query.len() / 2, "connection_limit=7".to_owned());
        let loaded = Loader::new().url(join(&with)).load().unwrap();
        prop_assert_eq!(loaded.config.max_size, 7);
        let url = loaded.database.unwrap().url;
        prop_assert_eq!(url.expose(), join(&query));
    }
}

#[test]
fn every_preset_is_valid_and_shows_itself() {
    for preset in Preset::all() {
        let loaded = Loader::new().preset(preset).load().unwrap();
        let shown = preset.to_string();
        assert!(shown.starts_with(&format!("# {}: {}", preset.name(), preset.why())), "{shown}");
        assert_eq!(shown.lines().count(), 1 + preset.words().len());
        assert!(!preset.why().is_empty());
        if preset.name() != "default" {
            assert!(loaded.to_string().contains(&format!("preset {}", preset.name())));
        }
    }
}
