//! Settings from everywhere reach the pool that the URL names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pool_any::pool_config::SslMode;
use pool_any::pool_core::{Acquired, Metrics, PoolConfig};
use pool_any::{AnyBuilder, AnyErrorKind, AnyPool, Loader};

use crate::{Place, on_each, soon};

on_each! {
    what_the_environment_says_reaches_the_pool
    other_settings_hold_while_it_runs
    who_is_to_be_told_is_told
    a_pool_whose_acquires_try_once_is_built
}

fn builder(place: &Place, more: &[(&str, &str)]) -> AnyBuilder {
    let url = [("DATABASE_URL", &*place.url)];
    let variables = url.iter().chain(more).copied();
    AnyBuilder::new(Loader::new().env_from(variables)).unwrap()
}

async fn what_the_environment_says_reaches_the_pool(place: Place) {
    let more = [
        ("DB_POOL_ACQUIRE_TIMEOUT", "7s"),
        ("DB_CONN_MAX_LIFETIME", "1h30m"),
        ("DB_POOL_NAME", "shop"),
    ];
    let builder = builder(&place, &more);
    let base = builder.loaded().config.clone();
    let pool = soon(builder.build()).await.unwrap();
    assert_eq!(*pool.config(), base);
    assert_eq!(base.acquire_timeout, Some(Duration::from_secs(7)));
    assert_eq!(base.max_lifetime, Some(Duration::from_secs(5400)));
    assert!(pool.snapshot().write().name.starts_with("shop"));
    // What is not said is the backend's own.
    assert_eq!(pool.config().max_size, place.pool().await.config().max_size);
}

async fn other_settings_hold_while_it_runs(place: Place) {
    let pool = soon(builder(&place, &[]).build()).await.unwrap();
    let new = PoolConfig::clone(&pool.config()).acquire_timeout(Duration::ZERO).name("other");
    let done = pool.reconfigure(&new).unwrap();
    assert_eq!(done.to_string(), "changed acquire_timeout; needs a restart: name");
    let sizes = pool.snapshot();
    let held: Vec<_> = {
        let mut held = Vec::new();
        while let Ok(guard) = pool.acquire().await {
            held.push(guard);
        }
        held
    };
    // A timeout of zero opens nothing: only what is idle is given.
    assert!((1..=sizes.max_size()).contains(&(held.len() as u32)));
    let wrong = PoolConfig::clone(&pool.config()).max_size(0);
    assert_eq!(pool.reconfigure(&wrong).unwrap_err().kind(), AnyErrorKind::Config);
    assert_eq!(pool.config().acquire_timeout, Some(Duration::ZERO));
}

async fn a_pool_whose_acquires_try_once_is_built(place: Place) {
    for _ in 0..5 {
        let pool = soon(builder(&place, &[("DB_POOL_TIMEOUT", "0")]).build()).await.unwrap();
        drop(pool.acquire().await.unwrap());
        pool.close(Duration::from_secs(5)).await;
    }
}

#[derive(Default)]
struct Told(AtomicU32);

impl Metrics for Told {
    fn acquired(&self, _: &Acquired<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

async fn who_is_to_be_told_is_told(place: Place) {
    let told = Arc::new(Told::default());
    let pool = soon(builder(&place, &[]).metrics(told.clone()).build()).await.unwrap();
    let before = told.0.load(Ordering::Relaxed);
    drop(pool.acquire().await.unwrap());
    assert_eq!(told.0.load(Ordering::Relaxed), before + 1);
}

#[tokio::test]
async fn the_pools_parameters_of_a_url_are_known_on_every_database() {
    for place in [Place::sqlite_file(), Place::postgres(), Place::mariadb()] {
        let lead = if place.url.contains('?') { '&' } else { '?' };
        let more = "connection_limit=4&pool_timeout=3&idle_timeout=1m";
        let pool = soon(AnyPool::connect(&format!("{}{lead}{more}", place.url))).await.unwrap();
        let config = pool.config();
        assert_eq!((config.max_size, pool.snapshot().max_size()), (4, 4));
        assert_eq!(config.acquire_timeout, Some(Duration::from_secs(3)));
        assert_eq!(config.idle_timeout, Some(Duration::from_secs(60)));
    }
}

#[tokio::test]
async fn what_is_said_of_tls_holds_over_the_url_if_it_is_stronger() {
    // These servers have no TLS; a file needs none.
    for (place, word) in [(Place::postgres(), "TLS"), (Place::mariadb(), "TLS")] {
        let short = ("DB_POOL_ACQUIRE_TIMEOUT", "20s");
        let asked = builder(&place, &[("DB_SSL_MODE", "require"), short]).build();
        let refused = soon(asked).await.unwrap_err();
        assert!(refused.to_string().contains(word), "{refused}");
        let loader = Loader::new().url(&place.url).ssl_mode(SslMode::VerifyFull);
        let refused = soon(AnyBuilder::new(loader).unwrap().build()).await.unwrap_err();
        assert_eq!(refused.kind(), AnyErrorKind::Unreachable, "{refused}");
        soon(builder(&place, &[("DB_SSL_MODE", "allow")]).build()).await.unwrap();
    }
    soon(builder(&Place::sqlite_memory(), &[("DB_SSL_MODE", "require")]).build()).await.unwrap();
}

#[tokio::test]
async fn the_mode_chooses_among_databases() {
    let (file, server) = (Place::sqlite_file(), Place::postgres());
    let path = file.url.strip_prefix("sqlite:").unwrap();
    for (mode, backend) in [("sqlite", "sqlite"), ("postgres", "postgres")] {
        let loader = Loader::new().env_from([
            ("DATABASE_MODE", mode),
            ("SQLITE_DB_PATH", path),
            ("DATABASE_URL", &server.url),
        ]);
        let pool = soon(AnyBuilder::new(loader).unwrap().build()).await.unwrap();
        assert_eq!(pool.backend().as_str(), backend);
    }
}

#[test]
fn settings_that_make_no_sense_are_one_error() {
    let env = [("DATABASE_URL", "postgres://me:hunter2@h/d"), ("DB_POOL_MIN_SIZE", "99")];
    let error = AnyBuilder::new(Loader::new().env_from(env)).unwrap_err();
    assert_eq!(error.kind(), AnyErrorKind::Config);
    assert_eq!(error.as_settings().unwrap().faults().len(), 1);
    assert!(error.to_string().contains("want min_size at most max_size (10)"), "{error}");

    let error = AnyBuilder::new(Loader::new()).unwrap_err().to_string();
    assert!(error.contains("no database is named: set DATABASE_URL"), "{error}");
    let mode = [("DATABASE_MODE", "supabase")];
    let error = AnyBuilder::new(Loader::new().env_from(mode)).unwrap_err().to_string();
    assert!(error.contains("DATABASE_URL is not set"), "{error}");

    let debug = format!("{:?}", AnyBuilder::new(Loader::new().env_from([env[0]])).unwrap());
    assert!(!debug.contains("hunter2"), "{debug}");
}

#[test]
fn supabase_is_its_own_preset() {
    let env = [
        ("DATABASE_MODE", "supabase"),
        ("DATABASE_URL", "postgres://me:x@db.example:6543/postgres"),
    ];
    let builder = AnyBuilder::new(Loader::new().env_from(env)).unwrap();
    let config = &builder.loaded().config;
    assert_eq!((config.min_size, config.max_size), (2, 8));
    let debug = format!("{builder:?}");
    assert!(debug.contains("Pooler") && debug.contains("Require"), "{debug}");
}
