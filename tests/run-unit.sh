#!/usr/bin/env bash
# tests/run-unit.sh PROGRAM...: runs cmocka programs and counts their tests. A program that crashes, hangs,
# exits with an error after its last test (a sanitizer's report) or runs no test at all counts as one failure.
set -u
limit_s=${UNIT_LIMIT_S:-300}
passed=0 failed=0 skipped=0
[ $# -gt 0 ] || { echo 'no unit test of that name'; failed=1; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT

for program in "$@"; do
    CMOCKA_MESSAGE_OUTPUT=TAP timeout "$limit_s" "$program" >"$log" 2>&1 </dev/null
    status=$?
    s=$(grep -cE '^(not )?ok\b.*# SKIP' "$log")
    f=$(grep -E '^not ok\b' "$log" | grep -vc '# SKIP')
    p=$(grep -E '^ok\b' "$log" | grep -vc '# SKIP')
    [ $((p + f + s)) -gt 0 ] || [ $status -ne 0 ] || { echo "no tests in $program" >>"$log"; f=1; }
    [ $status -eq 0 ] || [ "$f" -gt 0 ] || f=1
    if [ "$f" -gt 0 ]; then
        printf 'FAIL %s (exit %d)\n' "$program" $status
        grep -vE '^ok\b' "$log" | tail -n 200
    else
        printf '  ok  %-40s %3d tests\n' "${program##*/}" "$p"
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped
[ $failed -eq 0 ]
