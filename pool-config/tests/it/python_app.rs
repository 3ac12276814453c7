//! A writing application in Python: SQLite in development, Supabase in production.

use std::time::Duration;

use pool_config::{Backend, Loader, Preset, Setting, SslMode};

use crate::written::{assert_pool, load_env, variables};

const LINES: &str = "
    DB_POOL_MIN_CONNECTIONS=3          # Minimum pool connections
    DB_POOL_MAX_CONNECTIONS=15         # Maximum pool connections
    DB_POOL_MAX_IDLE_TIME=300          # seconds
    DB_POOL_CONNECTION_TIMEOUT=30      # seconds
    DB_POOL_HEALTH_CHECK_INTERVAL=60   # seconds
    DB_POOL_ENABLE_METRICS=true
    SQLITE_DB_PATH=development.db";

#[test]
fn its_variables_mean_what_they_say() {
    let loaded = load_env(LINES);
    let pool = "min_size=3 max_size=15 idle_timeout=300 acquire_timeout=30 keepalive=60";
    assert_pool(&loaded, pool);
    assert!(loaded.metrics());
    assert!(!load_env("DB_POOL_ENABLE_METRICS=false").metrics());
}

#[test]
fn the_mode_says_which_database_is_used() {
    let url = "DATABASE_URL=postgres://me:secret@db.example.supabase.co:6543/postgres";
    let sqlite = load_env(&format!("{LINES}\nDATABASE_MODE=sqlite\n{url}")).database.unwrap();
    assert_eq!((sqlite.backend, sqlite.url.expose()), (Backend::Sqlite, "development.db"));

    let other = "DATABASE_MODE=sqlite\nSQLITE_DB_PATH=a.db\nDATABASE_URL=mysql://h/d?max_size=x";
    assert_eq!(load_env(other).config.max_size, 15, "a URL that is not used says nothing");

    let supabase = load_env(&format!("{LINES}\nDATABASE_MODE=supabase\n{url}"));
    let database = supabase.database.as_ref().unwrap();
    assert_eq!(database.backend, Backend::Postgres);
    assert!(database.is_supabase && database.url.expose().starts_with("postgres://me:secret@"));
    assert_eq!(supabase.config.max_size, 15, "what is said counts, not the preset");
    assert_eq!(supabase.ssl_mode(), Some(SslMode::Require));

    let alone = load_env(&format!("DATABASE_MODE=supabase\n{url}"));
    assert_eq!((alone.config.min_size, alone.config.max_size), (2, 8));
    assert_eq!(alone.source(Setting::MaxSize).to_string(), "preset supabase");

    let file = load_env(LINES).database.unwrap();
    assert_eq!((file.backend, file.url.expose()), (Backend::Sqlite, "development.db"));
}

#[test]
fn all_its_variables_together_are_taken() {
    let loaded = Loader::new()
        .env_from(variables(&format!("{LINES}\nDATABASE_MODE=supabase # 'supabase' or 'sqlite'")))
        .load()
        .unwrap();
    assert_eq!((loaded.config.min_size, loaded.config.max_size), (3, 15));
    assert_eq!(loaded.ssl_mode(), Some(SslMode::Require));
    assert_eq!(loaded.database, None);
    let warning = "DATABASE_MODE in the environment is supabase, but DATABASE_URL is not set: no \
                   database";
    assert_eq!(loaded.warnings, [warning]);
}

#[test]
fn the_mode_and_the_rest_go_together() {
    for (lines, said) in [
        ("DATABASE_MODE=mysql\nDATABASE_URL=postgres://h/d", "not of postgres"),
        (
            "SQLITE_DB_PATH=x.db\nDATABASE_URL=postgres://h/d",
            "want DATABASE_MODE, in a file database_mode, to say",
        ),
        ("DATABASE_MODE=oracle", "want one of sqlite, supabase, postgres, mysql"),
    ] {
        let error = Loader::new().env_from(variables(lines)).load().unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let form = "DATABASE_MODE=postgres\nDATABASE_URL=host=h dbname=d";
    assert_eq!(load_env(form).database.unwrap().url.expose(), "host=h dbname=d");
}

#[test]
fn its_defaults_are_presets() {
    for (preset, sizes) in [("sqlite_app", (3, 15)), ("supabase", (2, 8))] {
        let loaded = Loader::new().preset(Preset::named(preset).unwrap()).load().unwrap();
        assert_eq!((loaded.config.min_size, loaded.config.max_size), sizes);
        assert_eq!(loaded.config.keepalive, Some(Duration::from_secs(60)));
    }
    let sqlite = load_env("DATABASE_MODE=sqlite\nSQLITE_DB_PATH=development.db");
    assert_eq!((sqlite.config.min_size, sqlite.config.max_size), (3, 15));
}
