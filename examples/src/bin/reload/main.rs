//! A service whose pool goes by a file and by the environment, and by new settings when it is sent
//! SIGHUP: `reload --help`.
//!
//! It shows one configuration struct for everything, read with `config` or with `figment`; the
//! database chosen at run time; and a pool that is reconfigured while it runs. What it does is said
//! on stdout, a line each.
#![forbid(unsafe_code)]

mod app;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use pool_any::{AnyBuilder, AnyPool};
use pool_config::Loader;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{App, Reader};

/// How long connections in use may take to come back at the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens a pool by a file and the environment; SIGHUP reads both again, SIGTERM and Ctrl-C end it.
#[derive(Debug, Parser)]
#[command(name = "reload", version)]
struct Args {
    /// The settings, as TOML, YAML or JSON
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Which library reads the file
    #[arg(long, value_enum, default_value_t = Reader::Config)]
    reader: Reader,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("reload: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    // Signals first: one that comes while the pool opens is not lost.
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (app, builder) = read(args)?;
    print!("{}", builder.loaded());
    let pool = builder.build().await?;
    println!("{} is open on {}", app.service, pool.backend());
    loop {
        tokio::select! {
            _ = hangup.recv() => match reload(args, &pool) {
                Ok(done) => println!("{done}"),
                // What is wrong with the file is no reason to end a service that runs.
                Err(error) => println!("nothing is changed: {error}"),
            },
            _ = terminate.recv() => break,
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    let report = pool.close(PATIENCE).await;
    println!("closed, {}", if report.is_complete() { "all of it" } else { "not all of it" });
    Ok(())
}

fn reload(args: &Args, pool: &AnyPool) -> Result<String, Box<dyn Error>> {
    let (_, builder) = read(args)?;
    Ok(pool.reconfigure(&builder.loaded().config)?.to_string())
}

/// All settings: the environment's count over the file's.
fn read(args: &Args) -> Result<(App, AnyBuilder), Box<dyn Error>> {
    let app = App::read(&args.file, args.reader)?;
    let loader = Loader::new().env().file(name(&args.file), &app.database);
    Ok((app, AnyBuilder::new(loader)?))
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}
