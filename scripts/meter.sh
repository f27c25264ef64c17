#!/bin/bash
# Measures whether anybody reads what Postgres could not have answered (tests/meter.rs), on an optimised build:
# scripts/meter.sh [READS [FILTER]], a million reads for each undisturbed run by default; half as many for each run
# with killed backends, cut links, cancels, DDL or two-phase commit. Also the controls: Postgres itself, and, where
# PGWEIR_TEST_HAZARDS says where it is, the naive proxy.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/needs.sh
need_postgres
export PGWEIR_METER_READS="${1:-1000000}"
cargo test --profile fast --test integration -- "meter::${2:-}" --nocapture --test-threads 1
