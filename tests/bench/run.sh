#!/usr/bin/env bash
# tests/bench/run.sh (make bench): what the router costs, beside a plain reverse proxy in the same run. Prints one table.
# Needs nginx and wrk (deploy/deps.sh bench). Load goes to loopback only. SECONDS_EACH: length of each throughput run.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
export BIN_DIR=${BIN_DIR:-$top/build/bin}
export PYTHONDONTWRITEBYTECODE=1
ulimit -n 20000 2>/dev/null || ulimit -n "$(ulimit -Hn)"
exec python3 "$top/tests/bench/bench.py" "$@"
