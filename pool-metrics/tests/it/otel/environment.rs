//! What the environment says is done. Each test starts this binary anew to be run again in there, as
//! nobody changes the environment of a process that has threads.

use std::process::Command;
use std::time::Duration;

use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::{Tracer, TracerProvider};
use pool_metrics::Monitor;
use pool_metrics::otel::{self, Otlp};

use super::receiver::Receiver;
use crate::support::{ms, rounds, secs, watched};

const INSIDE: &str = "POOL_TEST_INSIDE";

/// Whether this is the run in the environment. If not, it is made now, and has to go well.
fn inside(test: &str, variables: &[(&str, &str)]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    pool_testkit::hard_deadline();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&format!("otel::environment::{test}"), "--exact", "--nocapture"]);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OTEL_")) {
        command.env_remove(name);
    }
    let ran = command.envs(variables.iter().copied()).env(INSIDE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
    false
}

/// A pool that exports as the environment says, and is used for a moment.
#[tokio::main(flavor = "current_thread")]
async fn export() {
    let otlp = Otlp::from_env().unwrap().expect("the endpoint is set");
    let monitor = Monitor::new();
    otel::export_metrics(&monitor, &otlp.meter_provider().meter("test"));
    let (_server, pool) = watched(&monitor, 1, |builder| builder);
    rounds(&pool, 3).await;
    drop(otlp.tracer_provider().tracer("application").start("request"));
    otlp.shutdown(secs(60)).await.unwrap();
}

fn came(receiver: &Receiver) {
    let received = &receiver.received;
    assert_eq!((received.named("request").len(), received.count()), (1, 1));
    let text = received.text();
    for said in ["shop-of-plots", "blue-side", "token-of-the-test", "db.client.connection.max"] {
        assert!(text.contains(said), "{said} is not in {text}");
    }
}

fn variables<'a>(endpoint: &'a str, protocol: &'a str) -> [(&'static str, &'a str); 5] {
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-token=token-of-the-test"),
        ("OTEL_SERVICE_NAME", "shop-of-plots"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.side=blue-side"),
    ]
}

#[test]
fn grpc() {
    let receiver = Receiver::grpc();
    if inside("grpc", &variables(&receiver.url(), "grpc")) {
        return export();
    }
    came(&receiver);
}

#[test]
fn http_protobuf() {
    let receiver = Receiver::http();
    if inside("http_protobuf", &variables(&receiver.url(), "http/protobuf")) {
        return export();
    }
    came(&receiver);
}

#[test]
fn no_endpoint_no_export() {
    let unset = [("OTEL_EXPORTER_OTLP_ENDPOINT", ""), ("OTEL_SERVICE_NAME", "shop")];
    if inside("no_endpoint_no_export", &unset) {
        assert!(Otlp::from_env().unwrap().is_none());
    }
}

#[test]
fn an_endpoint_without_meaning_is_an_error() {
    let wrong =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", "no url"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    if inside("an_endpoint_without_meaning_is_an_error", &wrong) {
        assert!(Otlp::from_env().is_err());
    }
}

#[test]
fn r25_what_is_wrong_with_an_endpoint_is_said_without_its_password() {
    let test = "r25_what_is_wrong_with_an_endpoint_is_said_without_its_password";
    for protocol in ["grpc", "http/protobuf"] {
        let endpoint = "http://me:canary^of the password@127.0.0.1:1";
        if inside(test, &variables(endpoint, protocol)) {
            let error = Otlp::from_env().expect_err("that is no URL");
            let said = format!("{error} {error:?}");
            assert!(!said.contains("canary") && said.contains("endpoint"), "{said}");
            return;
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn no_thread_is_left_when_the_collector_says_nothing() {
    fn threads() -> usize {
        std::fs::read_dir("/proc/self/task").unwrap().count()
    }

    let silent = Receiver::silent();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", silent.url())];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    if !inside("no_thread_is_left_when_the_collector_says_nothing", &variables) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    drop(silent);
    let before = threads();
    runtime.block_on(async {
        for _ in 0..10 {
            let otlp = Otlp::from_env().unwrap().unwrap();
            drop(otlp.tracer_provider().tracer("application").start("request"));
            let _ = otlp.shutdown(ms(20)).await;
        }
        while threads() > before {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}
