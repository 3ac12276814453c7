//! What cannot be done is said in one sentence, and nothing is half-written.

use std::fs;

use pool_sqlite::rusqlite::Connection;

use crate::support::{Place, open, program, run, sentence, shell, stderr};

/// Runs `media_scan DIR --db DB`, which must fail, and gives the sentence.
async fn refused(dir: impl AsRef<std::ffi::OsStr>, db: impl AsRef<std::ffi::OsStr>) -> String {
    sentence(&run(program().arg(dir).arg("--db").arg(db).arg("--json")).await)
}

fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "no {part:?} in: {said}");
    }
}

#[tokio::test]
async fn a_folder_that_is_none() {
    let place = Place::new();
    place.file("file", "x");
    let said = refused(place.path().join("none"), place.db()).await;
    assert_says(&said, &["/none\" does not exist", "check the spelling"]);
    let said = refused(place.tree().join("file"), place.db()).await;
    assert_says(&said, &["/file\" is a file, no folder", "name the folder"]);
    assert!(!place.db().exists());
}

#[tokio::test]
async fn a_database_that_cannot_be_there() {
    let place = Place::with_files(1);
    let said = refused(place.tree(), place.path().join("none/x.db")).await;
    assert_says(&said, &["/none/x.db\"", "make the folder", "--db"]);
    let said = refused(place.tree(), place.tree()).await;
    assert_says(&said, &["/tree\"", "is a folder", "--db"]);
    let said = refused(place.tree(), place.tree().join("0/file 0.mkv/x.db")).await;
    assert_says(&said, &["file 0.mkv/x.db\"", "--db"]);
    // Where nobody may write, not even root.
    if fs::metadata("/proc/version").is_ok() {
        let said = refused(place.tree(), "/proc/media.db").await;
        assert_says(&said, &["/proc/media.db\"", "--db"]);
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_as_it_is() {
    let place = Place::with_files(1);
    let text = "this is a letter, not a database. ".repeat(300);
    fs::write(place.db(), &text).unwrap();
    let said = refused(place.tree(), place.db()).await;
    assert_says(&said, &["media.db\" is no SQLite database", "choose another"]);
    assert_eq!(fs::read_to_string(place.db()).unwrap(), text);
}

#[tokio::test]
async fn a_damaged_database() {
    let place = Place::with_many_files(2_000);
    place.scan().await;
    let mut bytes = fs::read(place.db()).unwrap();
    let end = bytes.len();
    bytes[4096..end].fill(0x5a); // all but the page with the tables' names
    fs::write(place.db(), &bytes).unwrap();
    let said = refused(place.tree(), place.db()).await;
    assert_says(&said, &["media.db\" is damaged", "restore a backup"]);
}

#[tokio::test]
async fn another_program_s_database() {
    let place = Place::with_files(1);
    let theirs = Connection::open(place.db()).unwrap();
    theirs.execute_batch("CREATE TABLE files (theirs); INSERT INTO files VALUES (1)").unwrap();
    drop(theirs);
    let said = refused(place.tree(), place.db()).await;
    assert_says(&said, &["media.db\" is another program's", "choose another"]);
    assert_eq!(place.count("SELECT sum(theirs) FROM files"), 1);
}

#[tokio::test]
async fn a_database_that_stays_locked_new_or_not() {
    let (new, old) = (Place::with_files(5), Place::with_files(5));
    old.scan().await;
    let locked = |place: &Place| {
        let other = Connection::open(place.db()).unwrap();
        other.execute_batch("BEGIN EXCLUSIVE").unwrap();
        other
    };
    let _locks = (locked(&new), locked(&old));
    let (new_said, old_said) =
        tokio::join!(refused(new.tree(), new.db()), refused(old.tree(), old.db()));
    for said in [new_said, old_said] {
        assert_says(&said, &["media.db\" is locked by another program", "scan again"]);
    }
}

#[tokio::test]
async fn two_scans_at_once() {
    let place = Place::with_files(5);
    let lock = fs::File::create(place.path().join("media.db-scan")).unwrap();
    lock.lock().unwrap();
    let said = refused(place.tree(), place.db()).await;
    assert_says(&said, &["another scan is writing", "media.db\"", "--db"]);
    drop(lock);
    assert_eq!(place.scan().await["rows"], 5);
}

/// `$0` the program, `$1` the tree, `$2` a folder for the small disk, `$3` where its database goes.
const SMALL_DISK: &str = r#"
    mount -t tmpfs -o size=400k small-disk "$2" || exit 77
    "$0" "$1" --db "$2/media.db" --json
    code=$?
    cp "$2"/media.db* "$3" || exit 78
    exit $code
"#;

#[tokio::test]
async fn a_disk_that_becomes_full() {
    let place = Place::with_many_files(5_000);
    let [disk, saved] = ["disk", "saved"].map(|name| place.path().join(name));
    fs::create_dir(&disk).unwrap();
    fs::create_dir(&saved).unwrap();
    // In a mount namespace of its own, which goes away with it.
    let script = format!(
        "unshare -rm true || exit 77; exec unshare -rm bash -c '{SMALL_DISK}' \"$0\" \"$@\""
    );
    let arguments = [place.tree(), disk, saved.clone()];
    let output = shell(&script, &arguments.each_ref().map(|path| path.as_os_str())).await;
    if output.status.code() == Some(77) {
        return a_file_that_may_not_grow(&place).await; // no right to mount anything here
    }
    let said = sentence(&output);
    assert_says(&said, &["disk/media.db\" has no room left", "free some space"]);
    assert_whole_batches(&saved.join("media.db"));
}

/// As good as a full disk, where there is no right to mount a small one.
async fn a_file_that_may_not_grow(place: &Place) {
    let script = "trap '' XFSZ; ulimit -f 400; exec \"$0\" \"$1\" --db \"$2\" --json";
    let (tree, db) = (place.tree(), place.db());
    let said = sentence(&shell(script, &[tree.as_os_str(), db.as_os_str()]).await);
    assert_says(&said, &["media.db\" cannot be read or written", "check the disk"]);
    assert_whole_batches(&db);
    assert_eq!(place.scan().await["rows"], 5_000);
}

#[tokio::test]
async fn a_file_size_limit() {
    let place = Place::with_many_files(5_000);
    a_file_that_may_not_grow(&place).await;
    place.assert_sound();
}

fn assert_whole_batches(db: &std::path::Path) {
    let connection = open(db);
    let sound: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let rows: i64 =
        connection.query_row("SELECT count(*) FROM files", [], |row| row.get(0)).unwrap();
    assert!(rows < 5_000 && rows % 1_000 == 0, "{rows} rows are not whole batches");
}

#[tokio::test]
async fn a_report_that_cannot_be_written() {
    let place = Place::with_files(3);
    let script = "\"$0\" \"$1\" --db \"$2\" --json > /dev/full";
    let (tree, db) = (place.tree(), place.db());
    let output = shell(script, &[tree.as_os_str(), db.as_os_str()]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_says(&stderr(&output), &["all is stored", "report cannot be written"]);
    assert_eq!(place.count("SELECT count(*) FROM files"), 3);
}
