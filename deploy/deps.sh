#!/bin/sh
# deploy/deps.sh [SET...]: makes sure that what the project needs is on this machine.
#
# Everything comes from Debian packages. Nothing that is there is touched: with all in place this
# prints nothing and takes a few hundredths of a second, so the Makefile may call it freely.
# Sets: build (default), test, console, lint, fuzz, bench, model, compose, all.
#
# Debian 12 packages nng 1.5.2, which hangs a process whose peer is killed under load. There, and only
# there, nng, its TLS library and yyjson come from Debian 13's packages: downloaded with apt in a private
# state and unpacked under build/deps/root. Nothing of Debian 13 is installed. nng and mbedtls are linked
# statically; yyjson is packaged as a shared library only, which needs no newer glibc: it is put into
# build/lib, where the programs find it by their own place ($ORIGIN/../lib).
#
# Writes build/deps/flags.mk, which the Makefile includes.
#
# deploy/deps.sh --mirror: prints the address of the Debian archive that this machine uses.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
out=$top/build/deps
root=$out/root
flags=$out/flags.mk
lock_wait_s=900 # another make, or somebody else's apt, may be at work
donor_suite=trixie
donor_packages='libnng-dev libmbedtls-dev libyyjson-dev libyyjson0'

# needs SET: what a set is made of. "command=package" is missing when the command is; a bare word is a package.
needs() {
    case $1 in
    build)
        echo gcc=gcc libc6-dev pkg-config=pkgconf libcivetweb-dev libcurl4-openssl-dev libsqlite3-dev \
            libsodium-dev libjwt-dev libhiredis-dev libcyaml-dev libyaml-dev ca-certificates curl=curl python3-yaml
        case $major in
        12) echo libmsgpack-dev ;;
        *) echo libmsgpack-c-dev libnng-dev libyyjson-dev ;;
        esac
        ;;
    # pytest and yaml of the distribution are what is left where no package index can be reached
    test)
        echo libcmocka-dev python3=python3 python3-venv python3-pytest python3-yaml openssl=openssl node=nodejs npm=npm \
            nginx=nginx-light redis-server=redis-server
        ;;
    # a browser that draws text needs a font
    console) echo chromium=chromium fonts-dejavu-core node=nodejs npm=npm ;;
    lint)
        echo clang=clang clang-tidy=clang-tidy clang-format=clang-format cppcheck=cppcheck \
            ctags=universal-ctags shellcheck=shellcheck python3=python3
        ;;
    fuzz)
        echo clang=clang
        case $major in
        12) echo libclang-rt-14-dev ;;
        *) echo libclang-rt-dev ;;
        esac
        ;;
    bench) echo nginx=nginx-light wrk=wrk python3=python3 ;;
    model) echo spin=spin gcc=gcc libc6-dev ;;
    compose)
        echo dockerd=docker.io docker-compose=docker-compose debootstrap=debootstrap iptables=iptables curl=curl
        [ "$major" = 12 ] || echo docker=docker-cli
        ;;
    *) die "unknown set '$1'" ;;
    esac
}

say() { printf 'deps: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

release() {
    id=$(. /etc/os-release && printf %s "${ID:-}")
    codename=$(. /etc/os-release && printf %s "${VERSION_CODENAME:-}")
    version=$(. /etc/os-release && printf %s "${VERSION_ID:-0}")
    if [ "$id" != debian ] || ! command -v dpkg-query >/dev/null; then
        die "only Debian 12 and later are known here (this is '$id'). Use the Dockerfile, or a Debian container."
    fi
    case $version in
    12) major=12 ;;
    1[3-9]) major=13 ;;
    '' | 0) major=13 ;; # testing and unstable carry no number
    *) die "Debian $version is too old; 12 or later is needed." ;;
    esac
}

# missing SET...: the packages that are not there, one per line.
missing() {
    for set in "$@"; do
        for word in $(needs "$set"); do
            case $word in
            *=*) command -v "${word%%=*}" >/dev/null 2>&1 || echo "${word#*=}" ;;
            *) echo "?$word" ;;
            esac
        done
    done | sort -u >"$out/need.$$"
    # One dpkg-query for all: it costs 10 ms each time.
    grep '^?' "$out/need.$$" | cut -c2- | xargs -r dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null |
        sed -n 's/^installed //p' >"$out/have.$$" || true
    grep -v '^?' "$out/need.$$" || true
    grep '^?' "$out/need.$$" | cut -c2- | grep -vxF -f "$out/have.$$" || true
    rm -f "$out/need.$$" "$out/have.$$"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "as root, run: $*"
    fi
}

apt_get() { # dpkg's own lock is waited for by apt, that of the package lists is not
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 \
        -o DPkg::Lock::Timeout=$lock_wait_s "$@"
}

update_lists() {
    tries=10
    until apt_get update; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || die "apt-get update does not work here"
        sleep 3
    done
}

# A package that brings a daemon does not start it here: Debian's scripts ask this file, where there is none yet.
policy=/usr/sbin/policy-rc.d
no_daemons() {
    [ ! -e $policy ] || return 0
    trap 'as_root rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod 755 $policy
}

install_packages() {
    say "installing: $*"
    log=$out/apt.log
    no_daemons
    # The lists may be absent or old: try with what is there, then once more with fresh ones.
    if ! apt_get install -y --no-install-recommends "$@" >"$log" 2>&1 </dev/null; then
        say "fetching the package lists"
        update_lists >"$log" 2>&1 </dev/null || { cat "$log" >&2; exit 1; }
        apt_get install -y --no-install-recommends "$@" >"$log" 2>&1 </dev/null || { cat "$log" >&2; exit 1; }
    fi
}

# mirrors: where this machine's own sources find the Debian archive.
mirrors() {
    apt-get --print-uris update 2>/dev/null |
        sed -n "s|^'\(.*\)/dists/$codename/\(In\)\{0,1\}Release[^']*'.*|\1|p" | sort -u
}

donor_sources() {
    key=/usr/share/keyrings/debian-archive-keyring.gpg
    sign=
    [ ! -r $key ] || sign="[signed-by=$key] "
    mirrors | sed "s|.*|deb $sign& $donor_suite main|"
}

fetch_donor() {
    [ ! -e "$root/complete" ] || return 0
    say "downloading nng, mbedtls and yyjson of Debian 13 into build/deps"
    state=$out/apt
    rm -rf "$state" "$root.new"
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$root.new"
    donor_sources >"$state/sources.list"
    [ -s "$state/sources.list" ] || die "no Debian mirror found in apt's sources"
    {
        echo "Dir::Etc::SourceList \"$state/sources.list\";"
        echo 'Dir::Etc::SourceParts "/dev/null";'
        echo 'Dir::Etc::Preferences "/dev/null";'
        echo 'Dir::Etc::PreferencesParts "/dev/null";'
        echo "Dir::State::Lists \"$state/lists\";"
        echo "Dir::Cache \"$state/cache\";"
        echo 'Acquire::Languages "none";'
        echo 'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";'
        echo 'Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";'
        echo 'APT::Sandbox::User "";' # the download user may not reach this folder
        echo 'Acquire::Retries "3";'
    } >"$state/apt.conf"
    # Hooks of the machine's own configuration have no business with a private state.
    (
        cd "$state"
        hooks='-o APT::Update::Post-Invoke= -o APT::Update::Post-Invoke-Success='
        # shellcheck disable=SC2086 # one word per option
        APT_CONFIG=$state/apt.conf apt-get -qq $hooks update </dev/null
        # shellcheck disable=SC2086
        APT_CONFIG=$state/apt.conf apt-get -qq download $donor_packages </dev/null
    ) >"$out/apt.log" 2>&1 || { cat "$out/apt.log" >&2; die "Debian 13's packages could not be downloaded"; }
    for deb in "$state"/*.deb; do
        dpkg-deb -x "$deb" "$root.new"
    done
    for lib in libnng.a libmbedtls.a libmbedx509.a libmbedcrypto.a libyyjson.so.0; do
        [ -n "$(find "$root.new" -name "$lib")" ] || die "$lib is not in Debian 13's packages"
    done
    rm -rf "$root" "$state"
    : >"$root.new/complete"
    mv "$root.new" "$root"
}

# promtool and prometheus for the tests of deploy/prometheus: two static programs, taken out of their package, so that no
# daemon, no user and none of the pages that the package needs are installed. Without them those tests are skipped.
fetch_prometheus() {
    to=$out/prometheus
    [ ! -x "$to/usr/bin/promtool" ] || return 0
    say "downloading prometheus into build/deps"
    rm -rf "$to.new"
    mkdir -p "$to.new"
    for try in 1 2; do
        (cd "$to.new" && apt-get -qq -o APT::Sandbox::User= download prometheus) >"$out/apt.log" 2>&1 </dev/null && break
        [ $try = 2 ] || (update_lists) >>"$out/apt.log" 2>&1 </dev/null || break
    done
    for deb in "$to.new"/*.deb; do
        [ -e "$deb" ] || { cat "$out/apt.log" >&2; say "prometheus could not be had: its tests are skipped"; return 0; }
        dpkg-deb -x "$deb" "$to.new"
        rm "$deb"
    done
    rm -rf "$to"
    mv "$to.new" "$to"
}

# as_system: -I becomes -isystem, so that warnings in other people's headers are not ours. The compiler's
# own folders are left out: named again they would change the order of its search.
as_system() { sed -e 's|-I */usr/include/[^/ ]*-linux-[^/ ]* ||g' -e 's|-I *\([^ ]*\)|-isystem \1|g'; }

write_flags() {
    modules='libcurl sqlite3 libsodium libjwt hiredis libcyaml'
    if [ $major = 12 ]; then
        modules="$modules msgpack"
        # Relative to the top, where make runs: the tree may be moved.
        lib=$(cd "$top" && dirname "$(find build/deps/root -name libnng.a)")
        inc="-isystem build/deps/root/usr/include"
        static=
        for name in nng mbedtls mbedx509 mbedcrypto; do static="$static $lib/lib$name.a"; done
        carried=$lib/libyyjson.so.0
        static="$static $carried"
    else
        modules="$modules msgpack-c"
        inc=
        carried=
        static='-lnng -lyyjson'
    fi
    # shellcheck disable=SC2086 # a list of modules
    {
        echo "# Written by deploy/deps.sh; do not edit."
        echo "DEPS_CPPFLAGS := $inc $(pkg-config --cflags $modules | as_system)"
        echo "DEPS_LIBS := $static -lcivetweb $(pkg-config --libs $modules)"
        echo "DEPS_CARRIED := $carried"
    } >"$flags.new"
    if [ -e "$flags" ] && cmp -s "$flags" "$flags.new"; then
        rm -f "$flags.new"
        touch "$flags" # looked at: newer than dpkg's status again
    else
        mv "$flags.new" "$flags"
    fi
}

[ $# -gt 0 ] || set -- build
if [ "$1" = --mirror ]; then
    release
    mirrors | head -n 1
    exit
fi
[ "$1" != all ] || set -- build test console lint fuzz bench model
mkdir -p "$out"
exec 9>"$out/lock"
flock -w $lock_wait_s 9 || die "another make is still installing"
release
for set in "$@"; do
    needs "$set" >/dev/null # an unknown one ends here
done
packages=$(missing "$@")
# shellcheck disable=SC2086 # a list of packages
[ -z "$packages" ] || install_packages $packages
case " $* " in *' test '*) fetch_prometheus ;; esac
case " $* " in
*' build '*)
    [ $major != 12 ] || fetch_donor
    write_flags
    ;;
esac
