//! A web service on SQLite that tells how its pool does: `service --help`.
//!
//! It shows the endpoints of pool-metrics nested in an application, a handler that answers 503 when
//! there is no connection, and an end in order at SIGTERM or Ctrl-C: requests under way are answered,
//! then the pool is closed.
#![forbid(unsafe_code)]

mod app;

use std::error::Error;
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use pool_metrics::Monitor;
use pool_metrics::http::{Endpoints, Token};
use pool_sqlite::{SqliteBuilder, SqlitePool};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::sleep;

/// The token's variable in the environment.
const TOKEN: &str = "SERVICE_TOKEN";

/// How long connections in use may take to come back at the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Counts visits: GET and POST /visits. How its pool does is told under /ops, to those with the
/// token in the environment variable SERVICE_TOKEN, or without one to this machine.
#[derive(Debug, Parser)]
#[command(name = "service", version)]
struct Args {
    /// Where to listen; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// The database; in memory without it
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,

    /// A file with the token, instead of the environment
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("service: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    // Signals first: one that comes while the database opens is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let monitor = Monitor::builder().prefix("service").build();
    let pool = open(&args, &monitor).await?;
    monitor.watch("visits", pool.views());
    tokio::spawn(monitor.run());

    let counted = pool.clone();
    let mut endpoints = Endpoints::new(monitor).with_counts(move || {
        let pool = counted.clone();
        async move { Ok::<_, app::Fault>([("visits", app::visits(&pool).await?)]) }
    });
    if let Some(token) = token(&args)? {
        endpoints = endpoints.token(token);
    }
    endpoints.check_address(args.listen)?;

    let live = endpoints.dashboard();
    let app = app::router(pool.clone()).nest("/ops", endpoints.router());
    let listener = TcpListener::bind(args.listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let (over, ended) = oneshot::channel();
    let told = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        live.shutdown(); // who looks would hold the server
        let _ = over.send(());
    };
    let serving = axum::serve(listener, app).with_graceful_shutdown(told);
    tokio::select! {
        served = serving.into_future() => served?,
        // Who is slower than that is left alone: the database is to be closed in order.
        () = async { let _ = ended.await; sleep(PATIENCE).await } => {}
    }

    let report = pool.close(PATIENCE).await;
    println!("closed, {}", if report.is_complete() { "all of it" } else { "not all of it" });
    Ok(())
}

async fn open(args: &Args, monitor: &Monitor) -> Result<SqlitePool, Box<dyn Error>> {
    let builder = match &args.db {
        Some(file) => SqliteBuilder::file(file),
        None => SqliteBuilder::in_memory(),
    };
    // A caller who would wait for longer has gone.
    let builder = builder.acquire_timeout(Duration::from_secs(2));
    let observed = builder.metrics(monitor.metrics()).observer(monitor.statements_observer());
    let pool = observed.build().await?;
    app::prepare(&pool).await?;
    Ok(pool)
}

fn token(args: &Args) -> Result<Option<Token>, Box<dyn Error>> {
    Ok(match &args.token_file {
        Some(file) => Some(Token::from_file(file)?),
        None if std::env::var_os(TOKEN).is_some() => Some(Token::from_env(TOKEN)?),
        None => None,
    })
}
