#!/bin/bash
# Five hundred clients on eight upstreams while clients vanish, queries are cancelled and upstreams are terminated:
# scripts/soak.sh [SECONDS], 180 by default, on an optimised build.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/needs.sh
need_postgres
export PGWEIR_SOAK_SECONDS="${1:-180}"
cargo test --profile fast --test integration -- soak:: --nocapture
