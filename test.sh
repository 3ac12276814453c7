#!/usr/bin/env bash
# Runs the tests. Installs what it needs first (as root, or with sudo).
#   ./test.sh            everything but the long checks: stress, fuzz, mutants, bench
#   ./test.sh quick      the workspace's tests only
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
    command -v "$1" >/dev/null && return
    shift
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
    loom | shuttle | page | stress | fuzz | mutants | bench)
        "$1"
        exit
        ;;
    *)
        echo "what is $1? One of: quick loom shuttle page stress fuzz mutants bench, or nothing for all" >&2
        exit 2
        ;;
esac

need postgres postgresql
need mariadbd mariadb-server
need pgbouncer pgbouncer

say "tests, all features"
cargo test --workspace --all-features

say "pool-core without features"
cargo check -p pool-core --no-default-features
cargo test -p pool-core --lib

say "pool-any with every combination of features"
combinations=("")
for feature in sqlite postgres mysql serde; do
    for others in "${combinations[@]}"; do combinations+=("$others $feature"); done
done
for features in "${combinations[@]}"; do
    cargo check --quiet -p pool-any --features "$features"
done

[ "${1:-}" = quick ] && exit 0

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
