//! What a pool tells: a monitor that watches it, and the log that its settings ask for.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use pool_any::metrics::{Monitor, Status};
use pool_any::{AnyBuilder, Loader};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::{Place, on_each, soon};

on_each! {
    a_monitor_sees_every_side_and_statement
    r25_nothing_that_is_told_has_a_password
}

fn builder(place: &Place, more: &[(&str, &str)]) -> AnyBuilder {
    let url = [("DATABASE_URL", &*place.url), ("DB_POOL_NAME", "shop")];
    let variables = url.iter().chain(more).copied();
    AnyBuilder::new(Loader::new().env_from(variables)).unwrap()
}

async fn a_monitor_sees_every_side_and_statement(place: Place) {
    let monitor = Monitor::new();
    let pool = soon(builder(&place, &[]).monitor(&monitor).build()).await.unwrap();
    let mut connection = soon(pool.acquire().operation("count_things")).await.unwrap();
    soon(connection.query("SELECT 7 AS many", &[])).await.unwrap();
    drop(connection);

    let report = monitor.report("shop").unwrap();
    assert_eq!(report.sides.len(), pool.snapshot().sides.len());
    assert_eq!(report.total.snapshot.max_size, pool.config().max_size);
    assert_eq!(monitor.health().status, Status::Healthy, "{:?}", monitor.health());
    let statements = monitor.statements();
    let counted = statements.iter().find(|one| one.operation == Some("count_things")).unwrap();
    assert!(counted.took.count() >= 1 && counted.errors == 0);
    let waits = monitor.operations();
    assert!(
        waits.iter().any(|one| one.operation == Some("count_things") && one.waits.count() == 1)
    );

    // Another one of that name is watched beside it.
    let other = soon(builder(&place, &[]).monitor(&monitor).build()).await.unwrap();
    assert_eq!(monitor.names(), ["shop", "shop-2"]);
    drop((pool, other));
    assert!(monitor.names().is_empty(), "the monitor keeps nothing open");
}

/// In the database's URL: where the server is there, and where nobody listens.
async fn r25_nothing_that_is_told_has_a_password(place: Place) {
    const PASSWORD: &str = "canary-of-the-password";
    let at = |place: &str| match place.split_once("://") {
        Some((scheme, rest)) => {
            let (user, rest) = rest.split_once('@').unwrap_or(("test", rest));
            let user = user.split(':').next().unwrap();
            format!("{scheme}://{user}:{PASSWORD}@{rest}")
        }
        None => place.to_owned(),
    };
    let nobody = match place.url.split_once("://") {
        Some((scheme, _)) => format!("{scheme}://test@127.0.0.1:1/test"),
        None => "sqlite:/no/such/folder/test.db".to_owned(),
    };
    let told = Told::default();
    let _here = tracing::subscriber::set_default(told.clone());
    let (monitor, mut all) = (Monitor::new(), String::new());
    for url in [at(&place.url), at(&nobody)] {
        let mut settings = vec![("DATABASE_URL", &*url), ("DB_POOL_NAME", "shop")];
        settings.extend([("DB_LOG_LEVEL", "debug"), ("DB_POOL_ACQUIRE_TIMEOUT", "1s")]);
        let builder = AnyBuilder::new(Loader::new().env_from(settings)).unwrap().monitor(&monitor);
        all += &format!("{builder:?} {}", builder.loaded());
        match soon(builder.build()).await {
            Ok(pool) => {
                let mut connection = soon(pool.acquire().operation("find")).await.unwrap();
                soon(connection.query("SELECT nothing", &[])).await.unwrap_err();
                drop(connection);
                soon(monitor.probe("shop", std::time::Duration::from_secs(5))).await.unwrap();
                all += &tell(&monitor);
                all += &format!("{pool:?}");
                soon(pool.close(std::time::Duration::from_secs(5))).await;
                all += &tell(&monitor);
            }
            Err(error) => all += &format!("{error} {error:?} {}", tell(&monitor)),
        }
    }
    all += &format!("{:?}", told.0.lock().unwrap());
    assert!(all.contains("shop") && all.len() > 5_000, "{all}");
    assert!(!all.contains("canary"), "{all}");
}

/// All that a monitor tells, in every form.
fn tell(monitor: &Monitor) -> String {
    use pool_any::metrics::{json, prometheus};

    let mut all = prometheus::text(monitor) + &prometheus::openmetrics(monitor);
    all += &format!("{monitor:?} {:?} {:?}", monitor.families(), monitor.health());
    all += &format!("{:?} {:?}", monitor.events(0), monitor.operations());
    all += &format!("{:?} {:?}", monitor.statements(), monitor.slowest());
    for report in monitor.reports() {
        all += &format!("{report:?}");
        let config = serde_json::to_string(&json::Config::of(&report)).unwrap();
        all += &(config + &serde_json::to_string(&json::ConnectionPool::of(&report)).unwrap());
    }
    all
}

#[tokio::test]
async fn who_wants_no_metrics_has_none() {
    let (place, monitor) = (Place::sqlite_memory(), Monitor::new());
    let wanted = [("DB_POOL_ENABLE_METRICS", "false")];
    let pool = soon(builder(&place, &wanted).monitor(&monitor).build()).await.unwrap();
    drop(soon(pool.acquire()).await.unwrap());
    assert!(monitor.names().is_empty() && monitor.operations().is_empty());
}

/// Level and message of each event for the pool.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<BTreeSet<(Level, String)>>>);

/// With every other field of an event, where there is one.
const FIELDS: &str = "fields: ";

impl Subscriber for Told {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "pool"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut Message(self, *event.metadata().level()));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Message<'a>(&'a Told, Level);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let mut told = self.0.0.lock().unwrap();
        if field.name() == "message" {
            told.insert((self.1, format!("{value:?}")));
        } else {
            told.insert((self.1, format!("{FIELDS}{}={value:?}", field.name())));
        }
    }
}

#[tokio::test]
async fn the_log_is_what_the_settings_say() {
    let everything = ["checkin", "checkout", "close", "connect", "statement"];
    for (settings, expected) in [
        (&[][..], &[][..]),
        (&[("DB_LOG_LEVEL", "silent")], &[]),
        (&[("DB_LOG_LEVEL", "error")], &["statement failed"]),
        (&[("DB_LOG_LEVEL", "warn")], &["statement failed"]),
        (&[("DB_LOG_LEVEL", "info")], &["close", "connect", "statement", "statement failed"]),
        (&[("DB_POOL_ECHO", "true")], &["checkin", "checkout", "close", "connect"]),
        (&[("DB_LOG_LEVEL", "debug")], &[&everything[..], &["statement failed"]].concat()),
    ] {
        let told = Told::default();
        let _here = tracing::subscriber::set_default(told.clone());
        let place = Place::sqlite_memory();
        let pool = soon(builder(&place, settings).build()).await.unwrap();
        let mut connection = soon(pool.acquire()).await.unwrap();
        soon(connection.query("SELECT 1", &[])).await.unwrap();
        soon(connection.query("SELECT nothing", &[])).await.unwrap_err();
        drop(connection);
        soon(pool.close(std::time::Duration::from_secs(5))).await;
        let told: Vec<_> = told.0.lock().unwrap().iter().map(|(_, text)| text.clone()).collect();
        let events = told.iter().filter(|text| !text.starts_with(FIELDS));
        let told: BTreeSet<_> = events.map(String::as_str).collect();
        assert_eq!(told, expected.iter().copied().collect(), "{settings:?}");
    }
}
