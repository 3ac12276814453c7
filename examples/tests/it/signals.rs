//! Cut short: by Ctrl-C, which ends in good order, and by SIGKILL, which does not.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use pool_sqlite::rusqlite::Connection;
use tokio::process::Child;

use crate::support::{Place, end, json, run, shell, signal, start, stderr, until};

const FILES: usize = 8_000;
const COUNT: &str = "SELECT count(*) FROM files";

/// A scan that is stopped in the middle: some of its files are stored, and the writer waits for a
/// lock, so that nothing goes on until the lock is dropped.
struct Halfway {
    place: Place,
    child: Child,
    lock: Connection,
    stored: i64,
}

async fn halfway() -> Halfway {
    let place = Place::with_many_files(FILES);
    for _ in 0..20 {
        let child = start(place.command().args(["--json", "--batch", "500"]));
        let lock = until(|| lock(&place)).await;
        let stored = lock.query_row(COUNT, [], |row| row.get(0)).unwrap();
        assert!(stored > 0);
        if stored < FILES as i64 {
            return Halfway { place, child, lock, stored };
        }
        // The scan was quicker than the test.
        drop(lock);
        end(child).await;
        fs::remove_file(place.db()).unwrap();
    }
    panic!("every scan was done before it could be stopped");
}

/// The lock, if some files are stored and nobody else has it.
fn lock(place: &Place) -> Option<Connection> {
    let connection = place.db().exists().then(|| place.open())?;
    connection.busy_timeout(Duration::ZERO).ok()?;
    let some = connection.query_row(COUNT, [], |row| row.get::<_, i64>(0)).ok()? > 0;
    (some && connection.execute_batch("BEGIN IMMEDIATE").is_ok()).then_some(connection)
}

async fn interrupted() -> (Place, i64, Output) {
    let Halfway { place, child, lock, stored } = halfway().await;
    signal(&child, "INT").await;
    lock.execute_batch("ROLLBACK").unwrap();
    drop(lock);
    (place, stored, end(child).await)
}

#[tokio::test]
async fn ctrl_c_stores_what_is_in_hand_and_the_next_scan_goes_on() {
    let (place, stored, output) = interrupted().await;
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let report = json(&output);
    assert_eq!(report["interrupted"], true);
    assert!(report["files"].as_i64() >= Some(stored), "{report}");
    assert_eq!(report["rows"].as_i64(), Some(place.count(COUNT)));
    assert_eq!((&report["rows"], &report["removed"]), (&report["files"], &0.into()));
    let said = stderr(&output);
    assert!(said.contains("files are stored in") && said.contains("scan again"), "{said}");
    place.assert_sound();

    let next = place.scan().await;
    assert_eq!((&next["rows"], &next["interrupted"]), (&FILES.into(), &false.into()));
    let left = FILES as u64 - report["files"].as_u64().unwrap();
    assert_eq!(next["hashed"], left, "what was stored is not read again");
}

#[tokio::test]
async fn ctrl_c_removes_nothing() {
    let (place, _, output) = interrupted().await;
    assert_eq!(output.status.code(), Some(130));
    // All that a walk cut short has not seen has an older generation, and must stay.
    let before = place.scan().await;
    assert_eq!(before["rows"], FILES);
    place.file("0/new.mkv", "x");
    let child = start(place.command().arg("--json"));
    let scans = "SELECT count(*) FROM scans";
    until(|| {
        let connection = place.open();
        let count = connection.query_row(scans, [], |row| row.get::<_, i64>(0)).ok()?;
        (count == 2).then_some(())
    })
    .await;
    signal(&child, "INT").await;
    let output = end(child).await;
    // It may have been quicker; but whichever way it ended, every file has its row.
    assert!(matches!(output.status.code(), Some(130 | 0)), "{}", stderr(&output));
    assert!(place.count(COUNT) >= FILES as i64);
    assert_eq!(json(&output)["removed"], 0);
}

#[tokio::test]
async fn sigkill_loses_no_stored_batch_and_the_next_scan_completes() {
    let Halfway { place, mut child, lock, stored } = halfway().await;
    signal(&child, "KILL").await;
    child.wait().await.unwrap();
    lock.execute_batch("ROLLBACK").unwrap();
    let check = "PRAGMA integrity_check";
    assert_eq!(lock.query_row(check, [], |row| row.get::<_, String>(0)).unwrap(), "ok");
    drop(lock);
    assert_eq!(place.count(COUNT), stored);
    assert_eq!(stored % 500, 0, "only whole batches");

    let next = place.scan().await;
    assert_eq!(next["rows"], FILES);
    assert_eq!(next["hashed"].as_i64(), Some(FILES as i64 - stored));
    place.assert_sound();
}

#[tokio::test]
async fn a_second_ctrl_c_ends_at_once() {
    let Halfway { place, mut child, lock, stored } = halfway().await;
    let mut said = tokio::io::BufReader::new(child.stderr.take().unwrap());
    signal(&child, "INT").await;
    let mut line = String::new();
    tokio::io::AsyncBufReadExt::read_line(&mut said, &mut line).await.unwrap();
    assert!(line.starts_with("Finishing the batch in hand"), "{line}");
    signal(&child, "INT").await;
    let output = end(child).await; // although the lock is still held
    assert_eq!((output.status.code(), output.stdout.len()), (Some(130), 0));
    lock.execute_batch("ROLLBACK").unwrap();
    assert_eq!(place.count(COUNT), stored);
}

#[tokio::test]
async fn ctrl_c_on_one_by_one_ends_in_good_order_too() {
    let place = Place::with_many_files(FILES);
    let child = start(place.command().args(["--json", "--baseline"]));
    until(|| {
        let connection = place.db().exists().then(|| place.open())?;
        let some = connection.query_row(COUNT, [], |row| row.get::<_, i64>(0)).ok()? > 100;
        some.then_some(())
    })
    .await;
    signal(&child, "INT").await;
    let output = end(child).await;
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let stored = place.count(COUNT);
    assert_eq!(json(&output)["files"].as_i64(), Some(stored));
    place.assert_sound();
}

#[tokio::test]
async fn files_that_vanish_during_the_scan_are_no_failure() {
    let place = Place::with_many_files(3_000);
    let script = "rm -rf \"$1\"/1* & \"$0\" \"$1\" --db \"$2\" --json; code=$?; wait; exit $code";
    let (tree, db) = (place.tree(), place.db());
    let output = shell(script, &[tree.as_os_str(), db.as_os_str()]).await;
    let report = crate::support::report(&output);
    assert_eq!((&report["errors"], &report["rows"]), (&0.into(), &report["files"]), "{report}");

    let left = run(place.command().arg("--json")).await;
    let left = crate::support::report(&left);
    let on_disk = walkdir(&place.tree());
    assert_eq!((&left["rows"], &left["files"]), (&on_disk.into(), &on_disk.into()));
}

fn walkdir(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries.map(|entry| if entry.path().is_dir() { walkdir(&entry.path()) } else { 1 }).sum()
}
