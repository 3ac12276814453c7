//! The database by `DATABASE_URL` alone, and the pool by what the environment says of it.

use std::process::Output;

use pool_testkit::servers::{MariaDb, Postgres};
use serde_json::Value;
use tokio::process::Command;

use crate::support::{Place, program, report, run, sentence, stderr};

const FILES: usize = 120;

/// A scan of a tree with nothing said on the command line but where it is.
fn scan(place: &Place, environment: &[(&str, &str)]) -> Command {
    let mut command = program();
    command.arg(place.tree()).arg("--json").envs(environment.iter().copied());
    command
}

async fn scanned(place: &Place, environment: &[(&str, &str)]) -> Value {
    let report = report(&run(&mut scan(place, environment)).await);
    assert_eq!((&report["files"], &report["rows"]), (&FILES.into(), &FILES.into()));
    report
}

/// Why there was no scan: the last line, after the one that names the database.
fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    stderr(output).lines().last().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_file_by_its_url_alone() {
    let place = Place::with_files(FILES);
    let url = format!("sqlite://{}?synchronous=full&max_size=7", place.db().display());
    let report = scanned(&place, &[("DATABASE_URL", &url)]).await;
    assert_eq!(report["pool"]["read"]["max_size"], 6, "{report}");
    assert!(place.db().exists());
}

#[tokio::test]
async fn a_file_by_its_path_alone() {
    let place = Place::with_files(FILES);
    let path = place.db().display().to_string();
    let report = scanned(
        &place,
        &[("DATABASE_MODE", "sqlite"), ("SQLITE_DB_PATH", &path), ("DB_MAX_OPEN_CONNS", "10")],
    )
    .await;
    assert_eq!(report["pool"]["read"]["max_size"], 9, "{report}");
}

#[tokio::test]
async fn postgres_by_its_url_alone() {
    let Some(server) = Postgres::for_test() else { return };
    let place = Place::with_files(FILES);
    let with = |parameters: &str| {
        let url = server.url();
        let lead = if url.contains('?') { '&' } else { '?' };
        format!("{url}{lead}{parameters}")
    };
    let url = with("connection_limit=12&pool_timeout=10");
    let report = scanned(&place, &[("DATABASE_URL", &url)]).await;
    assert_eq!(report["pool"]["max_size"], 12, "{report}");
    let limits = [("DATABASE_URL", &*url), ("DB_MAX_OPEN_CONNS", "5")];
    assert_eq!(scanned(&place, &limits).await["pool"]["max_size"], 5);

    let tls = [("DATABASE_URL", &*url), ("DB_SSL_MODE", "require")];
    let refused = refusal(&run(&mut scan(&place, &tls)).await);
    assert!(refused.contains("TLS"), "the server has none: {refused}");
    let few = with("connection_limit=2");
    let refused = refusal(&run(&mut scan(&place, &[("DATABASE_URL", &few)])).await);
    assert!(refused.contains("connection_limit in the URL"), "{refused}");
    assert!(refused.contains("want at least 3"), "{refused}");
}

#[tokio::test]
async fn mariadb_by_its_url_alone() {
    let Some(server) = MariaDb::for_test() else { return };
    let place = Place::with_files(FILES);
    let report = scanned(&place, &[("DATABASE_URL", &server.url())]).await;
    assert_eq!(report["pool"]["max_size"], 26, "{report}");
}

#[tokio::test]
async fn the_command_line_is_right_over_the_environment() {
    let place = Place::with_files(FILES);
    let mut command = scan(
        &place,
        &[("DATABASE_URL", "postgres://127.0.0.1:1/nobody"), ("DB_MAX_OPEN_CONNS", "9")],
    );
    command.arg("--db").arg(place.db()).args(["--readers", "4"]);
    let report = report(&run(&mut command).await);
    assert_eq!(report["pool"]["read"]["max_size"], 4, "{report}");
}

#[tokio::test]
async fn settings_that_make_no_sense_are_one_sentence() {
    let place = Place::with_files(1);
    let wrong = [("DB_MAX_OPEN_CONNS", "many"), ("DB_CONN_MAX_LIFETIME", "15M")];
    let said = sentence(&run(&mut scan(&place, &wrong)).await);
    assert!(said.contains("DB_MAX_OPEN_CONNS in the environment is \"many\""), "{said}");
    assert!(said.contains("15M"), "{said}");
    let both = [("DATABASE_URL", "postgres://me:hunter2@h/d"), ("SQLITE_DB_PATH", "x.db")];
    let said = sentence(&run(&mut scan(&place, &both)).await);
    assert!(said.contains("DATABASE_MODE") && !said.contains("hunter2"), "{said}");
}
