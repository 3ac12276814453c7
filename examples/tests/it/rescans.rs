//! Scanning again: the same again changes nothing, what is gone goes, other folders stay.

use std::fs;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::{Place, program, report, run};

#[tokio::test]
async fn the_same_again_changes_nothing_and_reads_nothing() {
    let place = Place::with_files(700);
    place.scan().await;
    let rows = "SELECT group_concat(path || size || modified || hash || id) FROM files";
    let before: String = place.open().query_row(rows, [], |row| row.get(0)).unwrap();
    for _ in 0..2 {
        let report = place.scan().await;
        for (name, count) in [("files", 700), ("rows", 700), ("hashed", 0), ("removed", 0)] {
            assert_eq!(report[name], count, "{name}");
        }
    }
    let after: String = place.open().query_row(rows, [], |row| row.get(0)).unwrap();
    assert_eq!(before, after);
    assert_eq!(place.count("SELECT count(*) FROM scans"), 1);
    place.assert_sound();
}

#[tokio::test]
async fn what_is_gone_is_removed_and_what_changed_is_read() {
    let place = Place::with_files(120);
    place.scan().await;
    fs::remove_dir_all(place.tree().join("0")).unwrap(); // 50 files
    fs::remove_file(place.tree().join("2/file 100.mkv")).unwrap();
    place.file("2/file 101.mkv", "longer than before");
    place.file("new.mkv", "new");
    // The same size as before, at another time.
    let same_size = fs::File::options().write(true).open(place.tree().join("2/file 102.mkv"));
    let earlier = SystemTime::now() - Duration::from_secs(3600);
    same_size.unwrap().set_modified(earlier).unwrap();

    let report = place.scan().await;
    for (name, count) in [("files", 70), ("rows", 70), ("hashed", 3), ("removed", 51)] {
        assert_eq!(report[name], count, "{name}");
    }
    let size = "SELECT size FROM files WHERE name = 'file 101.mkv'";
    assert_eq!(place.count(size), "longer than before".len() as i64);
    place.assert_sound();
}

#[tokio::test]
async fn a_file_may_become_a_folder_and_a_link() {
    let place = Place::new();
    place.file("a", "x");
    place.file("b/c", "x");
    place.scan().await;
    fs::remove_file(place.tree().join("a")).unwrap();
    place.file("a/inside", "x");
    fs::remove_dir_all(place.tree().join("b")).unwrap();
    place.link("a", "b");
    let report = place.scan().await;
    assert_eq!((&report["rows"], &report["skipped"]), (&1.into(), &1.into()));
    assert!(place.paths()[0].ends_with("/a/inside"));
}

async fn scan_in(place: &Place, folder: &str) -> Value {
    let mut command = program();
    command.arg(place.tree().join(folder)).arg("--json").arg("--db").arg(place.db());
    report(&run(&mut command).await)
}

#[tokio::test]
async fn two_folders_in_one_database_leave_each_other_alone() {
    let place = Place::new();
    for name in ["films/a", "films/b", "films-2/c", "music/d", "music/e", "music/f"] {
        place.file(name, "x");
    }
    assert_eq!(scan_in(&place, "films").await["rows"], 2);
    assert_eq!(scan_in(&place, "music").await["rows"], 3);
    assert_eq!(scan_in(&place, "films-2").await["rows"], 1);
    fs::remove_file(place.tree().join("films/a")).unwrap();
    fs::remove_file(place.tree().join("music/d")).unwrap();
    let report = scan_in(&place, "films").await;
    assert_eq!((&report["rows"], &report["removed"]), (&1.into(), &1.into()));
    assert_eq!(place.count("SELECT count(*) FROM files"), 5); // also what nobody looked at
}

#[tokio::test]
async fn a_folder_within_another_shares_its_rows() {
    let place = Place::new();
    for name in ["x", "inner/y", "inner/z"] {
        place.file(name, "x");
    }
    assert_eq!(place.scan().await["rows"], 3);
    fs::remove_file(place.tree().join("inner/y")).unwrap();
    let inner = scan_in(&place, "inner").await;
    assert_eq!(
        (&inner["rows"], &inner["hashed"], &inner["removed"]),
        (&1.into(), &0.into(), &1.into())
    );
    assert_eq!(place.scan().await["rows"], 2);
}

#[tokio::test]
async fn one_by_one_gives_the_same_table() {
    let place = Place::with_files(600);
    place.file("\u{1f3ac}", "x");
    let rows = "SELECT group_concat(path || type || size || modified || hash) FROM
                (SELECT * FROM files ORDER BY path)";
    place.scan().await;
    let batched: String = place.open().query_row(rows, [], |row| row.get(0)).unwrap();
    for file in ["media.db", "media.db-scan"] {
        fs::remove_file(place.path().join(file)).unwrap();
    }
    for hashed in [601, 0] {
        let report = report(&run(place.command().args(["--json", "--baseline"])).await);
        assert_eq!((&report["rows"], &report["hashed"]), (&601.into(), &hashed.into()));
        assert!(report["pool"]["read"].is_null());
    }
    let one_by_one: String = place.open().query_row(rows, [], |row| row.get(0)).unwrap();
    assert_eq!(batched, one_by_one);
    place.assert_sound();
}
