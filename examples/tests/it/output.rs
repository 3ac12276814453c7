//! What it prints, and with which code it ends.

use serde_json::Value;

use crate::support::{Place, program, report, run, stderr};

#[tokio::test]
async fn the_report_has_this_shape() {
    let place = Place::with_files(1_100);
    let output = run(place.command().args(["--json", "--batch", "500", "--readers", "3"])).await;
    let report = report(&output);
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 1);
    assert_eq!(stderr(&output), "", "quiet where nobody watches");
    for name in ["files", "rows", "skipped", "errors", "hashed", "removed"] {
        assert!(report[name].is_u64(), "{name}: {report}");
    }
    for name in ["seconds", "files_per_second", "database_seconds", "paused_seconds"] {
        assert!(report[name].is_f64(), "{name}: {report}");
    }
    let queries = &report["queries"];
    assert!(queries["count"].as_u64() > Some(0), "{report}");
    assert!(queries["p50_ms"].as_f64() <= queries["p99_ms"].as_f64());
    assert_eq!(queries["failed"], 0);
    assert_eq!(report["interrupted"], false);
    let db = std::fs::canonicalize(place.db()).unwrap();
    assert_eq!(report["database"].as_str(), db.to_str());
    let pool = &report["pool"];
    assert_eq!((&pool["write"]["max_size"], &pool["read"]["max_size"]), (&1.into(), &3.into()));
    // 1,100 files in batches of 500, of which each preparer's last may be smaller.
    assert!(pool["write"]["counts"]["acquired"].as_u64() >= Some(3), "{report}");
    let took = report["seconds"].as_f64().zip(report["database_seconds"].as_f64());
    assert!(took.is_some_and(|(all, database)| 0.0 < database && database <= all), "{report}");
}

#[tokio::test]
async fn people_get_a_table() {
    let place = Place::with_files(7);
    let output = run(&mut place.command()).await;
    assert_eq!(output.status.code(), Some(0));
    let table = String::from_utf8(output.stdout).unwrap();
    for part in ["7 (7 read)", "Errors", "Queries meanwhile", "media.db"] {
        assert!(table.contains(part), "{part}: {table}");
    }
}

#[tokio::test]
async fn without_a_name_the_database_is_in_the_data_folder_which_is_told() {
    let place = Place::with_files(2);
    let home = place.path().join("home");
    let mut command = program();
    command.current_dir(place.tree()).arg("--json");
    command.env("HOME", &home).env("XDG_DATA_HOME", home.join("data"));
    let output = run(&mut command).await;
    let report = report(&output);
    assert_eq!(report["rows"], 2);
    let database = report["database"].as_str().unwrap();
    assert!(database.ends_with("/media_scan/media.db"), "{database}");
    assert_eq!(stderr(&output), format!("Database: {database:?}\n"));
}

#[tokio::test]
async fn an_empty_folder_is_no_failure() {
    let report = Place::new().scan().await;
    assert_eq!((&report["files"], &report["rows"]), (&0.into(), &0.into()));
}

#[tokio::test]
async fn wrong_arguments_end_with_2() {
    for wrong in [["--batch", "499"], ["--batch", "1001"], ["--readers", "0"], ["--nonsense", "x"]]
    {
        let output = run(program().args(wrong)).await;
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_reader_that_went_away_is_no_crash() {
    let place = Place::with_files(3);
    let script = "set -o pipefail; \"$0\" \"$1\" --db \"$2\" --json | true; exit ${PIPESTATUS[0]}";
    let (tree, db) = (place.tree(), place.db());
    let output = crate::support::shell(script, &[tree.as_os_str(), db.as_os_str()]).await;
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let none: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    assert!(none.is_none());
    assert_eq!(place.count("SELECT count(*) FROM files"), 3);
}
