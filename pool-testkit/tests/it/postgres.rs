//! A throw-away PostgreSQL.

use std::process::Command;
use std::time::Duration;

use pool_testkit::servers::Postgres;

use crate::tools::{Session, answers, children, runs, soon, until};

/// What a client says to ask for encryption; the answer is one letter.
const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];

#[test]
fn it_is_there_and_counts_its_clients() {
    soon(|| {
        let Some(server) = Postgres::for_test() else { return };
        assert_eq!(server.connections().unwrap(), 0);
        let mut one = Session::psql(&server.url());
        let mut two = Session::psql(&format!(
            "host={} port={} user=test dbname=test",
            server.socket_dir().display(),
            server.port()
        ));
        assert_eq!(one.ask("SELECT current_user;"), "test");
        assert_eq!(two.ask("SELECT current_database();"), "test");
        assert_eq!(server.connections().unwrap(), 2);
        drop(one);
        until("one is gone", || server.connections().unwrap() == 1);
        assert!(answers(&server.socket(), SSL_REQUEST, Duration::from_secs(60)).unwrap());
        assert!(server.log().contains("ready to accept connections"));
    });
}

#[test]
fn settings_hold_from_the_start_or_while_it_runs() {
    soon(|| {
        let builder = Postgres::builder().setting("max_connections", "5");
        let Some(server) = builder.setting("work_mem", "1234kB").for_test() else { return };
        assert_eq!(server.sql("SHOW max_connections").unwrap(), "5");
        assert_eq!(server.sql("SHOW work_mem").unwrap(), "1234kB");

        server.set("work_mem", "2345kB").unwrap();
        assert_eq!(server.sql("SHOW work_mem").unwrap(), "2345kB");
        server.set("max_connections", "4").unwrap();
        assert_eq!(server.sql("SHOW max_connections").unwrap(), "5");
        server.restart().unwrap();
        assert_eq!(server.sql("SHOW max_connections").unwrap(), "4");
        assert_eq!(server.sql("SHOW work_mem").unwrap(), "2345kB");

        // One is left for ordinary users, and room for those who ask.
        let mut only = Session::psql(&server.url());
        assert_eq!(only.ask("SELECT 1;"), "1");
        assert_eq!(Session::psql(&server.url()).ask("SELECT 1;"), "", "too many clients");
        assert_eq!(server.connections().unwrap(), 1);
        server.set("no_such_setting", "1").unwrap_err();
    });
}

#[test]
fn frozen_it_is_silent_and_thawed_it_goes_on() {
    soon(|| {
        let Some(server) = Postgres::for_test() else { return };
        let mut session = Session::psql(&server.url());
        assert_eq!(session.ask("SELECT 1;"), "1");

        server.freeze().unwrap();
        session.say("SELECT 2;");
        // The kernel takes the connection, nobody answers.
        assert!(!answers(&server.socket(), SSL_REQUEST, Duration::from_millis(300)).unwrap());
        server.thaw().unwrap();
        assert_eq!(session.answer(), "2");

        server.freeze().unwrap();
        server.stop().unwrap();
        assert_eq!(session.ask("SELECT 3;"), "");
    });
}

#[test]
fn killed_it_is_gone_and_restarted_it_is_back_with_its_data() {
    soon(|| {
        let Some(server) = Postgres::for_test() else { return };
        server.sql("CREATE TABLE t AS SELECT 7 AS n").unwrap();
        let mut session = Session::psql(&server.url());
        assert_eq!(session.ask("SELECT 1;"), "1");
        let (pid, port) = (server.pid().unwrap(), server.port());
        let mut all = children(pid);
        assert!(all.len() > 1, "{all:?}");
        all.push(pid);

        server.freeze().unwrap();
        server.kill().unwrap();
        assert!(!all.into_iter().any(runs));
        assert_eq!(server.pid(), None);
        assert_eq!(session.ask("SELECT 1;"), "");
        server.sql("SELECT 1").unwrap_err();
        server.freeze().unwrap_err();
        server.kill().unwrap();

        server.restart().unwrap();
        assert_eq!(server.port(), port);
        assert_eq!(Session::psql(&server.url()).ask("SELECT 7;"), "7");
        // Nothing is durable, so nothing is said of the table; but an orderly stop keeps it.
        server.sql("CREATE TABLE kept AS SELECT 8 AS n").unwrap();
        server.stop().unwrap();
        assert_eq!(server.pid(), None);
        server.restart().unwrap();
        assert_eq!(server.sql("SELECT n FROM kept").unwrap(), "8");
    });
}

#[test]
fn killed_by_somebody_else_it_can_be_restarted_too() {
    soon(|| {
        let Some(server) = Postgres::for_test() else { return };
        let kill = format!("kill -KILL {}", server.pid().unwrap());
        Command::new("sh").args(["-c", &kill]).status().unwrap();
        until("it is gone", || server.pid().is_none());
        server.restart().unwrap();
        assert_eq!(server.sql("SELECT 1").unwrap(), "1");
    });
}

#[test]
fn two_at_once_do_not_meet_and_drops_leave_nothing() {
    soon(|| {
        let Some(one) = Postgres::for_test() else { return };
        let two = Postgres::start().unwrap();
        assert_ne!(one.port(), two.port());
        one.sql("CREATE TABLE only_here ()").unwrap();
        two.sql("SELECT * FROM only_here").unwrap_err();

        let (pid, folder) = (one.pid().unwrap(), one.socket_dir().to_owned());
        let mut all = children(pid);
        all.push(pid);
        one.freeze().unwrap();
        drop(one);
        assert!(!all.into_iter().any(runs));
        assert!(!folder.exists());
        assert_eq!(two.connections().unwrap(), 0);
    });
}

#[test]
fn what_it_refuses_is_told_with_its_log() {
    soon(|| {
        let builder = Postgres::builder();
        let Some(server) = builder.clone().for_test() else { return };
        drop(server);
        let error = builder.setting("no_such_setting", "1").start().unwrap_err().to_string();
        assert!(error.contains("no_such_setting"), "{error}");
    });
}
