//! A pool that goes by a file, and by another when told so.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::{end, signal, within_deadline};

struct Service {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    dir: TempDir,
}

impl Service {
    async fn start(database: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), database);
        let mut child = Command::new(env!("CARGO_BIN_EXE_reload"))
            .arg(dir.path().join("app.toml"))
            .env("DATABASE_URL", format!("sqlite://{}", dir.path().join("a.db").display()))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, dir }
    }

    /// The next line with this in it.
    async fn says(&mut self, part: &str) -> String {
        within_deadline(async {
            loop {
                let line = self.lines.next_line().await.unwrap().expect("it says no more");
                if line.contains(part) {
                    return line;
                }
            }
        })
        .await
    }

    async fn reload(&mut self, database: &str) {
        write(self.dir.path(), database);
        signal(&self.child, "HUP").await;
    }
}

fn write(dir: &Path, database: &str) {
    let text = format!("service = 'plots'\n[database]\n{database}\n");
    std::fs::write(dir.join("app.toml"), text).unwrap();
}

#[tokio::test]
async fn sighup_reads_the_settings_again() {
    let mut service = Service::start("max_size = 5\nidle_timeout = '10m'").await;
    let size = service.says("max_size").await;
    assert!(size.contains("5") && size.contains("max_size in app.toml"), "{size}");
    service.says("plots is open on sqlite").await;

    service.reload("max_size = 9\nidle_timeout = '30s'\nname = 'other'").await;
    let done = service.says("changed").await;
    assert_eq!(done, "changed max_size, idle_timeout; needs a restart: name");

    service.reload("max_size = 0").await;
    let refused = service.says("nothing is changed").await;
    assert!(
        refused.contains("max_size in app.toml is \"0\": want max_size at least 1"),
        "{refused}"
    );

    service.reload("max_sise = 4").await;
    let refused = service.says("nothing is changed").await;
    assert!(refused.contains("did you mean max_size?"), "{refused}");

    service.reload("max_size = 9\nidle_timeout = '30s'").await;
    assert_eq!(service.says("changed").await, "changed nothing");

    signal(&service.child, "TERM").await;
    service.says("closed, all of it").await;
    let Service { child, .. } = service;
    assert!(end(child).await.status.success());
}
