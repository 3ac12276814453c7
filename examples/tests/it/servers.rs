//! A server in place of a file: the same counts, the same rows.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Output;

use pool_testkit::servers::{MariaDb, Postgres};
use serde_json::Value;
use tokio::process::Command;

use crate::support::{Place, end, json, program, report, run, sentence, signal, start, until};

/// A server of either kind.
enum Server {
    Postgres(Postgres),
    MariaDb(MariaDb),
}

impl Server {
    fn postgres() -> Option<Self> {
        Postgres::for_test().map(Self::Postgres)
    }

    fn mariadb() -> Option<Self> {
        MariaDb::for_test().map(Self::MariaDb)
    }

    fn url(&self) -> String {
        match self {
            Self::Postgres(server) => server.url(),
            Self::MariaDb(server) => server.url(),
        }
    }

    fn sql(&self, sql: &str) -> Option<String> {
        match self {
            Self::Postgres(server) => server.sql(sql).ok(),
            // The client would take another character set.
            Self::MariaDb(server) => server.sql(&format!("SET NAMES utf8mb4; {sql}")).ok(),
        }
    }

    /// How many scans hold their lock.
    fn locks(&self) -> String {
        self.sql(match self {
            Self::Postgres(_) => "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
            Self::MariaDb(_) => {
                "SELECT IS_USED_LOCK(CONCAT('media_scan ', LEFT(SHA2(DATABASE(), 256), 40))) IS NOT NULL"
            }
        })
        .unwrap()
    }

    fn command(&self, place: &Place) -> Command {
        let mut command = program();
        command.arg(place.tree()).args(["--json", "--db", &self.url()]);
        command
    }

    async fn scan(&self, place: &Place, arguments: &[&str]) -> Value {
        report(&run(self.command(place).args(arguments)).await)
    }
}

async fn scan_of(place: &Place, url: &str) -> Output {
    run(program().arg(place.tree()).args(["--json", "--db", url])).await
}

#[tokio::test]
async fn postgres_and_a_file_tell_the_same() {
    let Some(server) = Server::postgres() else { return };
    a_server_and_a_file_tell_the_same(&server, "postgres://").await;
}

#[tokio::test]
async fn mariadb_and_a_file_tell_the_same() {
    let Some(server) = Server::mariadb() else { return };
    a_server_and_a_file_tell_the_same(&server, "mysql://").await;
    let url = server.url().replace("mysql://", "mariadb://");
    let place = Place::with_files(1);
    assert_eq!(report(&scan_of(&place, &url).await)["hashed"], 1);
}

async fn a_server_and_a_file_tell_the_same(server: &Server, scheme: &str) {
    let place = Place::with_files(1_700);
    place.file("50%/\u{1f3ac} 'x'.MKV", "x");
    for name in ["space", "space ", "SPACE", "space\u{1}", "space \u{1}/x", "sp\u{e1}ce"] {
        place.file(name, name);
    }
    place.file(OsStr::from_bytes(b"caf\xe9/film\xff.mkv"), "no text");
    place.link("nowhere", "link");
    for round in 0..3 {
        let (in_file, on_server) = (place.scan().await, server.scan(&place, &[]).await);
        for name in ["files", "hashed", "rows", "removed", "skipped", "errors", "interrupted"] {
            assert_eq!(in_file[name], on_server[name], "{name}, round {round}");
        }
        assert_eq!(on_server["queries"]["failed"], 0);
        assert!(on_server["database"].as_str().unwrap().starts_with(scheme));
        let rows = "SELECT concat_ws('|', path, name, type, size, modified, hash, generation) \
                    FROM files ORDER BY path";
        let connection = place.open();
        let mut query = connection.prepare(rows).unwrap();
        let lines = query.query_map([], |row| row.get(0)).unwrap();
        let lines: Vec<String> = lines.map(Result::unwrap).collect();
        assert_eq!(server.sql(rows).unwrap().lines().collect::<Vec<_>>(), lines);
        if round == 0 {
            // The next round finds some files gone, one changed and one new.
            std::fs::remove_file(place.tree().join("3/file 150.mkv")).unwrap();
            std::fs::remove_dir_all(place.tree().join("space \u{1}")).unwrap();
            place.file("3/file 151.mkv", "another content");
            place.file("new.mkv", "new");
        }
    }
    assert_eq!(server.scan(&place, &["--baseline"]).await["hashed"], 0);
    place.file("new.mkv", "newer");
    assert_eq!(server.scan(&place, &["--baseline"]).await["hashed"], 1);
    assert_eq!(server.locks(), "0");
}

#[tokio::test]
async fn what_is_wrong_with_a_server_is_one_sentence() {
    let place = Place::with_files(1);
    for (url, wanted) in [
        ("postgres://me:secret@127.0.0.1:1/x", "no server was reached"),
        ("postgres://127.0.0.1/x?sslmode=perhaps", "sslmode"),
        ("postgre://me:secret@127.0.0.1/x", "want a URL that begins with one of"),
        ("mysql://me:secret@127.0.0.1:1/x", "no server was reached"),
        ("mariadb://127.0.0.1/x?ssl-mode=perhaps", "ssl-mode"),
        ("mysqlx://me:secret@127.0.0.1/x", "want a URL that begins with one of"),
    ] {
        let said = sentence(&scan_of(&place, url).await);
        assert!(said.contains(wanted) && !said.contains("secret"), "{said}");
    }
}

#[tokio::test]
async fn another_program_s_tables_are_left_alone() {
    let place = Place::with_files(1);
    for server in [Server::postgres(), Server::mariadb()] {
        let Some(server) = server else { continue };
        server.sql("CREATE TABLE files (x int)").unwrap();
        let said = sentence(&scan_of(&place, &server.url()).await);
        assert!(said.contains("is another program's"), "{said}");
        let tables = "SELECT table_name FROM information_schema.tables \
                      WHERE table_schema IN ('public', 'test')";
        assert_eq!(server.sql(tables).unwrap(), "files");
    }
}

#[tokio::test]
async fn mariadb_needs_a_database() {
    let place = Place::with_files(1);
    let Some(server) = Server::mariadb() else { return };
    let url = server.url();
    let said = sentence(&scan_of(&place, url.strip_suffix("/test").unwrap()).await);
    assert!(said.contains("No database selected"), "{said}");
}

#[tokio::test]
async fn long_paths_are_told_apart() {
    let deep = format!("{}/", "\u{1f3ac}".repeat(60)).repeat(10); // longer than a key
    let wild = [b"\xff".repeat(250), b"/".to_vec()].concat().repeat(10);
    for server in [Server::postgres(), Server::mariadb()] {
        let Some(server) = server else { continue };
        let place = Place::new();
        for name in ["a", "b", "b "] {
            place.file(format!("{deep}{name}"), name);
            place.file(OsStr::from_bytes(&[&wild, name.as_bytes()].concat()), name);
        }
        for (hashed, removed) in [(6, 0), (0, 0), (1, 1)] {
            if removed > 0 {
                let path = |name| place.tree().join(format!("{deep}{name}"));
                std::fs::rename(path("b "), path("c")).unwrap();
            }
            let said = server.scan(&place, &[]).await;
            assert_eq!((&said["hashed"], &said["removed"]), (&hashed.into(), &removed.into()));
            assert_eq!((&said["rows"], &said["errors"]), (&6.into(), &0.into()));
        }
    }
}

#[tokio::test]
async fn postgres_has_one_scan_at_a_time_and_takes_up_an_interrupted_one() {
    let Some(server) = Server::postgres() else { return };
    a_server_has_one_scan_at_a_time(&server).await;
}

#[tokio::test]
async fn mariadb_has_one_scan_at_a_time_and_takes_up_an_interrupted_one() {
    let Some(server) = Server::mariadb() else { return };
    a_server_has_one_scan_at_a_time(&server).await;
}

async fn a_server_has_one_scan_at_a_time(server: &Server) {
    let place = Place::with_many_files(20_000);
    let child = start(&mut server.command(&place));
    let stored = || {
        let count = server.sql("SELECT count(*) FROM files")?;
        count.trim().parse::<u64>().ok().filter(|count| *count > 0)
    };
    until(stored).await;
    let second = run(&mut server.command(&place)).await;
    signal(&child, "INT").await;
    let first = end(child).await;
    // The first may have been done before it heard of the signal, and the second after that.
    if second.status.code() == Some(1) {
        assert!(sentence(&second).starts_with("another scan is writing"));
    }
    assert!(matches!(first.status.code(), Some(0 | 130)));
    assert!(json(&first)["files"].as_u64().unwrap() > 0);
    assert_eq!(server.scan(&place, &[]).await["rows"], 20_000);
}
