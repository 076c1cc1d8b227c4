#!/bin/sh
# tests/console/run.sh [NAME...]: the web console in a real browser: tests/console/NAME.test.js, all without a name. Ends with
# "N passed, N failed, N skipped". What the tests need of npm is installed into build/compat/console, pinned by package.json.
#
# BIN_DIR: where the programs are. CHROMIUM: another browser than Debian's.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
modules=$(cd "$here/../.." && pwd)/build/compat/console

if ! cmp -s "$here/package.json" "$modules/installed"; then
    rm -rf "$modules"
    mkdir -p "$modules"
    cp "$here/package.json" "$modules/"
    (cd "$modules" && npm install --no-audit --no-fund --no-package-lock --fetch-retries=1 --loglevel=error) || {
        echo 'FAILED tests/console: its npm packages could not be installed'
        echo '0 passed, 1 failed, 0 skipped'
        exit 1
    }
    cp "$here/package.json" "$modules/installed"
fi
cd "$here"
if [ $# -eq 0 ]; then
    set -- *.test.js
else
    for name in "$@"; do
        shift
        set -- "$@" "$name.test.js"
    done
fi
exec node run.js "$@"
