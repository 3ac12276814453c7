//! Connecting: several hosts, roles, sockets, limits, credentials; and what errors say.

use std::fs::File;
use std::time::Duration;

use pool_postgres::pool_core::Manager;
use pool_postgres::pool_core::{ConnectContext, ManagedPool};
use pool_postgres::{PgConnection, PgErrorKind, PgManager, PgPool};
use pool_testkit::servers::Postgres;

use crate::place::{Place, shared};
use crate::soon;

async fn connect(url: &str) -> Result<PgConnection, pool_postgres::PgError> {
    let manager = PgPool::builder(url)?.manager()?;
    soon(manager.connect(&ConnectContext::new(1, Duration::from_secs(20)))).await
}

async fn port(connection: &PgConnection) -> u16 {
    let row = connection.query_one("SELECT inet_server_port()", &[]).await.unwrap();
    row.get::<_, i32>(0) as u16
}

/// A server that follows nobody, but is in recovery as one that does.
fn standby() -> Postgres {
    let builder = Postgres::builder().setting("wal_level", "replica");
    let server = builder.setting("max_wal_senders", "1").start().unwrap();
    server.stop().unwrap();
    File::create(server.socket_dir().join("data/standby.signal")).unwrap();
    server.restart().unwrap();
    server
}

#[tokio::test]
async fn target_session_attrs_finds_what_libpq_would() {
    let primary = Postgres::start().unwrap();
    let read_only =
        Postgres::builder().setting("default_transaction_read_only", "on").start().unwrap();
    let standby = standby();
    let (p, r, s) = (primary.port(), read_only.port(), standby.port());
    for (order, wanted, found) in [
        ([s, r, p], "any", Some(s)),
        ([s, r, p], "read-write", Some(p)),
        ([p, s, r], "read-only", Some(s)),
        ([p, r, s], "read-only", Some(r)),
        ([s, r, p], "primary", Some(r)),
        ([p, r, s], "standby", Some(s)),
        ([p, r, s], "prefer-standby", Some(s)),
        ([p, r, r], "prefer-standby", Some(p)),
        ([p, r, p], "standby", None),
        ([r, s, s], "read-write", None),
    ] {
        let hosts: Vec<_> = order.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let hosts = hosts.join(",");
        let url = format!("postgres://test@{hosts}/test?target_session_attrs={wanted}");
        match (connect(&url).await, found) {
            (Ok(connection), Some(found)) => assert_eq!(port(&connection).await, found, "{wanted}"),
            (Err(error), None) => {
                assert_eq!(error.kind(), PgErrorKind::NoSuchRole);
                assert!(error.to_string().contains("is a"), "{error}");
            }
            (other, _) => panic!("{wanted} of {order:?}: {other:?}"),
        }
    }
    // By lot, each is found sometimes.
    let url = format!("postgres://test@127.0.0.1:{p},127.0.0.1:{r}/test?load_balance_hosts=random");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..60 {
        seen.insert(port(&connect(&url).await.unwrap()).await);
    }
    assert_eq!(seen.len(), 2);
}

#[tokio::test]
async fn a_primary_that_writes_no_more_is_left_for_the_next() {
    let (first, second) = (Postgres::start().unwrap(), Postgres::start().unwrap());
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", first.port(), second.port());
    for (wanted, next) in [("read-write", &second), ("any", &first)] {
        let url = format!("postgres://test@{hosts}/test?target_session_attrs={wanted}");
        let pool = soon(PgPool::connect(&url)).await.unwrap();
        let connection = soon(pool.acquire()).await.unwrap();
        assert_eq!(port(&connection).await, first.port());
        let turn = |to: &str| {
            first.sql(&format!("ALTER SYSTEM SET default_transaction_read_only = {to}")).unwrap();
            first.sql("SELECT pg_reload_conf()").unwrap();
        };
        turn("on");
        let write = "CREATE TABLE IF NOT EXISTS made (x int); DROP TABLE made";
        let refused = loop {
            // The server reads its settings between two statements, when it gets to it.
            match soon(connection.batch_execute(write)).await {
                Ok(()) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => break error,
            }
        };
        assert_eq!(refused.kind(), PgErrorKind::ReadOnly, "{refused}");
        drop(connection);
        assert_eq!(port(&soon(pool.acquire()).await.unwrap()).await, next.port(), "{wanted}");
        turn("off");
    }
}

#[tokio::test]
async fn a_host_that_does_not_answer_makes_way_for_the_next() {
    let server = shared();
    // Takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap();
    let refused = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    };
    for first in [silent, refused] {
        let url = format!(
            "postgres://test@{first},{}/test?connect_timeout=1&sslmode=disable",
            server.address()
        );
        assert_eq!(port(&connect(&url).await.unwrap()).await, server.port());
    }
    // Nobody else to turn to: every host is named.
    let url = format!("postgres://test@{refused},no-such-host.invalid:1/test");
    let error = connect(&url).await.unwrap_err();
    assert_eq!(error.kind(), PgErrorKind::Unreachable);
    let said = error.to_string();
    assert!(said.contains(&refused.to_string()) && said.contains("no-such-host"), "{said}");
}

#[tokio::test]
async fn unix_sockets_urls_and_key_value_strings_lead_to_the_same_server() {
    let server = shared();
    let (folder, port) = (server.socket_dir().display().to_string(), server.port());
    let encoded = folder.replace('/', "%2F");
    for url in [
        format!("postgres://test@{encoded}:{port}/test"),
        format!("postgresql:///test?host={folder}&port={port}&user=test"),
        format!("host={folder} port={port} user=test dbname=test"),
        format!("host=localhost hostaddr=127.0.0.1 port={port} user=test dbname=test"),
    ] {
        let connection = connect(&url).await.unwrap();
        let row = connection.query_one("SELECT current_user::text", &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), "test", "{url}");
        // A cancel request finds its way too.
        connection.cancel_token().cancel().await.unwrap();
        connection.query_one("SELECT 1", &[]).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_at_once_and_without_secrets() {
    let server = shared();
    let address = server.address();
    for (url, kind, said) in [
        (format!("postgres://nobody:geheim@{address}/test"), PgErrorKind::Authentication, "nobody"),
        (format!("postgres://test:geheim@{address}/nothing"), PgErrorKind::Database, "nothing"),
        (format!("postgres://test:geheim@{address}/test?sslmode=require"), PgErrorKind::Tls, "TLS"),
    ] {
        let pool = PgPool::builder(&url).unwrap();
        let begun = tokio::time::Instant::now();
        let error = soon(pool.build()).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(20), "of its 30");
        assert_eq!(error.kind(), kind, "{error}");
        let text = format!("{error} {error:?}");
        assert!(text.contains(said) && !text.contains("geheim"), "{text}");
    }
    let wrong = PgPool::builder("postgres://test@h/d?ssl_mode=require").unwrap_err().to_string();
    assert!(wrong.contains("did you mean sslmode?"), "{wrong}");
}

#[tokio::test]
async fn a_settings_options_reach_the_session_and_survive_its_reset() {
    let place = Place::new().await;
    let options = "-c work_mem=7MB -c statement_timeout=9s";
    let builder = place.builder().max_size(1).options(|it| it.options(options));
    let pool = builder.build().await.unwrap();
    for _ in 0..2 {
        let connection = soon(pool.acquire()).await.unwrap();
        let row = connection.query_one("SHOW work_mem", &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), "7MB");
        connection.batch_execute("SET work_mem = '5MB'").await.unwrap();
    }
}

#[tokio::test]
async fn r10_what_the_server_cuts_is_known() {
    let server = Postgres::builder().setting("idle_session_timeout", "7min").start().unwrap();
    server.sql("ALTER ROLE test CONNECTION LIMIT 11").unwrap();
    server.sql("ALTER DATABASE test CONNECTION LIMIT 9").unwrap();
    let manager: PgManager = PgPool::builder(&server.url()).unwrap().manager().unwrap();
    let cx = ConnectContext::new(1, Duration::from_secs(20));
    let connection = soon(manager.connect(&cx)).await.unwrap();
    assert_eq!(manager.limits(&connection).idle, Some(Duration::from_secs(7 * 60)));
    let said = connection.server();
    assert_eq!((said.max_connections, said.reserved), (Some(100), Some(3)));
    assert_eq!((said.role_limit, said.database_limit, said.room()), (Some(11), Some(9), Some(9)));
    assert!(said.version.unwrap() >= 100_000);
    assert_eq!((said.in_recovery, said.read_only), (Some(false), Some(false)));

    server.set("idle_session_timeout", "2s").unwrap();
    let pool = ManagedPool::builder(manager).max_size(3).build().unwrap();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(soon(pool.acquire()).await.unwrap());
    }
    drop(held);
    // Used now and then for longer than the server lets a session be: no error reaches anybody.
    for _ in 0..12 {
        let burst: Vec<_> = (0..3).map(|_| pool.acquire()).collect();
        for acquire in burst {
            let connection = soon(acquire).await.unwrap();
            soon(connection.query_one("SELECT 1", &[])).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
}
