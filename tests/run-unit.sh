#!/usr/bin/env bash
# tests/run-unit.sh PROGRAM...: runs cmocka programs, one on each core, and counts their tests. Those that say how soon
# something happens come afterwards, one by one: beside others they would measure those. A program that crashes, hangs,
# exits with an error after its last test (a sanitizer's report) or runs no test at all counts as one failure.
set -u
timed='^test_(exchange|feed|asserter|failover|routing)'
limit_s=${UNIT_LIMIT_S:-$((900 * ${TIME_SCALE:-1}))}
passed=0 failed=0 skipped=0
[ $# -gt 0 ] || { echo 'no unit test of that name'; failed=1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# One program, to its end: what is to be said in NAME.said, "P F S" in NAME.sum.
run() {
    local program=$1 name=${1##*/} status p f s
    local log=$work/$name.log
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
        printf '  ok  %-40s %3d tests\n' "$name" "$p"
    fi >"$work/$name.said"
    echo "$p $f $s" >"$work/$name.sum"
}

for program in "$@"; do
    [[ ! ${program##*/} =~ $timed ]] || continue
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do
        wait -n
    done
    run "$program" &
done
wait
for program in "$@"; do
    [[ ! ${program##*/} =~ $timed ]] || run "$program"
done
for program in "$@"; do
    cat "$work/${program##*/}.said"
    read -r p f s <"$work/${program##*/}.sum"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped
[ $failed -eq 0 ]
