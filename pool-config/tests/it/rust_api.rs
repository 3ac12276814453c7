//! A service in Rust with sqlx: variables, and a struct.

use std::time::Duration;

use pool_config::SslMode as PgSslMode;
use pool_config::{DatabaseConfig, Loader, Preset, Setting, Source};

use crate::written::{assert_pool, load_env, variables};

const SERVICE: &str = "connect_timeout=10 idle_timeout=600 max_lifetime=1800 acquire_timeout=5 \
                       validation=always";

#[test]
fn its_variables_mean_what_they_say() {
    let loaded = load_env(
        "DB_MIN_CONNECTIONS=2          # (default: 2)
         DB_MAX_CONNECTIONS=10         # (default: 10)
         DB_SSL_MODE=prefer
         DATABASE_URL=postgresql://user:password@localhost:5432/app",
    );
    assert_eq!((loaded.config.min_size, loaded.config.max_size), (2, 10));
    assert_eq!(loaded.ssl_mode(), Some(PgSslMode::Prefer));
    for (lines, pool) in [
        ("DB_MIN_CONNECTIONS=5\nDB_MAX_CONNECTIONS=50", "min_size=5 max_size=50"),
        ("DB_MIN_CONNECTIONS=2\nDB_MAX_CONNECTIONS=10", "min_size=2 max_size=10"),
        ("DB_MIN_CONNECTIONS=1\nDB_MAX_CONNECTIONS=3", "min_size=1 max_size=3"),
    ] {
        assert_pool(&load_env(lines), pool);
    }
}

#[test]
fn all_six_modes_of_tls_are_known() {
    let words = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
    let modes = words.map(|word| load_env(&format!("DB_SSL_MODE={word}")).ssl_mode().unwrap());
    assert_eq!(modes.map(PgSslMode::as_str), words);
    assert!(modes.is_sorted());
}

#[test]
fn its_struct_maps_one_to_one() {
    let config = DatabaseConfig {
        min_connections: 5,
        max_connections: 20,
        connect_timeout: Duration::from_secs(10),
        idle_timeout: Some(Duration::from_secs(600)), // 10 minutes
        max_lifetime: Some(Duration::from_secs(1800)), // 30 minutes
        acquire_timeout: Duration::from_secs(5),
        ssl_mode: PgSslMode::Require,
        test_before_acquire: true,
    };
    let loaded = Loader::new().database_config(&config).load().unwrap();
    assert_pool(&loaded, &format!("min_size=5 max_size=20 {SERVICE}"));
    assert_eq!(loaded.ssl_mode(), Some(PgSslMode::Require));
}

#[test]
fn its_defaults_are_a_preset_too() {
    let default = Loader::new().database_config(&DatabaseConfig::default()).load().unwrap();
    let preset = Loader::new().preset(Preset::named("service").unwrap()).load().unwrap();
    for loaded in [default, preset] {
        assert_pool(&loaded, &format!("min_size=2 max_size=10 {SERVICE}"));
        assert_eq!(loaded.ssl_mode(), Some(PgSslMode::Prefer));
    }
}

#[test]
fn production_requires_tls() {
    let url = "postgres://h/d?sslmode=disable";
    let config = DatabaseConfig::production();
    let loaded = Loader::new().url(url).database_config(&config).load().unwrap();
    assert_eq!(loaded.ssl_mode(), Some(PgSslMode::Require));
    assert_eq!(loaded.source(Setting::SslMode), Source::Code);
    let preset = Loader::new().preset(Preset::named("service_production").unwrap());
    assert_eq!(preset.load().unwrap().ssl_mode(), Some(PgSslMode::Require));
}

#[test]
fn its_workloads_are_presets() {
    for (preset, sizes) in [
        ("api_server", "min_size=5 max_size=50"),
        ("worker", "min_size=2 max_size=10"),
        ("scheduler", "min_size=1 max_size=3"),
    ] {
        let loaded = Loader::new().preset(Preset::named(preset).unwrap()).load().unwrap();
        assert_pool(&loaded, &format!("{sizes} {SERVICE}"));
    }
}

#[test]
fn a_mode_weaker_than_the_urls_is_said() {
    let lines = "DB_SSL_MODE=prefer\nDATABASE_URL=postgres://h/d?sslmode=verify-full";
    let loaded = Loader::new().env_from(variables(lines)).load().unwrap();
    assert_eq!(loaded.ssl_mode(), Some(PgSslMode::Prefer));
    let warning = "ssl_mode is prefer by DB_SSL_MODE in the environment: weaker than the URL's \
                   verify-full";
    assert_eq!(loaded.warnings, [warning]);
    let stronger = "DB_SSL_MODE=verify-full\nDATABASE_URL=postgres://h/d?sslmode=prefer";
    assert_eq!(load_env(stronger).warnings, [""; 0]);
}
