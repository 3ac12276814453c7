#!/usr/bin/env bash
# Runs every test. Installs what it needs first (as root, or with sudo).
#   ./test.sh            everything
#   ./test.sh quick      the workspace's tests only
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

if [ "${1:-}" = bench ]; then
    say "the suite on other pools"
    exec cargo run --release --manifest-path pool-bench/Cargo.toml -- conformance
fi

need postgres postgresql
need mariadbd mariadb-server
need pgbouncer pgbouncer

say "tests, all features"
cargo test --workspace --all-features

say "tests of pool-core without features"
cargo test -p pool-core --lib

[ "${1:-}" = quick ] && exit 0

say "pool-sqlite with the oldest driver it allows"
# A copy, since the older driver needs another lock file.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z | xargs -0 cp --parents -t "$copy"
(
    export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/oldest"
    cd "$copy"
    cargo update --quiet -p rusqlite --precise 0.40.1
    POOL_SOAK_SECONDS=5 cargo test -p pool-sqlite --test it
)

say "all passed"
