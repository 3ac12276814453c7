//! A media server in Go: four variables, on SQLite and PostgreSQL.

use pool_config::{LogLevel, Preset};

use crate::written::{assert_pool, load_env};

#[test]
fn its_variables_mean_what_they_say() {
    for (lines, pool) in [
        (
            "DB_MAX_OPEN_CONNS=25
             DB_MAX_IDLE_CONNS=5
             DB_CONN_MAX_LIFETIME=1h
             DB_CONN_MAX_IDLE_TIME=15m",
            "max_size=25 max_idle=5 max_lifetime=3600 idle_timeout=900",
        ),
        (
            "DB_MAX_OPEN_CONNS=100     # Higher concurrency
             DB_MAX_IDLE_CONNS=20
             DB_CONN_MAX_LIFETIME=2h
             DB_CONN_MAX_IDLE_TIME=30m # Less aggressive cleanup",
            "max_size=100 max_idle=20 max_lifetime=7200 idle_timeout=1800",
        ),
        ("DB_MAX_OPEN_CONNS=50\nDB_MAX_IDLE_CONNS=10", "max_size=50 max_idle=10"),
        ("DB_MAX_OPEN_CONNS=10\nDB_MAX_IDLE_CONNS=2", "max_size=10 max_idle=2"),
        (
            "DB_CONN_MAX_LIFETIME=30m\nDB_CONN_MAX_IDLE_TIME=5m",
            "max_lifetime=1800 idle_timeout=300",
        ),
        // As Go prints durations, and its zero.
        (
            "DB_CONN_MAX_LIFETIME=1h0m0s\nDB_CONN_MAX_IDLE_TIME=0",
            "max_lifetime=3600 idle_timeout=none",
        ),
        ("DB_MAX_IDLE_CONNS=-1\nDB_MAX_OPEN_CONNS=4", "max_size=4 max_idle=0"),
        ("DB_MAX_IDLE_CONNS=9\nDB_MAX_OPEN_CONNS=4", "max_size=4 max_idle=4"),
        ("DB_POOL_KEEPALIVE=0\nDB_POOL_LEAK_AFTER=0\nDB_POOL_MIN_SIZE=1", "min_size=1"),
    ] {
        assert_pool(&load_env(lines), pool);
    }
}

#[test]
fn its_defaults_are_presets() {
    for (preset, pool) in [
        ("sqlite", "max_size=25 max_idle=5 max_lifetime=3600 idle_timeout=900"),
        ("postgres", "max_size=100 max_idle=20 max_lifetime=7200 idle_timeout=1800"),
    ] {
        let loaded = pool_config::Loader::new().preset(Preset::named(preset).unwrap()).load();
        assert_pool(&loaded.unwrap(), pool);
        assert_pool(&load_env(&format!("DB_POOL_PRESET={preset}")), pool);
    }
}

#[test]
fn its_log_level_is_known() {
    assert_eq!(load_env("export DB_LOG_LEVEL=info").log_level(), Some(LogLevel::Info));
}
