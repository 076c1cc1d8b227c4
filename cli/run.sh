#!/bin/sh
# cli/run.sh (make run): becomes the router, with your settings, and beside it makes sure that there is an API key to try it
# with and prints what to paste. Ctrl-C and SIGTERM reach the router itself: running calls end first, a second one ends it at once.
# The key is kept beside the database (api_key, mode 0600) and used again by the next start.
set -eu
BIN_DIR=${BIN_DIR:-build/bin}
. "$(dirname "$0")/lib.sh"

DB_PATH=${DB_PATH:-./database/app.db}
PORT=${PORT:-3000}
HOST=${HOST:-127.0.0.1}
[ "$PORT" != 0 ] || exec "$BIN_DIR/openai-router" # it prints its port; we cannot know it
case $HOST in
0.0.0.0 | ::) reach=127.0.0.1 ;;
*:*) reach="[$HOST]" ;;
*) reach=$HOST ;;
esac
ROUTER_URL=http://$reach:$PORT
export DB_PATH PORT HOST ROUTER_URL
keyfile=$(dirname "$DB_PATH")/api_key

ctl() { "$BIN_DIR/routerctl" "$@"; }

# The key of the last start, if the router still knows it; else a new one for the administrator.
make_key() {
    if [ -r "$keyfile" ]; then
        key=$(cat "$keyfile")
        ctl models --key "$key" >/dev/null 2>&1 && return 0
    fi
    key=$(ctl key create 'make run' --field key 2>&1) || return 1
    (umask 077 && printf '%s\n' "$key" >"$keyfile.new" && mv "$keyfile.new" "$keyfile")
}

welcome() {
    if ! router_ready 30; then
        kill -0 "$router_pid" 2>/dev/null && say "The router did not get ready within 30 seconds." >&2
        return 0 # else it has ended, and said why
    fi
    if ! make_key; then
        # another program on this port may have answered while ours was ending
        kill -0 "$router_pid" 2>/dev/null && say "The router is ready, but no API key could be made: $key" >&2
        return 0
    fi
    cat <<TEXT

The router is ready: $ROUTER_URL

  curl $ROUTER_URL/v1/chat/completions \\
    -H "Authorization: Bearer $key" -H "Content-Type: application/json" \\
    -d '{"model":"echo","messages":[{"role":"user","content":"Hello!"}]}'

  from openai import OpenAI
  client = OpenAI(base_url="$ROUTER_URL/v1", api_key="$key")

  $ROUTER_URL/console/   the web console, in a browser
  $BIN_DIR/routerctl --help      administration from the shell

Ctrl-C ends it.

TEXT
}

router_pid=$$
(welcome &) # a grandchild: the router has no children to look after
exec "$BIN_DIR/openai-router"
