#!/bin/sh
# Install the Debian packages that a file names and that are missing. Says what it does; does nothing when all are there.
set -eu
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
# shellcheck disable=SC2086
if ! { apt update && apt install -y --no-install-recommends $missing; }; then
    cat "$log" >&2
    echo "apt-get did not install:$missing; its own words stand above: mend that (network, /etc/apt, disk), then run make again" >&2
    exit 1
fi
