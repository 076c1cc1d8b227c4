#!/bin/sh
# cli/demo.sh (make demo): a first call with its bill, without any key. Starts the router on a free port with a database of
# its own in a temporary folder, makes one paid call to the built-in echo model, shows answer, tokens, cost and the balance
# before and after, has the ledger verified, and stops the router. Nothing is left behind, your ./database is not touched.
# Exit 0 only when every step did what it should.
set -eu
BIN_DIR=${BIN_DIR:-build/bin}
. "$(dirname "$0")/lib.sh"

dir=$(mktemp -d "${TMPDIR:-/tmp}/openai-router-demo.XXXXXX")
cleanup() {
    trap - EXIT INT TERM
    router_stop >/dev/null 2>&1 || true
    rm -rf "$dir"
}
trap cleanup EXIT
trap 'cleanup; exit 130' INT
trap 'cleanup; exit 143' TERM

ctl() { "$BIN_DIR/routerctl" "$@"; }

# What the caller has set for a router of his own must not reach this one.
unset JWT_SECRET MASTER_KEY ADMIN_PASSWORD ROUTER_TOKEN OPENAI_API_KEY ANTHROPIC_API_KEY GEMINI_API_KEY CONFIG UNPRICED SIGNUP SIGNUP_PLAN SIGNUP_CREDITS_USD \
    METRICS_TOKEN 2>/dev/null || true
export HOST=127.0.0.1 DB_PATH="$dir/app.db" SPOOL_DIR="$dir/spool" ADMIN_EMAIL=admin@localhost ECHO=on LOG_LEVEL=info

# A port that is taken makes the router end at once (and whoever has it may answer us); then another one is tried.
key=
start() {
    try=0
    while [ $try -lt 8 ]; do
        PORT=$((20000 + ($$ * 7 + try * 1237) % 20000))
        ROUTER_URL=http://127.0.0.1:$PORT
        export PORT ROUTER_URL
        router_start "$dir/log"
        router_ready 20 && key=$(ctl key create demo --field key 2>>"$dir/log") && return 0
        if kill -0 "$router_pid" 2>/dev/null; then
            break
        fi
        wait "$router_pid" || true
        router_pid=
        try=$((try + 1))
    done
    tail -n 20 "$dir/log" >&2
    fail 'the router did not start, or made no API key'
}

start
say "The router runs: one process, four services, on $ROUTER_URL"
before=$(ctl credits show --field balance_usd) || fail 'the balance cannot be read'
say "An API key was made: $(printf '%.12s' "$key")…"
say
say "Asking the built-in model 'echo':"
ctl call echo 'Hello, router! What does this cost?' --key "$key" >"$dir/answer" || fail 'the call failed'
sed 's/^/    /' "$dir/answer"

# The bill is written after the answer has been sent: some milliseconds.
cost=
try=0
while [ $try -lt 100 ]; do
    cost=$(ctl requests --limit 1 --field data.0.cost_usd 2>/dev/null) && break
    cost=
    try=$((try + 1))
    sleep 0.1
done
[ -n "$cost" ] || fail 'the call was not billed within 10 seconds'
after=$(ctl credits show --field balance_usd) || fail 'the balance cannot be read'
say
say "prompt tokens      $(ctl requests --limit 1 --field data.0.prompt_tokens)"
say "completion tokens  $(ctl requests --limit 1 --field data.0.completion_tokens)"
say "cost               $cost USD"
say "balance before     $before USD"
say "balance after      $after USD"
[ "$before" != "$after" ] || fail 'the balance did not change'
say
ctl ledger verify || fail 'the ledger does not agree'
router_stop || fail "the router ended with code $?"
say
say 'That was it. `make run` starts a router to stay; README.md goes on from here.'
