//! R12: servers that are full, and servers that refuse.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pool_mysql::{
    MySqlCredentials, MySqlError, MySqlErrorKind, MySqlPool, MySqlWarning, ResetLevel,
};
use pool_testkit::servers::{MariaDb, MariaDbBuilder};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::load::{Load, ask};
use crate::place::{Place, is_whole, root};
use crate::soon;

fn start(builder: MariaDbBuilder) -> MariaDb {
    builder.start().expect("MariaDB starts")
}

/// Every task is told so, again and again, long before its patience of 30 s ends.
async fn all_are_told(pool: &MySqlPool, tasks: u32, during: Duration, kind: MySqlErrorKind) {
    let mut all = JoinSet::new();
    for _ in 0..tasks {
        let pool = pool.clone();
        all.spawn(async move {
            let end = Instant::now() + during;
            while Instant::now() < end {
                let begun = Instant::now();
                let refused = MySqlError::from(pool.acquire().await.unwrap_err());
                assert_eq!(refused.kind(), kind, "{refused}");
                assert!(!refused.to_string().contains("secret"), "{refused}");
                assert!(begun.elapsed() < Duration::from_secs(10), "its patience is 30");
                sleep(Duration::from_millis(20)).await;
            }
        });
    }
    while let Some(ended) = soon(all.join_next()).await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_a_wrong_password_is_told_to_everyone_and_tried_once_a_second() {
    let server = start(MariaDb::builder());
    let place = Place::on(&root(&server)).await;
    place.tell(&format!("ALTER USER {}@'%' IDENTIFIED BY 'right'", place.name)).await;
    let options = place.builder().options(|options| options.password("secret"));
    let pool = options.build_unchecked().unwrap();
    let begun = Instant::now();
    all_are_told(&pool, 50, Duration::from_secs(3), MySqlErrorKind::Authentication).await;
    let tried = place.status("Access_denied_errors").await;
    let most = 2 + begun.elapsed().as_secs();
    println!("{tried} attempts in {:?}", begun.elapsed());
    assert!((1..=most).contains(&tried), "{tried} attempts in {:?}", begun.elapsed());
}

#[tokio::test]
async fn r12_a_database_that_is_not_there_or_not_for_this_user_is_told_at_once() {
    let place = Place::new().await;
    let elsewhere = |database: String| {
        place.builder().options(|options| options.database(database)).build_unchecked().unwrap()
    };
    let pool = elsewhere("mysql".into());
    all_are_told(&pool, 5, Duration::from_millis(200), MySqlErrorKind::Denied).await;
    let none = format!("{}_none", place.name);
    place.tell(&format!("GRANT ALL ON {none}.* TO {}@'%'", place.name)).await;
    let pool = elsewhere(none.clone());
    all_are_told(&pool, 5, Duration::from_millis(200), MySqlErrorKind::Database).await;
    let told = MySqlError::from(soon(pool.acquire()).await.unwrap_err()).to_string();
    assert!(told.contains(&none), "{told}");
    // And once it is there, it is found.
    place.tell(&format!("CREATE DATABASE {none}")).await;
    sleep(Duration::from_millis(1_500)).await; // an error is remembered for a second
    is_whole(&pool).await;
    place.tell(&format!("DROP DATABASE {none}")).await;
}

/// Without TLS too, where MySQL has the password encrypted by its own key at a user's first login.
#[tokio::test]
async fn a_password_logs_in_without_tls_and_again_at_each_change_of_user() {
    let place = Place::new().await.with("ssl-mode=disabled");
    place.tell(&format!("ALTER USER {}@'%' IDENTIFIED BY 'right ä'", place.name)).await;
    let wrong = place.builder().options(|options| options.password("wrong"));
    let refused = soon(wrong.build()).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (MySqlErrorKind::Authentication, Some(1045)));
    let right = place.builder().options(|options| options.password("right ä"));
    let right = right.max_size(1).reset_level(ResetLevel::ChangeUser);
    let pool = soon(right.build()).await.unwrap();
    for _ in 0..3 {
        let mut connection = soon(pool.acquire()).await.unwrap();
        let found = "SELECT CONCAT_WS(' ', @@character_set_client, @mine IS NULL, DATABASE())";
        let found: String = connection.query_first(found).await.unwrap().unwrap();
        assert_eq!(found, format!("utf8mb4 1 {}", place.name));
        connection.query_drop("SET @mine = 1, NAMES latin1").await.unwrap();
    }
    assert_eq!(pool.snapshot().counts.created, 1, "the same connection");
}

#[tokio::test]
async fn a_locked_account_is_told_as_that() {
    let place = Place::new().await;
    let kind = async |password: &str| {
        let builder = place.builder().options(|options| options.password(password));
        soon(builder.build()).await.unwrap_err().kind()
    };
    let alter = |how: &str| format!("ALTER USER {}@'%' {how}", place.name);
    place.tell(&alter("IDENTIFIED BY 'right'")).await;
    place.tell(&alter("ACCOUNT LOCK")).await;
    assert_eq!(kind("right").await, MySqlErrorKind::Authentication);
    place.tell(&alter("ACCOUNT UNLOCK")).await;
    if !place.is_mariadb {
        place.tell(&alter("FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME 1")).await;
        assert_eq!(kind("wrong").await, MySqlErrorKind::Authentication);
        assert_eq!(kind("right").await, MySqlErrorKind::Authentication);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_a_connection_in_use_serves_the_queue_though_the_password_is_wrong() {
    let place = Place::new().await;
    place.tell(&format!("ALTER USER {}@'%' IDENTIFIED BY 'right'", place.name)).await;
    let right = Arc::new(AtomicBool::new(true));
    let asked = right.clone();
    let builder = place.builder().credentials(move || {
        let password = if asked.load(Ordering::SeqCst) { "right" } else { "rotated" };
        async move { Ok(MySqlCredentials::password(password)) }
    });
    let pool = builder.max_size(4).build().await.unwrap();
    let held = pool.acquire().await.unwrap();
    right.store(false, Ordering::SeqCst);
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { ask(&pool, 1).await }
    });
    sleep(Duration::from_millis(300)).await; // connects fail meanwhile
    assert!(!waiting.is_finished());
    drop(held);
    soon(waiting).await.unwrap().unwrap();
    // And right again at the next connect: credentials are asked for each time.
    right.store(true, Ordering::SeqCst);
    is_whole(&pool).await;
}

/// Two pools, each larger than what there is for both; 30 users each.
async fn share(place: &Place, room: u32) {
    const MAX_SIZE: u32 = 20;
    let warned = Arc::new(AtomicU32::new(0));
    let texts = Arc::new(Mutex::new(HashSet::new()));
    let mut pools = Vec::new();
    for _ in 0..2 {
        let (warned, texts) = (warned.clone(), texts.clone());
        let builder = place.builder().max_size(MAX_SIZE).on_warning(move |warning| {
            if let MySqlWarning::Room { max_size, room, .. } = warning {
                texts.lock().unwrap().insert((*max_size, *room, warning.to_string()));
                warned.fetch_add(1, Ordering::Relaxed);
            }
        });
        pools.push(builder.build().await.unwrap());
    }
    assert_eq!(warned.load(Ordering::Relaxed), 2, "once a pool");
    for (max_size, told, text) in texts.lock().unwrap().iter() {
        assert_eq!((*max_size, *told), (MAX_SIZE, room), "{text}");
    }
    let loads: Vec<_> = pools.iter().map(|pool| Load::start(pool, 30)).collect();
    for load in &loads {
        load.count();
    }
    sleep(Duration::from_secs(3)).await;
    for load in loads {
        let (served, failed) = load.end().await;
        assert_eq!(failed, 0);
        assert!(served > 100, "{served}");
    }
    assert_eq!(warned.load(Ordering::Relaxed), 2, "still once a pool");
    let saturated: u64 = pools.iter().map(|pool| pool.snapshot().counts.connect_saturated).sum();
    let open = place.connections().await;
    println!("{saturated} attempts in vain in 3 s, {open} open");
    assert!(open + 1 >= room as usize, "all there is but the superuser's: {open} of {room}");
    assert!((1..=100).contains(&saturated), "{saturated} attempts in vain");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_a_full_server_is_used_as_far_as_it_goes() {
    let server = start(MariaDb::builder().setting("max_connections", "10"));
    let place = Place::on(&root(&server)).await;
    share(&place, 10).await;
    let refused = place.status("Connection_errors_max_connections").await;
    assert!((1..=100).contains(&refused), "{refused} attempts in vain");
}

/// By a limit of the server's for each user (error 1203).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_a_user_who_has_all_he_may_have_is_served_with_that() {
    let server = start(MariaDb::builder().setting("max_user_connections", "6"));
    let place = Place::on(&root(&server)).await;
    share(&place, 6).await;
}

/// By a limit of this very user (error 1226).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_a_user_with_a_limit_of_his_own_is_served_within_it() {
    let place = Place::new().await;
    place.tell(&format!("ALTER USER {}@'%' WITH MAX_USER_CONNECTIONS 6", place.name)).await;
    share(&place, 6).await;
}
