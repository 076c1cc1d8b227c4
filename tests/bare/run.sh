#!/usr/bin/env bash
# tests/bare/run.sh [SUITE [TARGET...]]: what a newcomer does, on a Debian that has nothing: git clone, make demo,
# make demo again, with times. Then the TARGETs, if any ("test", "lint"). SUITE: bookworm (default) or trixie.
#
# The Debian is a debootstrapped root in /tmp, kept for the next run unless KEEP=0; root is needed.
set -u
suite=${1:-bookworm}
shift $(($# > 0))
top=$(cd "$(dirname "$0")/../.." && pwd)
root=${BARE_ROOT:-/tmp/openai-router-bare-$suite}
first_max_s=300 # with all packages
again_max_s=15
passed=0 failed=0

# shellcheck source=tests/lib-debian-root.sh
. "$top/tests/lib-debian-root.sh"

finish() {
    umount "$root/proc" "$root/dev/pts" "$root/dev" 2>/dev/null
    [ "${KEEP:-1}" != 0 ] || rm -rf --one-file-system "$root"
    printf '%d passed, %d failed, %d skipped\n' $passed $failed "${skipped:-0}"
    exit $((failed > 0)) # a bare exit in a trap would give the code from before it
}
trap finish EXIT

if [ "$(id -u)" != 0 ]; then
    echo 'skip  bare: needs root for chroot'
    skipped=1
    exit
fi
sh "$top/deploy/deps.sh" compose
# A pristine root is kept beside the one that is used: the demo has to start from nothing each time.
if [ ! -e "$root.pristine/etc/debian_version" ]; then
    if ! debian_root "$suite" "$root.new" >"$root.log" 2>&1; then
        tail -n 5 "$root.log"
        echo 'skip  bare: debootstrap does not work here'
        skipped=1
        exit
    fi
    mv "$root.new" "$root.pristine"
fi
umount "$root/proc" "$root/dev/pts" "$root/dev" 2>/dev/null
rm -rf --one-file-system "$root"
cp -a "$root.pristine" "$root"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount --bind /dev/pts "$root/dev/pts"
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
# Whom this machine trusts (a proxy of its own, perhaps), the root trusts too, by Debian's own way for local ones.
mkdir -p "$root/usr/local/share/ca-certificates"
[ ! -r /etc/ssl/certs/ca-certificates.crt ] || awk -v to="$root/usr/local/share/ca-certificates/machine" \
    '/BEGIN CERT/ { n++ } n { print >(to "-" n ".crt") }' /etc/ssl/certs/ca-certificates.crt

inside() { # inside COMMAND: by a shell without anything of this machine's environment
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 chroot "$root" sh -c "$1" </dev/null
}

# All that a newcomer has: git, make, and the sources. What is not committed yet is taken along.
inside 'apt-get update -qq && apt-get install -y -qq --no-install-recommends git make >/dev/null' >"$root.log" 2>&1 ||
    { tail -n 5 "$root.log"; failed=1; exit; }
mkdir -p "$root/srv"
git clone -q "$top" "$root/srv/router" 2>/dev/null || mkdir -p "$root/srv/router"
(cd "$top" && git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' f; do
    [ ! -e "$f" ] || printf '%s\0' "$f"
done | tar -c --null -T - -f -) | tar -x -C "$root/srv/router"
chown -R root:root "$root/srv/router"

step() { # step NAME LIMIT_S COMMAND
    local start=$SECONDS took
    printf '== %s on bare %s\n' "$1" "$suite"
    if inside "cd /srv/router && $3"; then
        took=$((SECONDS - start))
        if [ "$2" -gt 0 ] && [ $took -gt "$2" ]; then
            failed=$((failed + 1))
            printf 'FAIL %s: %d s, %d are the most\n' "$1" $took "$2"
        else
            passed=$((passed + 1))
            printf '  ok  %s: %d s\n' "$1" $took
        fi
    else
        failed=$((failed + 1))
        printf 'FAIL %s after %d s\n' "$1" $((SECONDS - start))
    fi
}

step 'make demo, the first time' $first_max_s 'make demo'
step 'make demo, again' $again_max_s 'make demo'
for target in "$@"; do
    step "make $target" 0 "make $target"
done
