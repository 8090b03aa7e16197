#!/bin/sh
# Install the Debian packages that a file names and that are missing. Says what it does; does nothing when all are there.
#
#   install.sh [--only-programs] FILE
#
# --only-programs: the caller starts what it needs by itself (make bench starts resolvers, on its own ports). A package that this release does not have
# is named and left out, and no unit that the new packages bring stays enabled for the next boot.
set -eu
only_programs=""
if [ "$1" = --only-programs ]; then
    only_programs=yes
    shift
fi
missing=""
for package in $(sed 's/#.*//' "$1"); do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "this is not Debian or Ubuntu: install what these packages hold, by this machine's own means:$missing" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "missing Debian packages:$missing; run as root: apt-get install$missing" >&2
    exit 1
fi
echo "== Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive
# What apt and the packages' scripts say is worth reading only when it did not work.
log=$(mktemp)
policy=/usr/sbin/policy-rc.d
made=""
# The signals too: the policy left behind would keep every later package of this machine from starting its service.
trap '[ -z "$made" ] || rm -f "$policy"; rm -f "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
# A package must not start a service of its own here: the tests start what they need, on their own ports.
if [ ! -e "$policy" ]; then
    made=yes
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
apt() { apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null >>"$log" 2>&1; }
failed() {
    cat "$log" >&2
    echo "apt-get did not install:$missing; its own words stand above: mend that (network, /etc/apt, disk), then run make again" >&2
    exit 1
}
apt update || failed
if [ -n "$only_programs" ]; then
    known=""
    for package in $missing; do
        if apt-cache policy "$package" | grep -q '^  Candidate: [^(]'; then
            known="$known $package"
        else
            echo "== not in this release, left out: $package"
        fi
    done
    missing=$known
    [ -n "$missing" ] || exit 0
fi
# shellcheck disable=SC2086
apt install -y --no-install-recommends $missing || failed
if [ -n "$only_programs" ] && command -v systemctl >/dev/null; then
    for package in $missing; do
        dpkg -L "$package" | grep -E '^(/usr)?/lib/systemd/system/[^/@]+[.](service|socket|target|timer)$' || true
    done | sed 's|.*/||' | xargs -r systemctl disable >>"$log" 2>&1 || failed
fi
