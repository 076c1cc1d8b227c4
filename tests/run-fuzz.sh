#!/usr/bin/env bash
# tests/run-fuzz.sh SECONDS PROGRAM...: runs each libFuzzer target for a while. What it learns stays in
# build/fuzz/corpus, so that the next run starts there; tests/fuzz/corpus/NAME holds the seeds that are kept.
set -u
seconds=$1
shift
top=$(cd "$(dirname "$0")/.." && pwd)
input_limit_s=10
memory_limit_mb=1024
passed=0 failed=0

for program in "$@"; do
    name=${program##*/fuzz_}
    work=$top/build/fuzz/corpus/$name
    finds=$top/build/fuzz/finds/$name
    mkdir -p "$work" "$finds"
    seeds=()
    [ ! -d "$top/tests/fuzz/corpus/$name" ] || seeds+=("$top/tests/fuzz/corpus/$name")
    [ "$name" != wire ] || [ ! -d "$top/tests/golden" ] || seeds+=("$top/tests/golden")
    log=$top/build/fuzz/$name.log
    if "$program" -max_total_time="$seconds" -timeout=$input_limit_s -rss_limit_mb=$memory_limit_mb \
        -print_final_stats=1 -artifact_prefix="$finds/" "$work" "${seeds[@]}" >"$log" 2>&1 </dev/null; then
        passed=$((passed + 1))
        printf '  ok  %-20s %12s runs\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
    else
        failed=$((failed + 1))
        printf 'FAIL %s; the input is in %s\n' "$name" "$finds"
        tail -n 60 "$log"
    fi
done
printf '%d passed, %d failed, 0 skipped\n' $passed $failed
[ $failed -eq 0 ]
