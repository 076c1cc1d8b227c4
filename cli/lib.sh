# shellcheck shell=sh
# Shared by run.sh and demo.sh: starting the router, waiting for it, ending it. POSIX sh; no tools beyond ours.
# A caller sets BIN_DIR and exports the settings; router_pid is the router once it runs.

router_pid=

say() { printf '%s\n' "$*"; }
fail() { printf '%s\n' "${0##*/}: $*" >&2; exit 1; }

# router_start LOGFILE ("" = our own stderr)
router_start() {
    if [ -n "$1" ]; then
        "$BIN_DIR/openai-router" 2>"$1" &
    else
        "$BIN_DIR/openai-router" &
    fi
    router_pid=$!
}

# router_ready SECONDS: 0 when it answers; 1 when it ended or does not get ready
router_ready() {
    end=$(($(date +%s) + $1))
    while [ "$(date +%s)" -le "$end" ]; do
        kill -0 "$router_pid" 2>/dev/null || return 1
        "$BIN_DIR/routerctl" wait --seconds 1 2>/dev/null && return 0
    done
    return 1
}

# router_stop: SIGTERM to our own router, and its exit code
router_stop() {
    [ -n "$router_pid" ] || return 0
    kill -TERM "$router_pid" 2>/dev/null
    wait "$router_pid"
    code=$?
    router_pid=
    return $code
}
