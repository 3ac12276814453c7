//! Somebody else's crate, outside this workspace, with a manager and ten lines of harness.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A manager that has nothing to do with this project.
const MANAGER: &str = r#"
use pool_core::{ConnectContext, Manager};
use pool_testkit::conformance::Harness;

struct Numbers { honest: bool }

impl Manager for Numbers {
    type Connection = u64;
    type Error = std::io::Error;

    async fn connect(&self, cx: &ConnectContext) -> std::io::Result<u64> { Ok(cx.id()) }
    async fn ping(&self, _: &mut u64) -> std::io::Result<()> {
        if self.honest { Ok(()) } else { Err(std::io::Error::other("no answer, ever")) }
    }
}
"#;

const TEN_LINES: &str = r#"
struct Mine;
impl Harness for Mine {
    type Manager = Numbers;
    async fn new() -> Self { Mine }
    fn manager(&self) -> Numbers { Numbers { honest: HONEST } }
}
pool_testkit::conformance!(Mine, without(
    break_connection = "a number cannot break", open_connections = "nobody counts",
    transactions = "numbers have none", session_state = "numbers have none",
));
"#;

/// Makes the crate and runs those of its tests that are called like this: whether they passed, and
/// what they said.
fn run(folder: &Path, honest: bool, called: &str) -> (bool, String) {
    let kit = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = kit.parent().expect("the kit lies in the workspace");
    std::fs::create_dir_all(folder.join("tests")).unwrap();
    std::fs::create_dir_all(folder.join("src")).unwrap();
    let manifest = format!(
        "[workspace]\n[package]\nname = \"downstream\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         [dev-dependencies]\npool-core = {{ path = {:?} }}\npool-testkit = {{ path = {kit:?} }}\n",
        root.join("pool-core"),
    );
    let tests = format!("{MANAGER}{}", TEN_LINES.replace("HONEST", &honest.to_string()));
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.join("src/lib.rs"), "").unwrap();
    std::fs::write(folder.join("tests/conformance.rs"), tests).unwrap();
    // The same versions as here, which are on this machine already.
    std::fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG") || text.starts_with("CARGO_MANIFEST") {
            cargo.env_remove(&name);
        }
    }
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("downstream");
    let output = cargo
        .args(["test", "--offline", "--test", "conformance", "--", called])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("cargo can be run");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_crate_outside_runs_the_suite_with_ten_lines() {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let folder = tempfile::tempdir().unwrap();
        let honest = run(folder.path(), true, "");
        sender.send((honest, run(folder.path(), false, "r19_always"))).unwrap();
    });
    let limit = Duration::from_secs(600);
    let ((passed, said), (lied, found)) = receiver.recv_timeout(limit).expect("it hangs");
    assert!(passed, "{said}");
    let count = |text: &str, end: &str| text.lines().filter(|line| line.ends_with(end)).count();
    assert!(count(&said, "... ok") > 150, "{said}");
    assert!(count(&said, "ignored, a number cannot break") > 2, "{said}");
    assert!(TEN_LINES.trim().lines().count() <= 10);
    assert!(!lied, "a manager whose pings never pass is noticed");
    assert!(found.contains("r19_always_means_a_ping_before_each_use ... FAILED"), "{found}");
}
