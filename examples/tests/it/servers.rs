//! A PostgreSQL server in place of a file: the same counts, the same rows.

use pool_testkit::servers::Postgres;
use serde_json::Value;

use crate::support::{Place, json, program, report, run, sentence};

async fn scan(place: &Place, server: &Postgres, arguments: &[&str]) -> Value {
    let mut command = program();
    command.arg(place.tree()).args(["--json", "--db", &server.url()]).args(arguments);
    report(&run(&mut command).await)
}

#[tokio::test]
async fn a_server_and_a_file_tell_the_same() {
    let Some(server) = Postgres::for_test() else { return };
    let place = Place::with_files(1_700);
    place.file("50%/\u{1f3ac} 'x'.MKV", "x");
    place.link("nowhere", "link");
    for round in 0..3 {
        let (in_file, on_server) = (place.scan().await, scan(&place, &server, &[]).await);
        for name in ["files", "hashed", "rows", "removed", "skipped", "errors", "interrupted"] {
            assert_eq!(in_file[name], on_server[name], "{name}, round {round}");
        }
        assert_eq!(on_server["queries"]["failed"], 0);
        assert!(on_server["database"].as_str().unwrap().starts_with("postgres://"));
        let rows = "SELECT path || '|' || name || '|' || type || '|' || size || '|' || modified || \
                    '|' || hash || '|' || generation FROM files ORDER BY path";
        let connection = place.open();
        let mut query = connection.prepare(rows).unwrap();
        let lines = query.query_map([], |row| row.get(0)).unwrap();
        let lines: Vec<String> = lines.map(Result::unwrap).collect();
        assert_eq!(server.sql(rows).unwrap().lines().collect::<Vec<_>>(), lines);
        if round == 0 {
            // The next round finds one file gone, one changed and one new.
            std::fs::remove_file(place.tree().join("3/file 150.mkv")).unwrap();
            place.file("3/file 151.mkv", "another content");
            place.file("new.mkv", "new");
        }
    }
    assert_eq!(scan(&place, &server, &["--baseline"]).await["hashed"], 0);
    let idle = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    assert_eq!(server.sql(idle).unwrap().trim(), "0");
}

#[tokio::test]
async fn what_is_wrong_with_a_server_is_one_sentence() {
    let place = Place::with_files(1);
    let refused = async |url: &str| {
        let mut command = program();
        sentence(&run(command.arg(place.tree()).args(["--json", "--db", url])).await)
    };
    for (url, wanted) in [
        ("postgres://me:secret@127.0.0.1:1/x", "no server was reached"),
        ("postgres://127.0.0.1/x?sslmode=perhaps", "sslmode"),
        ("postgre://me:secret@127.0.0.1/x", "is no URL that is understood"),
    ] {
        let said = refused(url).await;
        assert!(said.contains(wanted) && !said.contains("secret"), "{said}");
    }
    let Some(server) = Postgres::for_test() else { return };
    server.sql("CREATE TABLE files (x int4)").unwrap();
    let said = refused(&server.url()).await;
    assert!(said.contains("is another program's"), "{said}");
}

#[tokio::test]
async fn a_server_has_one_scan_at_a_time_and_takes_up_an_interrupted_one() {
    let Some(server) = Postgres::for_test() else { return };
    let place = Place::with_many_files(20_000);
    let mut command = program();
    command.arg(place.tree()).args(["--json", "--db", &server.url()]);
    let child = crate::support::start(&mut command);
    let stored = || {
        let count = server.sql("SELECT count(*) FROM files").ok()?;
        count.trim().parse::<u64>().ok().filter(|count| *count > 0)
    };
    crate::support::until(stored).await;
    let mut second = program();
    second.arg(place.tree()).args(["--json", "--db", &server.url()]);
    let second = run(&mut second).await;
    crate::support::signal(&child, "INT").await;
    let first = crate::support::end(child).await;
    // The first may have been done before it heard of the signal, and the second after that.
    if second.status.code() == Some(1) {
        assert!(sentence(&second).starts_with("another scan is writing"));
    }
    assert!(matches!(first.status.code(), Some(0 | 130)));
    assert!(json(&first)["files"].as_u64().unwrap() > 0);
    assert_eq!(scan(&place, &server, &[]).await["rows"], 20_000);
}
