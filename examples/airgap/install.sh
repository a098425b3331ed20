#!/bin/sh
# On the machine without a network: check the folder, install from it, try the program.
#
#     ./install.sh [TARGET]        # TARGET: the environment to make, ~/iotonboard unless named
#
# This script came with the folder: who changed the folder can have changed the script. So verify the signature over
# SHA256SUMS, and SHA256SUMS over this script, with the system's own programs first ('iotonboard help air-gap').
#
# Needs the Python that the folder was built for, with the venv module, nothing else.
set -eu
die() { printf 'install.sh: error: %s\n' "$*" >&2; exit 1; }

folder=$(cd "$(dirname "$0")" && pwd)
target=${1:-$HOME/iotonboard}
[ ! -e "$target" ] || die "'$target' exists already: choose another name, or move it away"
cd "$folder"
sha256sum --check --strict --quiet SHA256SUMS || die "this folder is damaged or was changed: do not install from it"
listed=$(cut -c67- SHA256SUMS | LC_ALL=C sort)
present=$(find . ! -type d ! -path ./SHA256SUMS ! -path ./SHA256SUMS.sig | LC_ALL=C sort)
[ "$listed" = "$present" ] || die "there are files here that SHA256SUMS does not list: do not install from it"

read -r version machine <target
[ "$(uname -m)" = "$machine" ] || die "this folder is for $machine and this machine is $(uname -m): build one for it"
python=
for name in "python$version" python3; do
    if "$name" -c "import sys, venv, ensurepip; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" >/dev/null 2>&1; then
        python=$name
        break
    fi
done
[ -n "$python" ] || die "there is no Python $version with venv here ($(python3 --version 2>&1)); on Debian: apt-get install \
python3 python3-venv; or build the folder for the version that is here"
"$python" -m venv "$target"
PIP_CONFIG_FILE=/dev/null "$target/bin/python" -m pip --isolated --quiet --disable-pip-version-check install \
    --no-index --require-hashes --find-links wheels --compile --requirement requirements.txt ||
    { rm -rf "$target"; die "the wheels do not fit here (glibc too old, or no space left?): see above"; }

"$target/bin/iotonboard" --version
trial=$(mktemp -d)
trap 'rm -rf "$trial"' EXIT
"$target/bin/iotonboard" init-ca --quiet --state "$trial/state" --generate-key-file "$trial/pass" >/dev/null
"$target/bin/iotonboard" register --quiet --state "$trial/state" --passphrase-file "$trial/pass" trial >/dev/null
"$target/bin/iotonboard" health --quiet --state "$trial/state" >/dev/null || die "the program does not work here"
if grep -q '^segno==' requirements.txt; then
    "$target/bin/iotonboard" labels --quiet --state "$trial/state" trial --out "$trial/labels.pdf" >/dev/null ||
        die "labels cannot be drawn here"
    echo "tried: labels"
fi
echo "tried: a CA, a device and every check are well"
if [ -n "${IOTONBOARD_STATE:-}" ] && [ -d "$IOTONBOARD_STATE" ]; then
    "$target/bin/iotonboard" health
else
    echo "no state yet: $target/bin/iotonboard init-ca makes one; IOTONBOARD_STATE names it for 'health'"
fi
