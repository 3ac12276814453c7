//! Notifications: beside the pool, and across restarts.

use std::sync::Arc;
use std::time::Duration;

use pool_postgres::{Heard, PgListener};
use pool_testkit::servers::Postgres;
use tokio::time::timeout;

use crate::place::{Admin, Place};
use crate::soon;

async fn notification(listener: &mut PgListener) -> (String, String) {
    match soon(listener.recv()).await.unwrap() {
        Heard::Notification(news) => (news.channel().to_owned(), news.payload().to_owned()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_hears_again_after_a_restart() {
    let server = Arc::new(Postgres::start().unwrap());
    let place = Place::on(&server, &server.url()).await;
    let pool = place.builder().max_size(1).build().await.unwrap();
    let mut listener = pool.listener().await.unwrap();
    let channel = "Of \"all\" things";
    listener.listen(channel).await.unwrap();
    listener.listen("other").await.unwrap();
    // It is none of the pool's.
    let _all = soon(pool.acquire()).await.unwrap();
    let say = |payload: &'static str| {
        let server = server.clone();
        async move {
            let admin = Admin::of(&server).await;
            admin.0.query("SELECT pg_notify($1, $2)", &[&channel, &payload]).await.unwrap();
        }
    };
    say("one").await;
    assert_eq!(notification(&mut listener).await, (channel.into(), "one".into()));
    // A recv that is dropped loses nothing.
    timeout(Duration::from_millis(20), listener.recv()).await.unwrap_err();
    say("two").await;
    assert_eq!(notification(&mut listener).await.1, "two");

    listener.unlisten("other").await.unwrap();
    let other = server.clone();
    tokio::task::spawn_blocking(move || other.restart().unwrap()).await.unwrap();
    assert!(matches!(soon(listener.recv()).await.unwrap(), Heard::Reconnected));
    Admin::of(&server).await.0.batch_execute("NOTIFY other").await.unwrap();
    say("three").await;
    assert_eq!(notification(&mut listener).await.1, "three");
    listener.close().await;
}
