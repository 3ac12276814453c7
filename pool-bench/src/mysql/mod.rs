//! `mysql`: MariaDB through our pool, other pools and the bare driver.
//!
//! The server is the run's own and ends with it. Each measurement opens its pool anew, and warms up
//! before it counts: connections are open then, and statements prepared where they are kept.

mod batch;
mod pools;
mod way;

use std::rc::Rc;

use pool_testkit::servers::MariaDb;
use tokio::runtime::{Builder, Runtime};

use crate::contest::{self, Contest, Options};
use crate::lookups::{Pool, enter_many, enter_one};
use crate::report::{Report, version};
use pools::{Apart, Bare, Driver, Ours, Semaphored, Sqlx};
use way::Way;

const SCHEMA: &str = "
    CREATE TABLE item (id integer PRIMARY KEY, name varchar(60) NOT NULL);
    CREATE TABLE film (id bigint PRIMARY KEY, title text NOT NULL, score double NOT NULL);
    INSERT INTO item SELECT seq, concat('item ', seq) FROM seq_1_to_1000;
    ANALYZE TABLE item;";
const SELECT: &str = "SELECT name FROM item WHERE id = ?";

pub(crate) fn run(options: &Options) -> Report {
    let server = MariaDb::start().unwrap_or_else(|error| panic!("{error}"));
    server.sql(SCHEMA).unwrap_or_else(|error| panic!("{error}"));
    let tcp = Way::tcp(&server);
    let runtime = contest::runtime();
    let mut contest = Contest::cold("mysql");

    one_task(&mut contest, &runtime, &tcp, "one task, point select, TCP");
    let one_thread = Builder::new_current_thread().enable_all().build();
    let one_thread = Rc::new(one_thread.expect("a runtime can be made"));
    one_task(&mut contest, &one_thread, &tcp, "one task, point select, TCP, one thread");

    let case = "64 tasks on 8 connections";
    enter_many::<Ours<false>>(&mut contest, &runtime, &tcp, case);
    enter_many::<Ours<true>>(&mut contest, &runtime, &tcp, case);
    enter_many::<Semaphored>(&mut contest, &runtime, &tcp, case);
    enter_many::<Apart>(&mut contest, &runtime, &tcp, case);
    enter_many::<Driver<true>>(&mut contest, &runtime, &tcp, case);
    enter_many::<Driver<false>>(&mut contest, &runtime, &tcp, case);
    enter_many::<Sqlx<true>>(&mut contest, &runtime, &tcp, case);
    enter_many::<Sqlx<false>>(&mut contest, &runtime, &tcp, case);

    batch::enter(&mut contest, &runtime, tcp);
    // The connections go with the contest, the server after them.
    contest.run(options).with_versions(versions())
}

/// The pools for one task, each beside a bare connection.
fn one_task(contest: &mut Contest, runtime: &Rc<Runtime>, way: &Way, case: &str) {
    enter_one::<Ours<false>>(contest, runtime, way, case);
    enter_one::<Ours<true>>(contest, runtime, way, case);
    enter_one::<Bare>(contest, runtime, way, case);
    enter_one::<Driver<true>>(contest, runtime, way, case);
    enter_one::<Driver<false>>(contest, runtime, way, case);
    enter_one::<Sqlx<true>>(contest, runtime, way, case);
    enter_one::<Sqlx<false>>(contest, runtime, way, case);
}

/// Of those whose names do not begin with their package's.
fn versions() -> Vec<(&'static str, &'static str)> {
    let ours = [Ours::<false>::NAME, Ours::<true>::NAME];
    let floors = [Bare::NAME, Semaphored::NAME, Apart::NAME, batch::BULK, batch::VALUES];
    let of = |package| move |name| (name, version(package));
    ours.map(of("pool-mysql")).into_iter().chain(floors.map(of("mysql_async"))).collect()
}
