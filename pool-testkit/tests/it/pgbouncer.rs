//! A throw-away PgBouncer in front of a PostgreSQL.

use std::time::Duration;

use pool_testkit::servers::{PgBouncer, Postgres};

use crate::tools::{Session, answers, runs, soon, until};

const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];

fn both() -> Option<(Postgres, PgBouncer)> {
    let postgres = Postgres::for_test()?;
    let bouncer = PgBouncer::for_test(&postgres)?;
    Some((postgres, bouncer))
}

#[test]
fn it_is_there_and_counts_both_sides() {
    soon(|| {
        let Some((postgres, bouncer)) = both() else { return };
        assert_eq!((bouncer.connections().unwrap(), bouncer.server_connections().unwrap()), (0, 0));
        let mut sessions: Vec<_> = (0..3).map(|_| Session::psql(&bouncer.url())).collect();
        // By transaction: three clients in turn take one connection.
        assert!(sessions.iter_mut().all(|session| session.ask("SELECT current_user;") == "test"));
        assert_eq!((bouncer.connections().unwrap(), bouncer.server_connections().unwrap()), (3, 1));
        assert_eq!(postgres.connections().unwrap(), 1);
        sessions.pop();
        until("two are left", || bouncer.connections().unwrap() == 2);
        assert!(answers(&bouncer.socket(), SSL_REQUEST, Duration::from_secs(60)).unwrap());
    });
}

#[test]
fn settings_hold_from_the_start_or_while_it_runs() {
    soon(|| {
        let Some(postgres) = Postgres::for_test() else { return };
        let builder = PgBouncer::builder(&postgres).setting("query_wait_timeout", "77");
        let Some(bouncer) = builder.for_test() else { return };
        let has = |line: &str| {
            let config = bouncer.admin("SHOW CONFIG").unwrap();
            assert!(config.lines().any(|other| other.starts_with(line)), "{line}: {config}");
        };
        has("query_wait_timeout|77|");
        bouncer.set("default_pool_size", "3").unwrap();
        has("default_pool_size|3|");
        bouncer.set("no_such_setting", "3").unwrap_err();
        bouncer.restart().unwrap();
        has("default_pool_size|3|");
        has("query_wait_timeout|77|");
    });
}

#[test]
fn it_freezes_dies_and_comes_back_while_the_server_lives() {
    soon(|| {
        let Some((postgres, bouncer)) = both() else { return };
        let mut session = Session::psql(&bouncer.url());
        assert_eq!(session.ask("SELECT 1;"), "1");

        bouncer.freeze().unwrap();
        session.say("SELECT 2;");
        assert!(!answers(&bouncer.socket(), SSL_REQUEST, Duration::from_millis(300)).unwrap());
        bouncer.thaw().unwrap();
        assert_eq!(session.answer(), "2");

        let (pid, port) = (bouncer.pid().unwrap(), bouncer.port());
        bouncer.kill().unwrap();
        assert!(!runs(pid));
        assert_eq!(session.ask("SELECT 1;"), "");
        bouncer.restart().unwrap();
        assert_eq!(bouncer.port(), port);
        assert_eq!(Session::psql(&bouncer.url()).ask("SELECT 3;"), "3");
        bouncer.stop().unwrap();
        bouncer.admin("SHOW VERSION").unwrap_err();
        bouncer.restart().unwrap();

        // And the other way round.
        postgres.restart().unwrap();
        assert_eq!(Session::psql(&bouncer.url()).ask("SELECT 4;"), "4");
    });
}

#[test]
fn two_at_once_do_not_meet_and_drops_leave_nothing() {
    soon(|| {
        let Some((postgres, one)) = both() else { return };
        let two = PgBouncer::start(&postgres).unwrap();
        assert_ne!(one.port(), two.port());
        let (pid, folder) = (one.pid().unwrap(), one.socket_dir().to_owned());
        drop(one);
        assert!(!runs(pid));
        assert!(!folder.exists());
        assert_eq!(Session::psql(&two.url()).ask("SELECT 1;"), "1");
    });
}
