#!/usr/bin/env bash
# tests/sum.sh COMMAND...: runs each command line in turn and adds up their sums.
#
# Every suite of this project ends with a line "N passed, N failed, N skipped". A command that fails without
# owning up to a failed test, or prints no such line, counts as one failure. Exit 1 if anything failed.
set -u
sum_re='^([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$'
failure_re='^ *(FAIL |not ok |FAILED |ERROR |!! |✖ )'
passed=0 failed=0 skipped=0
log=$(mktemp) failures=$(mktemp)
trap 'rm -f "$log" "$failures"' EXIT

for command in "$@"; do
    printf '\n== %s\n' "$command"
    start=$SECONDS
    bash -c "$command" 2>&1 </dev/null | tee "$log"
    status=${PIPESTATUS[0]}
    if [[ $(grep -E "$sum_re" "$log" | tail -n 1) =~ $sum_re ]]; then
        p=${BASH_REMATCH[1]} f=${BASH_REMATCH[2]} s=${BASH_REMATCH[3]}
    else
        p=0 f=0 s=0
        [ "$status" -ne 0 ] || { echo "!! no sum line from: $command"; f=1; }
    fi
    if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
        echo "!! exit $status from: $command"
        f=1
    fi
    [ "$f" -eq 0 ] || { printf -- '-- in %s:\n' "$command"; grep -E "$failure_re" "$log" | sort -u; } >>"$failures"
    printf -- '-- %s: %d passed, %d failed, %d skipped, %d s\n' "$command" "$p" "$f" "$s" $((SECONDS - start))
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
# Once more, where whoever sees only the end of it finds it.
[ "$failed" -eq 0 ] || { printf '\n== what failed\n'; cat "$failures"; }
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
