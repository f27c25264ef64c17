#!/bin/bash
# Plays the applications of tests/drivers directly and through the proxy, or one of them, and prints what the
# cache answered: scripts/apps.sh [NAME]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/needs.sh
need_postgres
need_drivers
run_tests "apps::${1:-}"
