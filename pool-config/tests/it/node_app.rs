//! A Node application: Prisma's URL, and three variables.

use pool_config::Setting;

use crate::written::{assert_pool, load_env};

const URL: &str =
    r#"DATABASE_URL="postgresql://user:pass@host:5432/db?connection_limit=20&pool_timeout=10""#;

#[test]
fn its_variables_mean_what_they_say() {
    // What USE_ENHANCED_POOLING=true brings: the preset `production`.
    let enhanced = "acquire_timeout=60 max_lifetime=1800 validation=always";
    for (lines, pool) in [
        (
            "DATABASE_CONNECTION_LIMIT=10
             DATABASE_POOL_TIMEOUT=30
             USE_ENHANCED_POOLING=false",
            "max_size=10 idle_timeout=30".to_owned(),
        ),
        (
            "DATABASE_CONNECTION_LIMIT=20          # Maximum connections in pool
             DATABASE_POOL_TIMEOUT=10              # Idle timeout in seconds
             USE_ENHANCED_POOLING=true",
            format!("max_size=20 max_idle=20 idle_timeout=10 {enhanced}"),
        ),
        (
            "DATABASE_CONNECTION_LIMIT=50
             DATABASE_POOL_TIMEOUT=5
             USE_ENHANCED_POOLING=true",
            format!("max_size=50 max_idle=50 idle_timeout=5 {enhanced}"),
        ),
        (
            "USE_ENHANCED_POOLING=true",
            format!("max_size=75 max_idle=50 idle_timeout=none {enhanced}"),
        ),
        (URL, "max_size=20 acquire_timeout=10".to_owned()),
    ] {
        assert_pool(&load_env(lines), &pool);
    }
}

#[test]
fn its_two_timeouts_are_two_settings() {
    let lines = format!("DATABASE_POOL_TIMEOUT=10\nDATABASE_CONNECTION_LIMIT=20\n{URL}");
    let loaded = load_env(&lines);
    assert_pool(&loaded, "max_size=20 idle_timeout=10 acquire_timeout=10");
    let sources = [Setting::MaxSize, Setting::IdleTimeout, Setting::AcquireTimeout]
        .map(|setting| loaded.source(setting).to_string());
    assert_eq!(
        sources,
        [
            "DATABASE_CONNECTION_LIMIT in the environment",
            "DATABASE_POOL_TIMEOUT in the environment",
            "pool_timeout in the URL",
        ]
    );
    let url = loaded.database.unwrap().url;
    assert_eq!(url.expose(), "postgresql://user:pass@host:5432/db");
}

#[test]
fn in_its_url_no_timeout_waits_for_ever() {
    let lines = "DATABASE_URL=postgres://h/d?pool_timeout=0";
    assert_pool(&load_env(lines), "acquire_timeout=none");
    let lifetimes = "max_idle_connection_lifetime=60&max_connection_lifetime=300";
    let lines = format!("DATABASE_URL=postgres://h/d?{lifetimes}");
    assert_pool(&load_env(&lines), "idle_timeout=60 max_lifetime=300");
}
