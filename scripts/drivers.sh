#!/bin/bash
# Runs the real drivers through the proxy, or one of them: scripts/drivers.sh [NAME]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/needs.sh
need_postgres
need_postgres_18
need_drivers
run_tests "drivers::${1:-}"
