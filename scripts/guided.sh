#!/bin/bash
# Cargo with the profile of a run: scripts/guided.sh build --release --bin pgweir --bench contest
# What is built so lies in target/guided/HOST/release: a fifth fewer instructions for each query.
# The first time, and after every change of the code, it builds everything with counters, lets the laboratory's
# short run pass through it, and builds again: ten minutes. RETRAIN=no takes the profile that is there.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/needs.sh
guided="$PWD/target/guided" host=$(rustc --print host-tuple)
profile="$guided/pgweir.profdata"

# As many kinds of query as the table has, so that what is rare there is not taken for dead code.
train() {
    need_postgres
    packages openssl openssl
    packages pgbench postgresql-contrib
    packages /usr/sbin/pgbouncer pgbouncer
    rm -rf "$guided/raw" && mkdir -p "$guided/raw"
    # As root the laboratory's programs run as the user postgres.
    chmod 1777 "$guided/raw"
    say "building with counters"
    RUSTFLAGS="-Cprofile-generate=$guided/raw" cargo build --quiet --locked --profile release \
        --target "$host" --target-dir "$guided/counting" --bin pgweir --bench contest
    say "a run with counters"
    RUSTFLAGS="-Cprofile-generate=$guided/raw" LLVM_PROFILE_FILE="$guided/raw/%m-%p.profraw" \
        cargo bench --quiet --locked --profile release --target "$host" --target-dir "$guided/counting" \
        --bench contest -- --quick --clients 16,64,1000 --json "$guided/training.json" >"$guided/training.txt"
    "$(merger)" merge -o "$profile" "$guided"/raw/*.profraw
    rm -rf "$guided/raw"
}

# Any llvm-profdata from 19 on reads what rustc's counters write; rustup's own is the first choice.
merger() {
    local own
    own="$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata"
    if [ -x "$own" ]; then echo "$own"; return; fi
    packages llvm-profdata-19 llvm-19 >&2
    echo llvm-profdata-19
}

mkdir -p "$guided"
code=(src 'benches/*.rs' Cargo.toml Cargo.lock)
sources() { git ls-files -s "${code[@]}"; git diff HEAD -- "${code[@]}"; rustc -V; }
state=$(sources | sha256sum)
if [ ! -e "$profile" ] || { [ "${RETRAIN:-}" != no ] && [ "$(cat "$profile.of" 2>/dev/null)" != "$state" ]; }; then
    train
    echo "$state" >"$profile.of"
fi
command=$1
shift
RUSTFLAGS="-Cprofile-use=$profile" exec cargo "$command" --target "$host" --target-dir "$guided" "$@"
