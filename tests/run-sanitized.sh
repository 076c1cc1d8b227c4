#!/usr/bin/env bash
# tests/run-sanitized.sh FLAVOR COMMAND...: runs the commands with sanitizer reports of every process, also of
# daemons whose output nobody reads, collected in one folder. Every report is a failure, whatever the tests said.
set -u
flavor=$1
shift
top=$(cd "$(dirname "$0")/.." && pwd)
reports=$top/build/$flavor/reports
rm -rf "$reports"
mkdir -p "$reports"

# exitcode: so that a report at exit cannot look like success. Leaks are looked for at exit.
common="log_path=$reports/report:exitcode=86"
export ASAN_OPTIONS="$common:detect_stack_use_after_return=1:strict_string_checks=1:detect_leaks=1"
export UBSAN_OPTIONS="$common:print_stacktrace=1"
export TSAN_OPTIONS="$common:second_deadlock_stack=1:history_size=4:suppressions=$top/tests/tsan.supp"
export LSAN_OPTIONS="suppressions=$top/tests/asan.supp:print_suppressions=0" # a list of them would look like a report

# How much longer "soon" may take (tests/lib/slow.h, tests/lib/router.py).
case $flavor in
tsan) export TIME_SCALE=5 ;;
*) export TIME_SCALE=3 ;;
esac

# The proofs by chance are for the plain build; here each path once is enough.
export CRASH_STEPS=${CRASH_STEPS:-6} CRASH_SEEDS=${CRASH_SEEDS:-1} RACE_REPEATS=${RACE_REPEATS:-1}

out=$(mktemp)
trap 'rm -f "$out"' EXIT
"$top/tests/sum.sh" "$@" | tee "$out"
[[ $(tail -n 1 "$out") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped$ ]] || exit 1
passed=${BASH_REMATCH[1]} failed=${BASH_REMATCH[2]} skipped=${BASH_REMATCH[3]}

found=$(find "$reports" -type f | wc -l)
if [ "$found" -gt 0 ]; then
    find "$reports" -type f | sort | head -n 20 | while read -r file; do
        printf '\n== %s\n' "$file"
        head -n 60 "$file" | sed 's/^/!! /' # so that it stands at the end of all suites, too (tests/sum.sh)
    done
fi
printf '\n%d sanitizer reports\n%d passed, %d failed, %d skipped\n' "$found" "$passed" $((failed + found)) "$skipped"
[ $((failed + found)) -eq 0 ]
