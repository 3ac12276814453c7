//! The live page over databases that exist only in memory, one in each state there is.
//!
//! `cargo run -p pool-metrics --example dashboard --features dashboard -- [PORT] [TOKEN]`, then open
//! `http://127.0.0.1:PORT/dashboard#token=TOKEN`. `POST /state/NAME/STATE` puts a database into
//! another state: `load`, `idle`, `exhausted` or `down`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use pool_core::ManagedPool;
use pool_metrics::Monitor;
use pool_metrics::dashboard::Dashboard;
use pool_sql::{ErrorCode, Outcome, Statement, StatementObserver};
use pool_testkit::{FakeManager, FakeServer};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

type Pool = ManagedPool<FakeManager>;

/// A database, and those who use it.
#[derive(Clone)]
struct Database {
    server: FakeServer,
    pool: Pool,
    state: watch::Sender<String>,
}

const MAX_SIZE: u32 = 10;
const OPERATIONS: [&str; 4] = ["list_orders", "find_customer", "place_order", "nightly_report"];

impl Database {
    fn start(monitor: &Monitor, name: &str, state: &str) -> Self {
        let server = FakeServer::new();
        server.answers_after(Duration::from_micros(300));
        let pool = ManagedPool::builder(server.manager())
            .name(name)
            .max_size(MAX_SIZE)
            .min_idle(2)
            .acquire_timeout(Duration::from_secs(2))
            .metrics(monitor.metrics())
            .build()
            .expect("valid settings");
        monitor.watch(name, [pool.view()]);
        let database = Self { server, pool, state: watch::Sender::new("idle".to_owned()) };
        database.put_into(state_of(state));
        for user in 0..24 {
            tokio::spawn(database.clone().user(user, monitor.statements_observer()));
        }
        database
    }

    fn put_into(&self, state: &str) {
        if state == "down" {
            self.server.down()
        } else {
            self.server.up()
        }
        self.state.send_replace(state.to_owned());
    }

    /// Uses connections as the state of the database has it.
    async fn user(self, user: usize, observer: Arc<dyn StatementObserver>) {
        let mut states = self.state.subscribe();
        let mut random = fastrand::Rng::with_seed(user as u64);
        loop {
            let state = states.borrow_and_update().clone();
            let (users, hold, pause) = match state.as_str() {
                "load" => (12, 1 + random.u64(0..40), random.u64(0..40)),
                "exhausted" => (24, 700 + random.u64(0..1_300), 0),
                "down" => (6, 5, 300),
                _ => (0, 0, 0),
            };
            if user >= users {
                let _ = states.changed().await;
                continue;
            }
            let among = random.usize(1..=OPERATIONS.len()); // the first are the most frequent
            let operation = OPERATIONS[random.usize(0..among)];
            if let Ok(mut connection) = self.pool.acquire().operation(operation).await {
                let begun = Instant::now();
                let failed = connection.ask().await.is_err();
                connection.work(Duration::from_millis(hold / 2)).await;
                sleep(Duration::from_millis(hold / 2)).await;
                let outcome = Outcome::new(begun.elapsed()).with_rows(3);
                let outcome = if failed || random.u32(0..500) == 0 {
                    outcome.with_error(ErrorCode::new("40001"))
                } else {
                    outcome
                };
                let statement = Statement::new("fake").with_operation(operation);
                observer.finished(&statement, &outcome);
                if random.u32(0..800) == 0 {
                    connection.invalidate();
                }
            }
            sleep(Duration::from_millis(pause)).await;
        }
    }
}

fn state_of(name: &str) -> &str {
    if ["load", "exhausted", "down"].contains(&name) { name } else { "idle" }
}

/// A small guard, where a service has its own.
async fn guard(State(token): State<Arc<str>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|given| given.to_str().ok());
    if token.is_empty() || given.and_then(|given| given.strip_prefix("Bearer ")) == Some(&token) {
        return next.run(request).await;
    }
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")]).into_response()
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().map_or(9898, |port| port.parse().expect("PORT: a number"));
    let token: Arc<str> = arguments.next().unwrap_or_default().into();

    let monitor = Monitor::new();
    let in_states = [
        ("orders", "load"),
        ("customers", "exhausted"),
        ("reports", "down"),
        ("archive", "idle"),
        ("legacy", "load"),
    ];
    let databases = in_states.map(|(name, state)| Database::start(&monitor, name, state));
    // One that nobody has used, and one that was closed after some use.
    let unused = ManagedPool::builder(FakeServer::new().manager()).name("unused").build();
    let unused = unused.expect("valid settings");
    monitor.watch("unused", [unused.view()]);
    sleep(Duration::from_millis(300)).await;
    databases[4].put_into("idle");
    databases[4].pool.close(Duration::from_secs(1)).await;
    databases[3].pool.acquire().await.map(drop).expect("a fake server that is up");
    tokio::spawn(monitor.run());

    let dashboard = Dashboard::new(&monitor);
    let put = async move |Path((name, state)): Path<(String, String)>| {
        let found = in_states.iter().position(|(database, _)| *database == name);
        found.map_or(StatusCode::NOT_FOUND, |at| {
            databases[at].put_into(state_of(&state));
            StatusCode::NO_CONTENT
        })
    };
    let app = dashboard
        .live()
        .layer(from_fn_with_state(token, guard))
        .merge(dashboard.page())
        .route("/state/{name}/{state}", post(put));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("a free port");
    println!("http://{}/dashboard", listener.local_addr().expect("bound"));
    let stop = async move {
        let _ = tokio::signal::ctrl_c().await;
        dashboard.shutdown();
    };
    axum::serve(listener, app).with_graceful_shutdown(stop).await.expect("serves");
}
