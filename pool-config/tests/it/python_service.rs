//! A Python service with SQLAlchemy's settings.

use std::time::Duration;

use pool_config::{Loaded, Loader, PoolSettings, Preset, Setting};
use pool_core::PoolConfig;

use crate::written::{assert_pool, dictionary, load_dictionary, load_env, variables};

const DEVELOPMENT: &str = r#"{
    "pool_size": 5,
    "max_overflow": 0,  # No overflow needed
    "pool_pre_ping": False,
    "pool_recycle": 3600,
    "echo_pool": True
}"#;

const TESTING: &str = r#"{
    "pool_size": 1,
    "max_overflow": 0,
    "pool_pre_ping": False,
    "pool_recycle": 3600
}"#;

const STAGING: &str = r#"{
    "pool_size": 15,
    "max_overflow": 10,
    "pool_pre_ping": True,
    "pool_recycle": 1800
}"#;

const PRODUCTION: &str = r#"{
    "pool_size": 50,
    "max_overflow": 25,
    "pool_pre_ping": True,
    "pool_recycle": 1800,
    "pool_timeout": 60
}"#;

const VPS_LITE: &str = r#"{
    "pool_size": 20,
    "max_overflow": 10,
    "pool_pre_ping": True,
    "pool_recycle": 1800,
    "pool_timeout": 30
}"#;

const RASPBERRY_PI: &str = r#"{
    "pool_size": 2,
    "max_overflow": 1,
    "pool_pre_ping": False,
    "pool_recycle": 3600
}"#;

const HIGH_TRAFFIC_WEB: &str = r#"{
    "pool_size": 100,
    "max_overflow": 50,
    "pool_timeout": 10,
    "pool_recycle": 1800,
    "pool_pre_ping": True
}"#;

const BACKGROUND_JOBS: &str = r#"{
    "pool_size": 20,
    "max_overflow": 0,  # Jobs can wait
    "pool_timeout": 300,  # Long timeout OK
    "pool_recycle": 3600,
    "pool_pre_ping": True
}"#;

const MICROSERVICE: &str = r#"{
    "pool_size": 10,
    "max_overflow": 5,
    "pool_timeout": 5,  # Fast failure
    "pool_recycle": 1800,
    "pool_pre_ping": True
}"#;

const ALL: &[(&str, &str, &str)] = &[
    (
        "development",
        DEVELOPMENT,
        "idle_timeout=none max_idle=5 max_size=5 validation=never max_lifetime=3600",
    ),
    (
        "testing",
        TESTING,
        "idle_timeout=none max_idle=1 max_size=1 validation=never max_lifetime=3600",
    ),
    (
        "staging",
        STAGING,
        "idle_timeout=none max_idle=15 max_size=25 validation=always max_lifetime=1800",
    ),
    (
        "production",
        PRODUCTION,
        "idle_timeout=none max_idle=50 max_size=75 validation=always max_lifetime=1800 acquire_timeout=60",
    ),
    (
        "vps_lite",
        VPS_LITE,
        "idle_timeout=none max_idle=20 max_size=30 validation=always max_lifetime=1800 acquire_timeout=30",
    ),
    (
        "raspberry_pi",
        RASPBERRY_PI,
        "idle_timeout=none max_idle=2 max_size=3 validation=never max_lifetime=3600",
    ),
    (
        "high_traffic_web",
        HIGH_TRAFFIC_WEB,
        "idle_timeout=none max_idle=100 max_size=150 validation=always max_lifetime=1800 acquire_timeout=10",
    ),
    (
        "background_jobs",
        BACKGROUND_JOBS,
        "idle_timeout=none max_idle=20 max_size=20 validation=always max_lifetime=3600 acquire_timeout=300",
    ),
    (
        "microservice",
        MICROSERVICE,
        "idle_timeout=none max_idle=10 max_size=15 validation=always max_lifetime=1800 acquire_timeout=5",
    ),
];

#[test]
fn its_dictionaries_and_the_presets_of_their_names_are_the_same_pool() {
    for (name, dictionary, pool) in ALL {
        assert_pool(&load_dictionary(dictionary), pool);
        let preset = Loader::new().preset(Preset::named(name).unwrap()).load().unwrap();
        assert_pool(&preset, pool);
        assert_eq!(preset.log_events(), *name == "development");
    }
}

#[test]
fn its_other_dictionaries_mean_what_they_say() {
    for (dictionary, pool) in [
        (
            // All that its table has by default.
            r#"{"pool_size": 10,
                "max_overflow": 5,
                "pool_timeout": 30,
                "pool_recycle": 1800,
                "pool_pre_ping": True,
                "echo_pool": False}"#,
            "idle_timeout=none max_idle=10 max_size=15 acquire_timeout=30 max_lifetime=1800 validation=always",
        ),
        (
            // Without max_overflow, SQLAlchemy has 10.
            r#"{
                "pool_size": 10,
                "pool_timeout": 30,
                "pool_recycle": 3600
            }"#,
            "idle_timeout=none max_idle=10 max_size=20 acquire_timeout=30 max_lifetime=3600",
        ),
        (
            r#"{
                "pool_size": 30,
                "max_overflow": 15,
                "pool_timeout": 30,
                "pool_recycle": 1800,
                "pool_pre_ping": True
            }"#,
            "idle_timeout=none max_idle=30 max_size=45 acquire_timeout=30 max_lifetime=1800 validation=always",
        ),
        (r#""pool_recycle": -1,"#, "max_lifetime=none"),
    ] {
        assert_pool(&load_dictionary(dictionary), pool);
    }
}

#[test]
fn the_preset_for_its_database_has_what_its_table_has() {
    let loaded = Loader::new().preset(Preset::named("mysql").unwrap()).load().unwrap();
    let pool = "idle_timeout=none max_idle=10 max_size=15 acquire_timeout=30 max_lifetime=1800 validation=always";
    assert_pool(&loaded, pool);
}

#[test]
fn what_a_dictionary_leaves_out_is_the_presets() {
    let dictionary = dictionary(
        r#"{
            "pool_size": 10,
            "pool_timeout": 30,
            "pool_recycle": 3600
        }"#,
    );
    let loader = Loader::new().file("settings", &dictionary);
    let loaded = loader.preset(Preset::named("mysql").unwrap()).load().unwrap();
    let pool = "idle_timeout=none max_idle=10 max_size=15 acquire_timeout=30 max_lifetime=3600 validation=always";
    assert_pool(&loaded, pool);
}

#[test]
fn its_words_are_known_in_the_environment_too() {
    let lines = "DB_POOL_SIZE=10
                 DB_MAX_OVERFLOW=5
                 DB_POOL_TIMEOUT=5
                 DB_POOL_RECYCLE=1800
                 DB_POOL_PRE_PING=true
                 DB_POOL_ECHO=true";
    let loaded = load_env(lines);
    let pool = "idle_timeout=none max_idle=10 max_size=15 acquire_timeout=5 max_lifetime=1800 validation=always";
    assert_pool(&loaded, pool);
    assert!(loaded.log_events());
}

#[test]
fn two_of_its_sizes_and_ours_determine_the_third() {
    for (lines, pool) in [
        ("DB_POOL_SIZE=10\nDB_POOL_MAX_SIZE=12", "idle_timeout=none max_idle=10 max_size=12"),
        (
            "DB_POOL_MAX_OVERFLOW=5\nDB_MAX_CONNECTIONS=20",
            "idle_timeout=none max_idle=15 max_size=20",
        ),
        (
            "DB_POOL_SIZE=10\nDB_MAX_OVERFLOW=5\nDB_MAX_CONNECTIONS=15",
            "idle_timeout=none max_idle=10 max_size=15",
        ),
        ("DB_POOL_MAX_OVERFLOW=5", "idle_timeout=none max_idle=5 max_size=10"),
        (
            "DB_POOL_PRESET=staging\nDB_POOL_MAX_OVERFLOW=5",
            "idle_timeout=none max_idle=15 max_size=20 validation=always max_lifetime=1800",
        ),
        (
            "DB_POOL_PRESET=staging\nDB_POOL_MAX_SIZE=10",
            "idle_timeout=none max_idle=10 max_size=10 validation=always max_lifetime=1800",
        ),
        // max_idle is pool_size by another name.
        (
            "DB_POOL_PRESET=sqlite\nDB_MAX_OVERFLOW=2",
            "idle_timeout=900 max_idle=5 max_size=7 max_lifetime=3600",
        ),
        (
            "DB_POOL_PRESET=sqlite\nDB_MAX_OVERFLOW=2\nDB_POOL_MAX_SIZE=20",
            "idle_timeout=900 max_idle=18 max_size=20 max_lifetime=3600",
        ),
        (
            "DB_POOL_PRESET=staging\nDB_MAX_OVERFLOW=2\nDB_POOL_MAX_SIZE=20\nDB_POOL_MAX_IDLE=8",
            "idle_timeout=none max_idle=8 max_size=20 validation=always max_lifetime=1800",
        ),
    ] {
        assert_pool(&load_env(lines), pool);
    }
}

/// There they stay however long nobody uses them.
#[test]
fn its_connections_stay_unless_something_else_is_said() {
    let idle = |lines: &str| {
        let pooler = |config: PoolConfig| config.idle_timeout(Duration::from_secs(30));
        let [own, behind_a_pooler] = [
            Loader::new().env_from(variables(lines)),
            Loader::new().env_from(variables(lines)).defaults(pooler),
        ]
        .map(|loader| loader.load().unwrap());
        let source = own.source(Setting::IdleTimeout).to_string();
        let secs = |loaded: Loaded| loaded.config.idle_timeout.map(|idle| idle.as_secs());
        (secs(own), secs(behind_a_pooler), source)
    };
    let said = |name: &str| format!("{name} in the environment");
    assert_eq!(idle("DB_POOL_SIZE=5"), (None, Some(30), said("DB_POOL_SIZE")));
    let other = "DB_POOL_SIZE=5\nDB_CONN_MAX_IDLE_TIME=60";
    assert_eq!(idle(other), (Some(60), Some(60), said("DB_CONN_MAX_IDLE_TIME")));
    assert_eq!(idle("DB_POOL_MAX_SIZE=5"), (Some(600), Some(30), "default".into()));
}

/// The file is weaker than the URL, that than the environment.
fn sized(env: &str, url: &str, file: &[(&str, &str)]) -> (u32, Option<u32>, [String; 2]) {
    let file = PoolSettings::new(file.iter().copied());
    let mut loader = Loader::new().env_from(variables(env)).file("f", &file);
    if !url.is_empty() {
        loader = loader.url(format!("postgres://h/d?{url}"));
    }
    let loaded = loader.load().unwrap();
    let sources = [Setting::MaxSize, Setting::MaxIdle].map(|of| loaded.source(of).to_string());
    (loaded.config.max_size, loaded.config.max_idle, sources)
}

#[test]
fn of_sizes_that_do_not_agree_the_weakest_gives_way() {
    let (limit, env) = ("connection_limit in the URL", "in the environment");
    for (lines, url, file, (max_size, max_idle), [first, second]) in [
        ("DB_POOL_SIZE=10", "", &[("max_size", "50")][..], (50, 10), ["max_size in f", env]),
        ("DB_POOL_SIZE=5", "connection_limit=8", &[], (8, 5), [limit, env]),
        ("DB_MAX_OVERFLOW=5", "connection_limit=30", &[], (30, 25), [limit, limit]),
        ("DB_POOL_SIZE=10\nDB_POOL_PRESET=sqlite", "", &[], (25, 10), ["preset sqlite", env]),
        (
            "DB_MAX_OVERFLOW=5\nDB_POOL_PRESET=staging",
            "",
            &[("max_idle", "3")],
            (20, 3),
            ["DB_MAX_OVERFLOW", "max_idle in f"],
        ),
        (
            "DB_MAX_OVERFLOW=5\nDB_POOL_PRESET=staging",
            "",
            &[],
            (20, 15),
            ["DB_MAX_OVERFLOW", "preset staging"],
        ),
        (
            "DB_POOL_SIZE=10",
            "",
            &[("max_size", "20"), ("max_overflow", "5")],
            (15, 10),
            ["DB_POOL_SIZE", env],
        ),
        ("DB_POOL_PRESET=staging\nDB_MAX_CONNECTIONS=8", "", &[], (8, 8), [env, env]),
        (
            "DB_MAX_OPEN_CONNS=20\nDB_MAX_IDLE_CONNS=30",
            "",
            &[("max_overflow", "5")],
            (20, 20),
            ["DB_MAX_OPEN_CONNS", env],
        ),
    ] {
        let (size, idle, [of_size, of_idle]) = sized(lines, url, file);
        assert_eq!((size, idle), (max_size, Some(max_idle)), "{lines} {url} {file:?}");
        assert!(of_size.contains(first), "{lines}: {of_size}");
        assert!(of_idle.contains(second), "{lines}: {of_idle}");
    }
}

#[test]
fn sizes_that_cannot_be_are_said() {
    for (lines, said) in [
        ("DB_POOL_SIZE=10\nDB_MAX_CONNECTIONS=5", "want max_size at least 10 (DB_POOL_SIZE"),
        ("DB_POOL_SIZE=10\nDB_POOL_MAX_IDLE=5", "want the pool_size 10 (DB_POOL_SIZE"),
        ("DB_POOL_SIZE=4294967295", "want a sum of pool_size and max_overflow"),
        ("DB_MAX_OVERFLOW=-1", "want a number from 0"),
    ] {
        let error = Loader::new().env_from(variables(lines)).load().unwrap_err();
        assert_eq!(error.faults().len(), 1, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn its_words_for_ever_and_for_everything_are_known() {
    for (dictionary, pool) in
        [(r#""echo_pool": "debug""#, ""), (r#""pool_timeout": 0"#, "acquire_timeout=0")]
    {
        let loaded = load_dictionary(dictionary);
        assert_pool(&loaded, pool);
        assert_eq!(loaded.log_events(), pool.is_empty());
    }
}
