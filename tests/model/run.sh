#!/usr/bin/env bash
# tests/model/run.sh (make model): proves the protocol of the bill with Spin, then shows of each mutant that it is found.
#
# FAULTS=2: crashes in one run, of any of the four services; 3 takes about ten times as long. Everything is exhaustive: every
# order of every step. Ends with "N passed, N failed, N skipped".
set -u
cd "$(dirname "$0")/../.." || exit 1
model=$PWD/tests/model/ledger.pml
work=$PWD/build/model
faults=${FAULTS:-2}
memory_mb=${MEMORY_MB:-4000}
depth=10000
passed=0 failed=0

# Each is one wrong decision; the fewest faults that show it.
mutants='ACK_BEFORE_COMMIT:1 NO_REQUEST_DEDUP:1 NO_GAP_CHECK:0 NO_ASSERTION:1 RELEASE_BEFORE_BALANCE:0 VOID_ON_LOSS:1
    VOID_IS_FINAL:2 FORGETS_PROGRESS:1 TAKES_OVER_THE_LIVING:0 NO_LEASE:0 SLOW_PEER:2 SLOW_FEED:2'

ok() { passed=$((passed + 1)); printf '  ok  %s\n' "$*"; }
bad() { failed=$((failed + 1)); printf 'FAIL %s\n' "$*"; }

# pan NAME COMPILER-FLAGS MODEL-FLAGS PAN-FLAGS: the verifier's report, in $work/NAME/out
pan() {
    local dir=$work/$1
    rm -rf "$dir"
    mkdir -p "$dir"
    # shellcheck disable=SC2086 # lists of flags
    (cd "$dir" && spin $3 -a "$model" && gcc -w $2 -DMEMLIM="$memory_mb" -o pan pan.c && ./pan -m$depth $4) >"$dir/out" 2>&1
}

whole() { grep -q 'errors: 0' "$work/$1/out" && ! grep -qE 'Search not completed|max search depth|error:' "$work/$1/out"; }
states() { sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$work/$1/out" | head -n 1; }

prove() { # prove NAME TEXT COMPILER-FLAGS MODEL-FLAGS PAN-FLAGS
    local start=$SECONDS
    pan "$1" "$3" "$4" "$5"
    if whole "$1"; then
        ok "$2: $(states "$1") states, $((SECONDS - start)) s"
    else
        bad "$2"
        tail -n 20 "$work/$1/out"
        echo "     the way there: cd build/model/$1 && spin -t -p -g $4 $model"
    fi
}

refute() { # refute MUTANT FAULTS
    local start=$SECONDS
    pan "$1" "-O1 -DSAFETY" "-DFAULTS=$2 -D$1" ''
    if grep -q 'assertion violated' "$work/$1/out"; then
        ok "mutant $1 is found: $((SECONDS - start)) s"
    else
        bad "mutant $1 is not found"
        tail -n 20 "$work/$1/out"
    fi
}

if ! command -v spin >/dev/null; then
    echo 'FAILED model: there is no spin'
    echo '0 passed, 1 failed, 0 skipped'
    exit 1
fi
prove safety "the bill is right, $faults faults" '-O2 -DSAFETY -DCOLLAPSE' "-DFAULTS=$faults" ''
prove ending 'nothing runs for ever, 1 fault' '-O2 -DNP' '-DFAULTS=1' '-l'
for mutant in $mutants; do
    refute "${mutant%:*}" "${mutant#*:}"
done
printf '%d passed, %d failed, 0 skipped\n' $passed $failed
[ $failed -eq 0 ]
