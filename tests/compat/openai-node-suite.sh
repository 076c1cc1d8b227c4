#!/bin/sh
# tests/compat/openai-node-suite.sh PATH_OF_CHECKOUT [JEST_ARGUMENT...]
# Runs the test suite of openai/openai-node, of which a checkout is at PATH, against its mock of the API: directly, and
# through the router. See README.md beside this file. Everything is installed under build/compat; the checkout is only
# read. Exit code: 0 = nothing differs but what suite.py explains, 1 = something does, 2 = it could not run.
set -eu

NODE=24 PNPM=11.5.1 STEADY=0.22.1

fail() { printf '%s\n' "${0##*/}: $*" >&2; exit 2; }

[ $# -ge 1 ] || fail "usage: ${0##*/} PATH_OF_CHECKOUT_OF_OPENAI_NODE [JEST_ARGUMENT...]"
root=$(cd "$(dirname "$0")/../.." && pwd)
from=$(cd "$1" && pwd)
shift
[ -f "$from/scripts/generated-test-patterns.json" ] && [ -f "$from/api_reference/openapi.transformed.yml" ] ||
    fail "$from is no checkout of openai/openai-node (7.5 or later)"
[ -x "$root/build/bin/openai-router" ] || fail "build/bin/openai-router is missing: make"

work=$root/build/compat
tools=$work/tools
mkdir -p "$tools"
wanted="node@$NODE pnpm@$PNPM @stdy/cli@$STEADY"
if [ "$(cat "$tools/installed" 2>/dev/null)" != "$wanted" ]; then
    # shellcheck disable=SC2086
    npm install --no-audit --no-fund --loglevel=error --prefix "$tools" $wanted
    printf '%s\n' "$wanted" >"$tools/installed"
fi
PATH=$tools/node_modules/.bin:$PATH
export PATH

# A copy, because installing writes into it. --ignore-scripts: its "prepare" would replace the copy with a build of itself.
copy=$work/openai-node
mkdir -p "$copy"
find "$copy" -mindepth 1 -maxdepth 1 ! -name node_modules -exec rm -rf {} +
(cd "$from" && tar -cf - --exclude=./node_modules --exclude=./.git .) | tar -xf - -C "$copy"
(cd "$copy" && pnpm install --frozen-lockfile --ignore-scripts --filter openai --reporter=silent)

exec python3 "$root/tests/compat/suite.py" "$copy" "$@"
