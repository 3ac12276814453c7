#!/usr/bin/env bash
# Runs the tests. Installs what it needs first (as root, or with sudo).
#   ./test.sh            everything but the long checks: stress, fuzz, mutants, bench
#   ./test.sh quick      the workspace's tests only
#   ./test.sh api        the endpoints of pool-metrics, asked at random by their OpenAPI document
#   ./test.sh loom       nine races of the engine, in every interleaving
#   ./test.sh shuttle    the whole engine in thousands of random schedules; POOL_SEED, POOL_SCHEDULES
#   ./test.sh page       the live page in Chromium; pictures of it in target/page/pictures
#   ./test.sh stress     a pool under everything at once for STRESS_SECONDS (60)
#   ./test.sh fuzz       random settings, each kind for FUZZ_SECONDS (300)
#   ./test.sh mutants    does some test notice each small change of the engine? Hours.
#   ./test.sh bench      the suite on other pools, see pool-bench
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '\n== %s\n' "$*"; }

need() { # need COMMAND PACKAGE...
    command -v "$1" >/dev/null || packages "${@:2}"
}

packages() { # packages PACKAGE...
    local sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    say "installing $*"
    (
        # Packages of servers start them, unless this says no; tests start their own.
        policy=/usr/sbin/policy-rc.d
        if [ ! -e $policy ]; then
            trap '$sudo rm $policy' EXIT
            printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
            $sudo chmod +x $policy
        fi
        $sudo apt-get update -qq
        $sudo env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "$@"
    )
}

# Where Debian keeps servers.
for folder in /usr/sbin /usr/lib/postgresql/*/bin; do PATH=$PATH:$folder; done

need cc gcc libc6-dev
command -v cargo >/dev/null || { echo "cargo is missing: install Rust, https://rustup.rs" >&2; exit 1; }

target=${CARGO_TARGET_DIR:-$PWD/target}

loom() {
    say "loom"
    # --cfg is global, hence a target folder of its own.
    RUSTFLAGS="${RUSTFLAGS:-} --cfg pool_loom -C debug-assertions" CARGO_TARGET_DIR=$target/loom \
        cargo test --release -p pool-core --lib -- --nocapture --test-threads 2
}

shuttle() {
    say "shuttle"
    CARGO_TARGET_DIR=$target/shuttle \
        cargo test --release --manifest-path pool-core/shuttle/Cargo.toml --test schedules
}

api() ( # a subshell, for the trap
    python3 -c 'import ensurepip, venv' 2>/dev/null || packages python3-venv
    say "the endpoints, asked at random"
    tools=$target/api
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check schemathesis==4.32.5
    cargo build --quiet -p pool-examples --bin service
    export SERVICE_TOKEN=right-token-of-this-run
    "$target/debug/service" --listen 127.0.0.1:0 >"$tools/said" &
    service=$!
    trap 'kill $service' EXIT
    until grep -q listening "$tools/said"; do
        kill -0 $service
        sleep 0.1
    done
    url=$(sed -n 's/^listening on //p' "$tools/said")/ops
    cd "$tools" # where it leaves files

    document=$url/openapi.json
    run() { # run NAME HEADER OPTION...
        ./bin/st run openapi.json --url "$url" --header "$2" --max-examples "${API_EXAMPLES:-50}" \
            --output-sanitize false --report har --report-har-path "$1.har" "${@:3}" >"$1.txt" ||
            { cat "$1.txt"; exit 1; }
        sed -n '/^Test cases:/{n;p}' "$1.txt"
    }
    ./bin/python - "$document" >openapi.json <<'END'
import os, sys, urllib.request
bearer = {"Authorization": "Bearer " + os.environ["SERVICE_TOKEN"]}
print(urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers=bearer)).read().decode())
END
    echo "with the token, every check:"
    # Streams do not end.
    run right "Authorization: Bearer $SERVICE_TOKEN" --checks all --exclude-path /api/live/events
    echo "without it, and with a wrong one:"
    closed=(--exclude-path /livez --exclude-path /readyz --checks not_a_server_error)
    run none "X-Nothing: 1" "${closed[@]}"
    run wrong "Authorization: Bearer wrong" "${closed[@]}"
    ./bin/python - none.har wrong.har <<'END'
import json, sys
for name in sys.argv[1:]:
    answers = [entry["response"] for entry in json.load(open(name))["log"]["entries"]]
    assert len(answers) > 100, f"only {len(answers)} answers in {name}"
    for answer in answers:
        headers = {header["name"].lower(): header["value"] for header in answer["headers"]}
        is_empty = not answer["content"].get("text")
        assert answer["status"] == 401 and is_empty, answer
        assert headers["www-authenticate"] == "Bearer", answer
    print(f"{name}: {len(answers)} answers, each an empty 401")
END
)

stress() {
    say "stress"
    STRESS_SECONDS=${STRESS_SECONDS:-60} \
        cargo run --release -p pool-testkit --example stress
}

fuzz() {
    need g++ g++ # libFuzzer is C++
    command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
    local seconds=${FUZZ_SECONDS:-300} found=$target/fuzz/corpus kind
    for kind in duration env url; do
        say "fuzz $kind for $seconds s"
        mkdir -p "$found/$kind"
        # Without a sanitizer it runs on any toolchain; there is no unsafe code to watch.
        CARGO_TARGET_DIR=$target/fuzz cargo fuzz run --fuzz-dir pool-config/fuzz -s none $kind \
            "$found/$kind" "pool-config/fuzz/seeds/$kind" -- -max_total_time="$seconds" -verbosity=0
    done
}

mutants() {
    say "mutants"
    command -v cargo-mutants >/dev/null || cargo install --locked cargo-mutants
    POOL_TEST_SECONDS=40 PROPTEST_CASES=40 CARGO_PROFILE_TEST_DEBUG=0 \
        cargo mutants -p pool-core --output "$target"
}

page() {
    need node nodejs
    need npm npm
    need chromium chromium
    say "the live page"
    mkdir -p "$target/page"
    npm install --no-save --no-audit --no-fund --prefix "$target/page" \
        playwright-core@1.65.1 axe-core@4.14.1
    cargo build -p pool-metrics --features dashboard --example dashboard
    NODE_PATH=$target/page/node_modules node pool-metrics/tests/page/check.cjs \
        "$target/debug/examples/dashboard" "$target/page/pictures"
}

bench() {
    say "the suite on other pools"
    CARGO_TARGET_DIR=$target/bench \
        cargo run --release --manifest-path pool-bench/Cargo.toml -- conformance
}

case ${1:-all} in
    all | quick) ;;
    api | loom | shuttle | page | stress | fuzz | mutants | bench)
        "$1"
        exit
        ;;
    *)
        echo "what is $1? One of: quick api loom shuttle page stress fuzz mutants bench, or nothing for all" >&2
        exit 2
        ;;
esac

need postgres postgresql
need mariadbd mariadb-server
need pgbouncer pgbouncer
need promtool prometheus

say "tests, all features"
cargo test --workspace --all-features

say "pool-core without features"
cargo check -p pool-core --no-default-features
cargo test -p pool-core --lib

say "pool-any with every combination of features"
combinations=("")
for feature in sqlite postgres mysql serde metrics; do
    for others in "${combinations[@]}"; do combinations+=("$others $feature"); done
done
for features in "${combinations[@]}"; do
    cargo check --quiet -p pool-any --features "$features"
done

say "pool-metrics with every pair of features"
features=(dashboard facade http json log opentelemetry otlp prometheus serde)
cargo check --quiet -p pool-metrics
for one in "${features[@]}"; do
    for other in "${features[@]}"; do
        [[ $one > $other ]] || cargo check --quiet -p pool-metrics --features "$one $other"
    done
done

[ "${1:-}" = quick ] && exit 0

api
loom
shuttle
page

say "pool-sqlite with the oldest driver it allows"
# A copy, since the older driver needs another lock file.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z | xargs -0 cp --parents -t "$copy"
(
    export CARGO_TARGET_DIR=$target/oldest
    cd "$copy"
    cargo update --quiet -p rusqlite --precise 0.40.1
    POOL_SOAK_SECONDS=5 cargo test -p pool-sqlite --test it
)

say "all passed"
