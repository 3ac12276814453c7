//! A throw-away MariaDB.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use pool_testkit::servers::MariaDb;

use crate::tools::{Session, answers, runs, soon, until};

#[test]
fn it_is_there_and_counts_its_clients() {
    soon(|| {
        let Some(server) = MariaDb::for_test() else { return };
        assert_eq!(server.connections().unwrap(), 0);
        let mut session = Session::mariadb(server.port());
        assert_eq!(session.ask("SELECT database();"), "test");
        assert_eq!(server.connections().unwrap(), 1);
        drop(session);
        until("it is gone", || server.connections().unwrap() == 0);
        assert!(answers(&server.socket(), b"", Duration::from_secs(60)).unwrap());
        assert_eq!(server.url(), format!("mysql://test@127.0.0.1:{}/test", server.port()));
        assert!(server.log().contains("ready for connections"));
    });
}

#[test]
fn settings_hold_from_the_start_or_while_it_runs() {
    soon(|| {
        let Some(server) = MariaDb::builder().setting("wait_timeout", "777").for_test() else {
            return;
        };
        assert_eq!(server.sql("SELECT @@global.wait_timeout").unwrap(), "777");
        server.set("wait_timeout", "666").unwrap();
        server.set("sql_mode", "ANSI_QUOTES,STRICT_ALL_TABLES").unwrap();
        server.set("no_such_variable", "1").unwrap_err();
        server.restart().unwrap();
        assert_eq!(server.sql("SELECT @@global.wait_timeout").unwrap(), "666");
        let mode = server.sql("SELECT @@global.sql_mode").unwrap();
        assert!(mode.contains("ANSI_QUOTES"), "{mode}");

        // All but root are out, and there is room for those who ask.
        server.set("max_connections", "10").unwrap();
        let mut sessions: Vec<_> = (0..10).map(|_| Session::mariadb(server.port())).collect();
        assert!(sessions.iter_mut().all(|session| session.ask("SELECT 1;") == "1"));
        assert_eq!(Session::mariadb(server.port()).ask("SELECT 1;"), "", "too many connections");
        assert_eq!(server.connections().unwrap(), 10);
    });
}

#[test]
fn files_are_beside_the_data_and_for_the_server_alone() {
    soon(|| {
        let server = MariaDb::builder()
            .file("first.sql", "CREATE TABLE test.told (n INT);\n")
            .setting("init-file", "../first.sql");
        let Some(server) = server.for_test() else { return };
        server.sql("SELECT * FROM told").unwrap();
        let file = server.socket_dir().join("first.sql").metadata().unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    });
}

#[test]
fn frozen_it_is_silent_and_thawed_it_goes_on() {
    soon(|| {
        let Some(server) = MariaDb::for_test() else { return };
        let mut session = Session::mariadb(server.port());
        assert_eq!(session.ask("SELECT 1;"), "1");
        server.freeze().unwrap();
        session.say("SELECT 2;");
        assert!(!answers(&server.socket(), b"", Duration::from_millis(300)).unwrap());
        server.thaw().unwrap();
        assert_eq!(session.answer(), "2");
    });
}

#[test]
fn killed_it_is_gone_and_restarted_it_is_back() {
    soon(|| {
        let Some(server) = MariaDb::for_test() else { return };
        let mut session = Session::mariadb(server.port());
        assert_eq!(session.ask("SELECT 1;"), "1");
        let (pid, port) = (server.pid().unwrap(), server.port());
        server.freeze().unwrap();
        server.kill().unwrap();
        assert!(!runs(pid));
        assert_eq!(server.pid(), None);
        assert_eq!(session.ask("SELECT 1;"), "");

        server.restart().unwrap();
        assert_eq!(server.port(), port);
        assert_eq!(Session::mariadb(port).ask("SELECT 7;"), "7");
        server.sql("CREATE TABLE kept SELECT 8 AS n").unwrap();
        server.stop().unwrap();
        server.sql("SELECT 1").unwrap_err();
        server.restart().unwrap();
        assert_eq!(server.sql("SELECT n FROM kept").unwrap(), "8");
    });
}

#[test]
fn two_at_once_do_not_meet_and_drops_leave_nothing() {
    soon(|| {
        let Some(one) = MariaDb::for_test() else { return };
        let two = MariaDb::start().unwrap();
        assert_ne!(one.port(), two.port());
        one.sql("CREATE TABLE only_here (n INT)").unwrap();
        two.sql("SELECT * FROM only_here").unwrap_err();
        let (pid, folder) = (one.pid().unwrap(), one.socket_dir().to_owned());
        drop(one);
        assert!(!runs(pid));
        assert!(!folder.exists());
        assert_eq!(two.connections().unwrap(), 0);
    });
}
