//! What may lie in a collection: odd names, links in circles, things that are no files.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::{Place, run, stderr};

#[tokio::test]
async fn every_file_has_its_row() {
    let place = Place::with_files(1_234);
    place.file("empty.mp3", "");
    place.file(".hidden/.poster.JPG", "x");
    place.file(".gitignore", "*");
    let report = place.scan().await;
    for (name, count) in [("files", 1_237), ("rows", 1_237), ("hashed", 1_237), ("skipped", 0)] {
        assert_eq!(report[name], count, "{name}");
    }
    for (kind, count) in [("video", 1_234), ("audio", 1), ("image", 1), ("other", 1)] {
        let sql = format!("SELECT count(*) FROM files WHERE type = '{kind}' AND hash IS NOT NULL");
        assert_eq!(place.count(&sql), count, "{kind}");
    }
    assert_eq!(place.count("SELECT sum(size) FROM files WHERE name = 'file 1000.mkv'"), 4);
    place.assert_sound();
}

#[tokio::test]
async fn names_may_be_anything() {
    let place = Place::new();
    let names: [&[u8]; 13] = [
        b"it's.mkv",
        b"\"quoted\".mkv",
        b"two\nlines.mkv",
        b"tab\tand\\backslash",
        b"\x1b[31mred",
        "\u{1f3ac} film \u{e9}.mkv".as_bytes(),
        b"e\xcc\x81.mkv", // not the same as the one that is one character
        b"caf\xe9.mp4",
        b"caf%E9.mp4",
        b"caf\xc3\xa9.mp4",
        b"\xff\xfe%",
        b"; DROP TABLE files; --",
        b" ",
    ];
    let folder = OsStr::from_bytes(b"f\xfflder");
    for name in names {
        place.file(OsStr::from_bytes(name), name);
        place.file(PathBuf::from(folder).join(OsStr::from_bytes(name)), name);
    }
    let report = place.scan().await;
    assert_eq!((&report["files"], &report["rows"]), (&26.into(), &26.into()), "{report}");
    assert_eq!(report["errors"], 0);

    let connection = place.open();
    let mut query = connection.prepare("SELECT path, path_bytes FROM files").unwrap();
    let stored = query.query_map([], |row| {
        let (text, bytes): (String, Option<Vec<u8>>) = (row.get(0)?, row.get(1)?);
        Ok(bytes.unwrap_or_else(|| text.into_bytes()))
    });
    let mut stored: Vec<_> = stored.unwrap().map(Result::unwrap).collect();
    stored.sort();
    let tree = fs::canonicalize(place.tree()).unwrap();
    let mut expected: Vec<_> = names
        .iter()
        .flat_map(|name| {
            let name = OsStr::from_bytes(name);
            [tree.join(name), tree.join(folder).join(name)]
        })
        .map(|path| path.into_os_string().into_vec())
        .collect();
    expected.sort();
    assert_eq!(stored, expected);

    let again = place.scan().await;
    assert_eq!((&again["rows"], &again["hashed"]), (&26.into(), &0.into()));
    fs::remove_dir_all(place.tree().join(folder)).unwrap();
    assert_eq!(place.scan().await["rows"], 13);
}

#[tokio::test]
async fn a_folder_whose_own_name_is_no_text_can_be_scanned() {
    let place = Place::new();
    let odd = OsStr::from_bytes(b"m\xe9dia");
    place.file(PathBuf::from(odd).join("a.mkv"), "a");
    place.file("beside.mkv", "b");
    let mut command = crate::support::program();
    command.arg(place.tree().join(odd)).arg("--db").arg(place.db()).arg("--json");
    let report = crate::support::report(&run(&mut command).await);
    assert_eq!((&report["files"], &report["rows"]), (&1.into(), &1.into()));
    assert_eq!(place.scan().await["rows"], 2);
}

#[tokio::test]
async fn links_in_circles_and_things_that_are_no_files_are_skipped() {
    let place = Place::new();
    place.file("a/b/film.mkv", "x");
    for (to, name) in [
        ("..", "a/up"),
        ("../..", "a/b/top"),
        ("self", "self"),
        ("pong", "ping"),
        ("ping", "pong"),
        ("nowhere", "dangling"),
        ("a/b/film.mkv", "second"),
    ] {
        place.link(to, name);
    }
    let fifo = place.tree().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(place.tree().join("socket")).unwrap();
    let report = place.scan().await;
    assert_eq!((&report["files"], &report["rows"]), (&1.into(), &1.into()));
    assert_eq!((&report["skipped"], &report["errors"]), (&9.into(), &0.into()));
}

#[tokio::test]
async fn what_lies_too_deep_is_told_and_the_rest_is_stored() {
    let place = Place::with_files(10);
    // Deeper than a path may be long: made from inside, step by step.
    let name = "d".repeat(200);
    let script = "cd \"$1\" && for i in $(seq 30); do mkdir \"$2\" && cd -P \"$2\" || exit; done; \
                  : > deep.mkv";
    let made = crate::support::shell(script, &[place.tree().as_os_str(), name.as_ref()]).await;
    let report = place.scan().await;
    assert_eq!((&report["files"], &report["rows"]), (&10.into(), &10.into()), "{report}");
    if made.status.success() {
        assert_eq!(report["errors"], 1, "{report}");
    }
}

#[tokio::test]
async fn what_may_not_be_read_is_told_and_its_rows_are_kept() {
    let place = Place::with_files(3);
    place.file("private/secret.mkv", "x");
    place.file("private/deeper/secret.mkv", "x");
    place.file("closed.mkv", "x");
    assert_eq!(place.scan().await["rows"], 6);

    let (private, closed) = (place.tree().join("private"), place.tree().join("closed.mkv"));
    let allow = |mode| {
        fs::set_permissions(&private, fs::Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(mode)).unwrap();
    };
    fs::write(&closed, "changed").unwrap();
    allow(0o000);
    let unreadable = fs::read_dir(&private).is_err();
    let output = run(place.command().arg("--json")).await;
    allow(0o700);
    let report = crate::support::report(&output);
    assert_eq!(report["rows"], 6, "nothing is removed that was not seen to be gone");
    if unreadable {
        assert_eq!((&report["files"], &report["errors"]), (&4.into(), &2.into()));
        let said = stderr(&output);
        assert!(said.contains("Could not be read (2)") && said.contains("private\": "), "{said}");
        assert_eq!(place.count("SELECT count(*) FROM files WHERE hash IS NULL"), 1);
    }
    let healed = place.scan().await;
    assert_eq!((&healed["rows"], &healed["errors"]), (&6.into(), &0.into()));
    assert_eq!(place.count("SELECT count(*) FROM files WHERE hash IS NULL"), 0);
}

#[tokio::test]
async fn a_database_inside_the_folder_is_no_part_of_it() {
    let place = Place::with_files(3);
    for _ in 0..2 {
        let mut command = crate::support::program();
        command.arg(place.tree()).arg("--json").arg("--db").arg(place.tree().join("media.db"));
        let report = crate::support::report(&run(&mut command).await);
        assert_eq!((&report["files"], &report["rows"]), (&3.into(), &3.into()), "{report}");
    }
}
