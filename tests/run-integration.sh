#!/usr/bin/env bash
# tests/run-integration.sh: the real programs, fake upstreams and the official SDKs. All but the fidelity suites runs twice: against the
# launcher and against four processes over ipc://. Ends with "N passed, N failed, N skipped".
#
# BIN_DIR: where the programs are. FLAVOR: a sanitizer flavour leaves the SDKs out: they add hours and no code of ours.
# MODES: launcher, processes or both. K: passed to pytest -k.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
export BIN_DIR=${BIN_DIR:-$top/build/bin}
export PYTHONDONTWRITEBYTECODE=1
cache=$top/build/compat
modes=${MODES:-launcher processes}
passed=0 failed=0 skipped=0
mkdir -p "$cache"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# count PASSED FAILED SKIPPED
count() {
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

# skip NAME REASON: a suite that cannot run here is named and counted, never silent.
skip() {
    echo "SKIPPED $1: $2"
    count 0 0 1
}

# number WORD: of pytest's closing line "3 failed, 5 passed, 1 skipped in 2.1s"
number() {
    grep -E '^([0-9]+ [a-z]+, )*[0-9]+ [a-z]+ in [0-9.]+s' "$log" | tail -n 1 | grep -oE "[0-9]+ $1" | grep -oE '^[0-9]+' || echo 0
}

run_pytest() { # PYTHON MODE FILES...
    local python=$1 mode=$2 p f s e status
    shift 2
    ROUTER_MODE=$mode "$python" -m pytest -q -rfEs -p no:cacheprovider --tb=short --maxfail="${MAXFAIL:-25}" ${K:+-k "$K"} "$@" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    p=$(number passed) f=$(number failed) s=$(number skipped) e=$(number errors?)
    f=$((f + e))
    [ "$status" -eq 5 ] && [ -n "${K:-}" ] && status=0 # no test of this name here
    [ "$status" -eq 0 ] || [ "$f" -gt 0 ] || f=1
    count "$p" "$f" "$s"
}

# venv NAME REQUIREMENTS: a virtual environment with pinned packages; false when they cannot be had.
in_vain=' ' # what could not be had in this run: asking again for each mode would only wait again
venv() {
    local dir=$cache/$1
    cmp -s "$2" "$dir/installed" && return 0
    case $in_vain in *" $1 "*) return 1 ;; esac
    rm -rf "$dir"
    python3 -m venv "$dir" >"$log" 2>&1 && "$dir/bin/pip" install -q --disable-pip-version-check --retries 2 -r "$2" >>"$log" 2>&1 || {
        tail -n 3 "$log"
        rm -rf "$dir"
        in_vain="$in_vain$1 "
        return 1
    }
    cp "$2" "$dir/installed"
}

# node_modules NAME: npm packages pinned by tests/compat/node/NAME/package.json
node_modules() {
    local dir=$cache/node-$1
    mkdir -p "$dir"
    cmp -s "$top/tests/compat/node/$1/package.json" "$dir/package.json" && [ -d "$dir/node_modules/openai" ] && return 0
    case $in_vain in *" node-$1 "*) return 1 ;; esac
    rm -rf "$dir/node_modules"
    cp "$top/tests/compat/node/$1/package.json" "$dir/package.json"
    (cd "$dir" && npm install --no-audit --no-fund --no-package-lock --fetch-retries=1 --loglevel=error) >"$log" 2>&1 || {
        tail -n 3 "$log"
        rm -f "$dir/package.json"
        in_vain="${in_vain}node-$1 "
        return 1
    }
}

run_node() { # NAME MODE sdk|fidelity TESTS...
    local dir=$cache/node-$1 node=node mode=$2 status p f s
    shift 2
    [ ! -x "$dir/node_modules/node/bin/node" ] || node=$dir/node_modules/node/bin/node
    cp "$top"/tests/compat/node/*.mjs "$dir/"
    ROUTER_MODE=$mode NODE_BIN=$node python3 "$top/tests/compat/node/run.py" "$dir" "$@" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    p=$(sed -n 's/^. pass \([0-9]*\)$/\1/p; s/^# pass \([0-9]*\)$/\1/p' "$log" | tail -n 1)
    f=$(sed -n 's/^. fail \([0-9]*\)$/\1/p; s/^# fail \([0-9]*\)$/\1/p' "$log" | tail -n 1)
    s=$(sed -n 's/^. skipped \([0-9]*\)$/\1/p; s/^# skipped \([0-9]*\)$/\1/p' "$log" | tail -n 1)
    p=${p:-0} f=${f:-0} s=${s:-0}
    [ "$status" -eq 0 ] || [ "$f" -gt 0 ] || f=1
    [ $((p + f + s)) -gt 0 ] || f=1
    count "$p" "$f" "$s"
}

have_core=0
if venv core "$top/tests/integration/requirements.txt"; then
    have_core=$cache/core/bin/python
elif python3 -c 'import pytest' 2>/dev/null; then
    have_core=python3
fi

# python_suite VENV NAME MODE FILES...: of a virtual environment that tests/compat/python/requirements-VENV.txt pins
python_suite() {
    local venv=$1 name=$2 mode=$3
    shift 3
    echo "== $name, $mode"
    if venv "python$venv" "$top/tests/compat/python/requirements-$venv.txt"; then
        run_pytest "$cache/python$venv/bin/python" "$mode" "$@"
    else
        skip "$name, $mode" "its packages could not be installed"
    fi
}

# node_suite VERSION NAME MODE sdk|fidelity TESTS...
node_suite() {
    local version=$1 name=$2 mode=$3
    shift 3
    echo "== $name, $mode"
    if command -v npm >/dev/null && node_modules "$version"; then
        run_node "$version" "$mode" "$@"
    else
        skip "$name, $mode" "npm or its packages could not be had"
    fi
}

# The vendors' SDKs and what is built on them against tests/fixtures: what they show does not depend on the bus between our processes.
fidelity_suites() {
    local files=$top/tests/compat/fidelity mode=launcher
    python_suite 2 'fidelity, openai-python 2.x and anthropic-python 0.x' $mode "$files"/test_{openai,openai_errors,anthropic}.py
    python_suite 3 'fidelity, openai-python 3.x and anthropic-python 2.x' $mode "$files"/test_{openai,openai_errors,anthropic}.py
    python_suite agents 'fidelity, openai-agents and anthropic-python 1.x' $mode "$files"/test_{agents,anthropic}.py
    node_suite 6 'fidelity, openai-node 6.x and @anthropic-ai/sdk 0.x' $mode fidelity openai.test.mjs anthropic.test.mjs
    node_suite 7 'fidelity, openai-node 7.x, @anthropic-ai/sdk 1.x and ai' $mode fidelity openai.test.mjs anthropic.test.mjs ai.test.mjs
}

for mode in $modes; do
    echo "== integration, $mode"
    if [ "$have_core" = 0 ]; then
        echo 'FAILED integration: neither the package index nor a python3-pytest package could be had'
        count 0 1 0
    else
        run_pytest "$have_core" "$mode" "$top/tests/integration"
    fi
    case ${FLAVOR:-default} in asan | tsan) continue ;; esac
    for version in 2 3; do
        python_suite $version "openai-python $version.x" "$mode" "$top/tests/compat/python"
    done
    for version in 6 7; do
        node_suite $version "openai-node $version.x" "$mode" sdk sdk.test.mjs
    done
    [ "$mode" != launcher ] || fidelity_suites
done
printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped
[ $failed -eq 0 ]
