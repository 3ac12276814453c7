//! What is wrong is said at once, with its place and what would be right; secrets are not.

use pool_config::{Loader, PoolSettings, Setting};

use crate::written::variables;

fn error_of(lines: &str) -> String {
    Loader::new().env_from(variables(lines)).load().unwrap_err().to_string()
}

#[test]
fn everything_that_is_wrong_is_one_error() {
    let file = PoolSettings::new([("max_conections", "3"), ("reuse", "newest")]);
    let lines = "DB_POOL_MAX_WAITING=many
                 DB_CONN_MAX_LIFETIME=15M
                 DB_POOL_MIN_CONNECTIONS=12
                 DB_MAX_CONNECTIONS=11
                 DB_POOL_PRE_PING=maybe
                 DATABASE_URL=postgres://me:secret@h/d?pool_timeout=soon";
    let loader = Loader::new().env_from(variables(lines)).file("app.toml", &file);
    let error = loader.load().unwrap_err();
    let places: Vec<_> = error.faults().iter().map(|fault| &*fault.place).collect();
    assert_eq!(
        places,
        [
            "DB_CONN_MAX_LIFETIME in the environment",
            "DB_POOL_MAX_WAITING in the environment",
            "DB_POOL_PRE_PING in the environment",
            "max_conections in app.toml",
            "reuse in app.toml",
            "pool_timeout in the URL",
            "DB_POOL_MIN_CONNECTIONS in the environment",
        ]
    );
    let said = error.to_string();
    for part in [
        "DB_POOL_MAX_WAITING in the environment is \"many\": want a number",
        "is \"15M\": want a duration such as \"15m\"",
        "did you mean max_connections?",
        "want lifo or fifo",
        "is \"12\": want min_size at most max_size (11) [max_size: DB_MAX_CONNECTIONS in the environment]",
    ] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn names_that_disagree_are_named_both() {
    let said = error_of("DB_MAX_OPEN_CONNS=25\nDB_MAX_CONNECTIONS=10");
    assert!(
        said.contains(
            "DB_MAX_OPEN_CONNS in the environment is \"25\": want the same max_size as \
             DB_MAX_CONNECTIONS in the environment (10)"
        ),
        "{said}"
    );
    let agreed = variables("DB_MAX_OPEN_CONNS=10\nDB_MAX_CONNECTIONS=10");
    assert_eq!(Loader::new().env_from(agreed).load().unwrap().config.max_size, 10);

    let said = error_of("DB_POOL_SIZE=10\nDB_MAX_OVERFLOW=5\nDB_MAX_CONNECTIONS=20");
    assert!(said.contains("want max_size 15, pool_size 10 and max_overflow 5"), "{said}");
    let said = error_of("DB_POOL_MAX_IDLE=10\nDB_MAX_OVERFLOW=5\nDB_MAX_CONNECTIONS=20");
    assert!(said.contains("want max_size 15, pool_size 10 and max_overflow 5"), "{said}");
    let said = error_of("USE_ENHANCED_POOLING=true\nDB_POOL_PRESET=staging");
    assert!(said.contains("want the same preset as"), "{said}");
}

#[test]
fn a_minimum_above_a_maximum_that_nobody_set_is_said_with_where_it_is_from() {
    let said = error_of("DB_POOL_MIN_SIZE=12");
    assert!(said.contains("want min_size at most max_size (10) [max_size: default]"), "{said}");
    let said = error_of("DB_POOL_PRESET=scheduler\nDB_MIN_CONNECTIONS=4");
    assert!(said.contains("[max_size: preset scheduler]"), "{said}");
}

#[test]
fn what_means_no_limit_elsewhere_is_refused() {
    for name in ["DB_MAX_OPEN_CONNS", "DB_POOL_SIZE"] {
        let said = error_of(&format!("{name}=0"));
        assert!(said.contains(&format!("{name} in the environment is \"0\"")), "{said}");
        assert!(said.contains("want at least 1"), "{said}");
    }
    assert!(error_of("DB_MAX_CONNECTIONS=0").contains("want max_size at least 1"));
    assert!(error_of("DB_POOL_RECYCLE=0").contains("or -1 for never"));
    assert!(error_of("DB_CONN_MAX_LIFETIME=3600000000000").contains("want a unit"));
}

#[test]
fn what_follows_from_a_fault_is_none_of_its_own() {
    for lines in [
        "DB_MAX_CONNECTIONS=fifty\nDB_MIN_CONNECTIONS=20",
        "DATABASE_MODE=sqllite\nDATABASE_URL=postgres://h/d",
        "DATABASE_MODE=postgres\nDATABASE_URL=postgres://h:1:2/d?connection_limit=x",
    ] {
        let error = Loader::new().env_from(variables(lines)).load().unwrap_err();
        assert_eq!(error.faults().len(), 1, "{error}");
    }
}

#[test]
fn what_may_be_the_reason_is_said_with_the_fault() {
    let said = error_of("DB_POOL_MAX_CONECTIONS=50\nDB_POOL_MIN_CONNECTIONS=20");
    assert!(said.contains("did you mean DB_POOL_MAX_CONNECTIONS?"), "{said}");
}

/// The nearest word by its letters would be another, or the same in other units.
#[test]
fn the_words_of_other_pools_are_translated() {
    for (word, here) in [
        ("maximumPoolSize", "here it is max_size"),
        ("connectionTimeout", "here it is acquire_timeout, in seconds"),
        ("leak-detection-threshold", "here it is leak_after, in seconds"),
        ("query_wait_timeout", "here it is acquire_timeout"),
    ] {
        let file = PoolSettings::new([(word, "30000")]);
        let error = Loader::new().file("app.toml", &file).load().unwrap_err().to_string();
        assert!(error.contains(here), "{error}");
    }
}

#[test]
fn every_parameter_that_is_wrong_is_named() {
    let url = "DATABASE_URL=postgres://h/d?connection_limit=%&pool_timeout=soon&max-idle=x";
    let error = Loader::new().env_from(variables(url)).load().unwrap_err();
    let places: Vec<_> = error.faults().iter().map(|fault| &*fault.place).collect();
    let wanted = ["connection_limit in the URL", "pool_timeout in the URL", "max-idle in the URL"];
    assert_eq!(places, wanted);
}

#[test]
fn an_unknown_scheme_is_refused_whatever_the_mode() {
    for lines in [
        "DATABASE_URL=mssql://h/d",
        "DATABASE_MODE=postgres\nDATABASE_URL=mssql://u:p@h/d?connection_limit=20",
    ] {
        let said = error_of(lines);
        assert!(said.contains("begins with one of sqlite:, file:, :memory:, postgres:"), "{said}");
    }
}

#[test]
fn a_name_that_looks_like_a_setting_is_a_warning() {
    let lines = "DB_POOL_MAX_CONECTIONS=5
                 DB_POOL_SERVICE_HOST=10.0.0.1
                 DB_OTHER=1
                 DB_POOL_MAX_SIZE=";
    let loaded = Loader::new().env_from(variables(lines)).load().unwrap();
    assert_eq!(loaded.config.max_size, 10);
    let [first, second] = &*loaded.warnings else { panic!("{:?}", loaded.warnings) };
    assert!(first.ends_with("did you mean DB_POOL_MAX_CONNECTIONS?"), "{first}");
    assert!(second.starts_with("DB_POOL_SERVICE_HOST in the environment: no such"), "{second}");
    assert!(!second.contains("10.0.0.1"), "{second}");
}

#[test]
fn the_first_source_that_says_something_is_right() {
    let file = PoolSettings::new([("max_size", "4"), ("min_size", "1"), ("max_idle", "3")]);
    let other = PoolSettings::new([("max_size", "6"), ("reuse", "fifo")]);
    let url = "postgres://h/d?max_size=3&min_size=2";
    let env = [("DB_POOL_MAX_SIZE", "5"), ("DB_POOL_PRESET", "staging")];
    let loader = || Loader::new().file("a", &file).file("b", &other).url(url).env_from(env);
    let loaded = loader().change(|config| config.name("shop")).load().unwrap();
    let source = |setting| loaded.source(setting).to_string();
    assert_eq!(source(Setting::Name), "the program");
    assert_eq!(source(Setting::MaxSize), "DB_POOL_MAX_SIZE in the environment");
    assert_eq!(source(Setting::MinSize), "min_size in the URL");
    assert_eq!(source(Setting::MaxIdle), "max_idle in a");
    assert_eq!(source(Setting::Reuse), "reuse in b");
    assert_eq!(source(Setting::MaxLifetime), "preset staging");
    assert_eq!(source(Setting::Keepalive), "default");
    let below = loader().defaults(|config| config.max_size(99).min_idle(2)).load().unwrap();
    assert_eq!((below.config.max_size, below.config.min_idle), (5, 2));
    let changed = loader().change(|config| config.max_size(7)).load().unwrap();
    assert_eq!((changed.config.max_size, changed.config.min_size), (7, 2));
}

#[test]
fn each_source_is_the_one_that_counts() {
    let file = PoolSettings::new([("url", "postgres://file/d"), ("preset", "staging")]);
    let env = [("DATABASE_URL", "postgres://env/d"), ("DB_POOL_PRESET", "production")];
    let loaded = Loader::new().env_from(env).file("f", &file).load().unwrap();
    assert_eq!(loaded.source(Setting::Url).to_string(), "DATABASE_URL in the environment");
    assert_eq!(loaded.source(Setting::Preset).to_string(), "DB_POOL_PRESET in the environment");
    assert_eq!(loaded.source(Setting::MaxSize).to_string(), "preset production");
    let loaded = Loader::new().url("postgres://h/d?max-size=3").env_from(env).load().unwrap();
    assert_eq!(loaded.source(Setting::Url).to_string(), "the program");
    assert_eq!(loaded.source(Setting::MaxSize).to_string(), "max-size in the URL");
    assert!(loaded.to_string().starts_with("database           postgres   the program"));

    let path = [("SQLITE_DB_PATH", "a.db")];
    let loaded = Loader::new().env_from(path).file("f", &file).load().unwrap();
    assert_eq!(loaded.database.unwrap().url.expose(), "a.db", "the environment is stronger");
}

#[test]
fn a_url_given_by_the_program_is_the_only_one() {
    let env = variables(
        "DATABASE_URL=mysql://h/d?connection_limit=4\nDATABASE_MODE=sqlite\nSQLITE_DB_PATH=x.db",
    );
    let loaded = Loader::new().url("postgres://h/d").env_from(env).load().unwrap();
    assert_eq!(loaded.database.unwrap().url.expose(), "postgres://h/d");
    assert_eq!(loaded.config.max_size, 10);
}

#[test]
fn no_secret_is_shown() {
    let lines = "DATABASE_URL=postgres://me:hunter2@h/d?connection_limit=3";
    let loader = Loader::new().env_from(variables(lines)).url("mysql://u:hunter2@h/d");
    assert!(!format!("{loader:?}").contains("hunter2"));
    let loaded = Loader::new().env_from(variables(lines)).load().unwrap();
    assert!(!format!("{loaded} {loaded:?}").contains("hunter2"));
    for lines in [
        "DATABASE_URL=postgres://h/d?connection_limit=20?password=hunter2",
        "DATABASE_URL=postgres://me:1?max_size=hunter2&b=x@h/db",
        "DATABASE_MODE=postgres://me:hunter2@h/d",
        "DB_SSL_MODE=postgres://me:hunter2@h/d",
    ] {
        let error = Loader::new().env_from(variables(lines)).load().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    let file = PoolSettings::new([("sqlite_path", "file:b.db?key=hunter2")]);
    let env = variables("SQLITE_DB_PATH=a.db");
    let loaded = Loader::new().env_from(env).file("f", &file).load().unwrap();
    assert!(!format!("{loaded} {loaded:?}").contains("hunter2"));
    for url in ["postgres://me:hun?max_size=ter2@h/d", "postgres://me:1?connection_limit=hunter2@h"]
    {
        let error = Loader::new().url(url).load().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("ter2"), "{error}");
    }
}

#[test]
#[cfg(unix)]
fn a_value_that_is_no_text_is_said() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let value = OsStr::from_bytes(b"\xff");
    let env = [("DB_POOL_MAX_SIZE", value), ("OTHER", value)];
    let error = Loader::new().env_from(env).load().unwrap_err().to_string();
    assert!(error.ends_with("DB_POOL_MAX_SIZE in the environment: want UTF-8"), "{error}");
}
