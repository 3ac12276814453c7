//! `postgres`: PostgreSQL through our pool, other pools and the bare driver.
//!
//! The server is the run's own and ends with it. Each measurement opens its pool anew, and warms up
//! before it counts: connections are open then, statements prepared and planned.

mod batch;
mod pools;
mod way;

use std::rc::Rc;

use pool_testkit::servers::Postgres;
use tokio::runtime::{Builder, Runtime};

use crate::contest::{self, Contest, Options};
use crate::lookups::{Pool, enter_many, enter_one};
use crate::report::{Report, version};
use pools::{
    Bare, Bb8, CLEAN, Deadpool, FAST, Ours, Semaphored, SharedByAll, SharedInTurn, Sqlx, VERIFIED,
};
use way::Way;

const SCHEMA: &str = "
    CREATE TABLE item (id integer PRIMARY KEY, value integer NOT NULL);
    CREATE TABLE film (id bigint PRIMARY KEY, title text NOT NULL, year bigint NOT NULL);
    INSERT INTO item SELECT i, i * 7 FROM generate_series(1, 1000) i;
    ALTER TABLE item OWNER TO test;
    ALTER TABLE film OWNER TO test;";
const SELECT: &str = "SELECT value FROM item WHERE id = $1";

pub(crate) fn run(options: &Options) -> Report {
    let server = Postgres::start().unwrap_or_else(|error| panic!("{error}"));
    for sql in [SCHEMA, "VACUUM ANALYZE item"] {
        server.sql(sql).unwrap_or_else(|error| panic!("{error}"));
    }
    let (unix, tcp) = (Way::unix(&server), Way::tcp(&server));
    let runtime = contest::runtime();
    let mut contest = Contest::cold("postgres");

    one_task(&mut contest, &runtime, &unix, "one task, point select, unix socket");
    one_task(&mut contest, &runtime, &tcp, "one task, point select, TCP");
    let one_thread = Builder::new_current_thread().enable_all().build();
    let one_thread = Rc::new(one_thread.expect("a runtime can be made"));
    one_task(&mut contest, &one_thread, &unix, "one task, point select, unix socket, one thread");

    let case = "64 tasks on 8 connections";
    enter_many::<Ours>(&mut contest, &runtime, &unix, case);
    enter_many::<Semaphored>(&mut contest, &runtime, &unix, case);
    enter_many::<Deadpool<FAST>>(&mut contest, &runtime, &unix, case);
    enter_many::<Deadpool<VERIFIED>>(&mut contest, &runtime, &unix, case);
    enter_many::<Deadpool<CLEAN>>(&mut contest, &runtime, &unix, case);
    enter_many::<Sqlx<true>>(&mut contest, &runtime, &unix, case);
    enter_many::<Sqlx<false>>(&mut contest, &runtime, &unix, case);
    enter_many::<Bb8>(&mut contest, &runtime, &unix, case);

    let case = "shared, pipelined";
    enter_many::<SharedInTurn>(&mut contest, &runtime, &unix, case);
    enter_many::<SharedByAll>(&mut contest, &runtime, &unix, case);

    batch::enter(&mut contest, &runtime, &unix);
    // The connections go with the contest, the server after them.
    contest.run(options).with_versions(versions())
}

/// The pools for one task, each beside a bare client.
fn one_task(contest: &mut Contest, runtime: &Rc<Runtime>, way: &Way, case: &str) {
    enter_one::<Ours>(contest, runtime, way, case);
    enter_one::<Bare>(contest, runtime, way, case);
    enter_one::<Deadpool<FAST>>(contest, runtime, way, case);
    enter_one::<Deadpool<VERIFIED>>(contest, runtime, way, case);
    enter_one::<Deadpool<CLEAN>>(contest, runtime, way, case);
    enter_one::<Sqlx<true>>(contest, runtime, way, case);
    enter_one::<Sqlx<false>>(contest, runtime, way, case);
    enter_one::<Bb8>(contest, runtime, way, case);
}

/// Of those whose names do not begin with their package's.
fn versions() -> Vec<(&'static str, &'static str)> {
    let driver = version("tokio-postgres");
    let floors = [Bare::NAME, Semaphored::NAME, SharedInTurn::NAME, SharedByAll::NAME, batch::COPY];
    let mut versions = vec![(Ours::NAME, version("pool-postgres"))];
    versions.extend(floors.map(|floor| (floor, driver)));
    versions
}
