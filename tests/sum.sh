#!/usr/bin/env bash
# tests/sum.sh [--beside COMMAND]... COMMAND...: runs each command line in turn and adds up their sums.
#
# Every suite of this project ends with a line "N passed, N failed, N skipped". A command that fails without
# owning up to a failed test, or prints no such line, counts as one failure. Exit 1 if anything failed.
#
# --beside COMMAND: runs from the beginning on, one after the other, on what time of the processors the rest leaves
# (SCHED_IDLE), and is shown after it. For what measures no time and writes nothing that they read.
set -u
sum_re='^([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$'
failure_re='^ *(FAIL |not ok |FAILED |ERROR |!! |✖ )'
passed=0 failed=0 skipped=0
log=$(mktemp) failures=$(mktemp) beside_dir=$(mktemp -d)
beside=() beside_pid=
trap 'rm -rf "$log" "$failures" "$beside_dir"; [ -z "$beside_pid" ] || kill -- "-$beside_pid" 2>/dev/null' EXIT

# count COMMAND LOG STATUS SECONDS: adds up what a command that ended says.
count() {
    local p=0 f=0 s=0
    if [[ $(grep -E "$sum_re" "$2" | tail -n 1) =~ $sum_re ]]; then
        p=${BASH_REMATCH[1]} f=${BASH_REMATCH[2]} s=${BASH_REMATCH[3]}
    elif [ "$3" -eq 0 ]; then
        echo "!! no sum line from: $1"
        f=1
    fi
    if [ "$3" -ne 0 ] && [ "$f" -eq 0 ]; then
        echo "!! exit $3 from: $1"
        f=1
    fi
    [ "$f" -eq 0 ] || { printf -- '-- in %s:\n' "$1"; grep -E "$failure_re" "$2" | awk '!seen[$0]++'; } >>"$failures"
    printf -- '-- %s: %d passed, %d failed, %d skipped, %d s\n' "$1" "$p" "$f" "$s" "$4"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

while [ "${1:-}" = --beside ]; do
    beside+=("$2")
    shift 2
done
if [ ${#beside[@]} -gt 0 ]; then
    # The kernel gives each session its share of the processors, within which idle is idle: the share is made small, too (sched(7)).
    # shellcheck disable=SC2016 # for that shell
    setsid chrt --idle 0 bash -c '
        echo 19 2>/dev/null >/proc/self/autogroup
        cd "$1" && dir=$2 n=0
        shift 2
        for command; do
            start=$SECONDS
            bash -c "$command" >"$dir/$n.log" 2>&1 </dev/null
            echo "$? $((SECONDS - start))" >"$dir/$n.end"
            n=$((n + 1))
        done' beside "$PWD" "$beside_dir" "${beside[@]}" >/dev/null 2>&1 </dev/null &
    beside_pid=$!
fi
for command in "$@"; do
    printf '\n== %s\n' "$command"
    start=$SECONDS
    bash -c "$command" 2>&1 </dev/null | tee "$log"
    count "$command" "$log" "${PIPESTATUS[0]}" $((SECONDS - start))
done
if [ -n "$beside_pid" ]; then
    # They have the machine for themselves now; where others share it, idle priority could wait for ever.
    pgrep -s "$beside_pid" | xargs -r -n 1 chrt --other --pid 0 2>/dev/null
    echo 0 2>/dev/null >"/proc/$beside_pid/autogroup"
    wait "$beside_pid"
    beside_pid=
    for n in "${!beside[@]}"; do
        printf '\n== %s\n' "${beside[$n]}"
        read -r status seconds <"$beside_dir/$n.end" || status=1 seconds=0
        cat "$beside_dir/$n.log"
        count "${beside[$n]}" "$beside_dir/$n.log" "$status" "$seconds"
    done
fi
# Once more, where whoever sees only the end of it finds it.
[ "$failed" -eq 0 ] || { printf '\n== what failed\n'; cat "$failures"; }
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
