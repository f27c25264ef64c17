#!/bin/bash
# Installs what the tests need, where it is missing, and runs them all.
# The last line says how many passed and failed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/needs.sh
need_postgres
need_postgres_18
need_drivers
need_schemas
need_otlp
export PGWEIR_SOAK_SECONDS="${PGWEIR_SOAK_SECONDS:-20}"
run_tests
