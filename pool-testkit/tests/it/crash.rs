//! A test process that is killed leaves no server behind.

use std::io::{BufRead, BufReader, Lines};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use pool_testkit::servers::{MariaDb, PgBouncer, Postgres};

use crate::tools::{Session, children, runs, soon, until};

/// Set in the process that is to be killed.
const VICTIM: &str = "POOL_TEST_VICTIM";

/// What the victim says of its servers.
const WORD: &str = "servers:";

#[test]
fn nothing_is_left_of_a_killed_process() {
    soon(|| crash(""));
}

#[test]
fn nothing_is_left_of_a_killed_process_with_frozen_servers() {
    soon(|| crash("frozen"));
}

#[test]
fn nothing_is_left_of_statics_at_a_normal_exit() {
    soon(|| crash("exit"));
}

fn crash(how: &str) {
    let Some(probe) = Postgres::for_test() else { return };
    drop(probe);
    let mut victim = Victim::new(how);
    let (pids, folder) = victim.servers();
    if how == "exit" {
        drop(victim.process.stdin.take()); // it waits for that
        assert!(victim.process.wait().unwrap().success());
    } else {
        // Some were of clients that are gone.
        assert!(pids.iter().filter(|&&pid| runs(pid)).count() > 5, "{pids:?}");
        victim.process.kill().unwrap();
        victim.process.wait().unwrap();
    }
    until("processes gone", || !pids.iter().any(|&pid| runs(pid)));
    until("folder gone", || !folder.exists());
}

/// Not a test: what the tests above run in a process of its own, and kill.
#[test]
#[ignore = "run by other tests"]
fn victim() {
    let Ok(how) = std::env::var(VICTIM) else { return };
    let postgres = Postgres::start().unwrap();
    let bouncer = PgBouncer::start(&postgres).unwrap();
    let mariadb = MariaDb::start().unwrap();
    let mut session = Session::psql(&bouncer.url());
    assert_eq!(session.ask("SELECT 1;"), "1");
    // Busy, and deaf to the end of its parent.
    session.say("SELECT count(*) FROM (SELECT generate_series(1, 1000000000000)) endless;");
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%endless;'";
    until("busy", || postgres.sql(busy).unwrap() == "1");
    if how == "frozen" {
        postgres.freeze().unwrap();
        bouncer.freeze().unwrap();
        mariadb.freeze().unwrap();
    }
    let mains = [postgres.pid(), bouncer.pid(), mariadb.pid()].map(Option::unwrap);
    let pids = mains.iter().chain(&children(mains[0])).map(u32::to_string).collect::<Vec<_>>();
    let run = postgres.socket_dir().parent().unwrap().display();
    println!("\n{WORD}{}:{run}", pids.join(","));
    let _ = std::io::stdin().read_line(&mut String::new());
    // As what is in a static.
    Box::leak(Box::new((postgres, bouncer, mariadb)));
}

struct Victim {
    process: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Victim {
    fn new(how: &str) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut command = Command::new(program);
        command.args(["--exact", "crash::victim", "--ignored", "--nocapture"]);
        command.env(VICTIM, how).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let says = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, says }
    }

    fn servers(&mut self) -> (Vec<u32>, PathBuf) {
        let line = (&mut self.says)
            .map(Result::unwrap)
            .find_map(|line| line.strip_prefix(WORD).map(str::to_owned))
            .expect("a line of the victim");
        let (pids, folder) = line.split_once(':').unwrap();
        (pids.split(',').map(|pid| pid.parse().unwrap()).collect(), folder.into())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_server_outlives_the_thread_that_started_it() {
    soon(|| {
        let start = std::thread::spawn(Postgres::for_test);
        let Some(server) = start.join().unwrap() else { return };
        std::thread::park_timeout(Duration::from_millis(50));
        assert_eq!(server.sql("SELECT 1").unwrap(), "1");
    });
}
