# shellcheck shell=bash
# Sourced by tests that need a bare Debian: debian_root SUITE FOLDER makes one with debootstrap, from the
# archive and with the apt settings (proxy, checks) of this machine.

debian_root() {
    local suite=$1 folder=$2 mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    local top
    top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    mirror=$(sh "$top/deploy/deps.sh" --mirror)
    [ -n "$mirror" ] || { echo "no Debian archive in apt's sources"; return 1; }
    rm -rf "$folder"
    debootstrap --variant=minbase ${keyring:+--keyring=$keyring} "$suite" "$folder" "$mirror" || return 1
    apt-config dump | grep -E '^Acquire::[^ ]* "[^"]' | grep -vE '^Acquire::(IndexTargets|CompressionTypes|Changelogs)' \
        >"$folder/etc/apt/apt.conf.d/90machine"
    # What the sources of a freshly installed system would have: the archive, its updates come with the suite.
    case $mirror in
    https:*)
        mkdir -p "$folder/etc/ssl/certs"
        cp /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/"
        ;;
    esac
    rm -rf "$folder"/var/cache/apt/archives/*.deb
}
