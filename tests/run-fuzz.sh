#!/usr/bin/env bash
# tests/run-fuzz.sh SECONDS PROGRAM...: runs each libFuzzer target for a while. What it learns stays in
# build/fuzz/corpus, so that the next run starts there; tests/fuzz/corpus/NAME holds the seeds that are kept.
# FUZZ_INPUT_S: an input that takes longer is a finding; more of it where others have the processors.
set -u
seconds=$1
shift
top=$(cd "$(dirname "$0")/.." && pwd)
input_limit_s=${FUZZ_INPUT_S:-10}
memory_limit_mb=1024

# One target, to its end; its line goes to a file of its own, so that several may run at once.
fuzz() {
    local program=$1 name=${1##*/fuzz_} log seeds=()
    local work=$top/build/fuzz/corpus/$name finds=$top/build/fuzz/finds/$name
    mkdir -p "$work" "$finds"
    [ ! -d "$top/tests/fuzz/corpus/$name" ] || seeds+=("$top/tests/fuzz/corpus/$name")
    [ "$name" != wire ] || [ ! -d "$top/tests/golden" ] || seeds+=("$top/tests/golden")
    log=$top/build/fuzz/$name.log
    if "$program" -max_total_time="$seconds" -timeout=$input_limit_s -rss_limit_mb=$memory_limit_mb \
        -print_final_stats=1 -artifact_prefix="$finds/" "$work" "${seeds[@]}" >"$log" 2>&1 </dev/null; then
        printf '  ok  %-20s %12s runs\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
    else
        printf 'FAIL %s; the input is in %s\n' "$name" "$finds"
        tail -n 60 "$log"
    fi
}

lines=$(mktemp -d)
trap 'rm -rf "$lines"' EXIT
for program in "$@"; do
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do
        wait -n
    done
    fuzz "$program" >"$lines/${program##*/}" &
done
wait
cat "$lines"/*
passed=$(cat "$lines"/* | grep -c '^  ok  ')
failed=$(cat "$lines"/* | grep -c '^FAIL ')
printf '%d passed, %d failed, 0 skipped\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -eq $# ]
