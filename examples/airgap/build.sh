#!/bin/sh
# On a connected machine: make one folder that installs iotonboard on a machine without a network.
#
#     examples/airgap/build.sh OUT [--labels] [PYTHON-VERSION [MACHINE]]
#     examples/airgap/build.sh /media/usb/iotonboard --labels 3.11 x86_64     # for example
#
# --labels brings what 'iotonboard labels' draws sheets with.
# OUT then holds the program and every dependency as wheels for the target's Python (CPython on Linux with glibc),
# requirements.txt with a hash for each, licences.txt, sbom.json (CycloneDX), install.sh and SHA256SUMS.
# What is downloaded is pinned by requirements.lock (labels.lock with --labels) beside this script, and what builds the
# wheel by build.lock; a wheel with another hash is refused. Two builds of the same commit are the same, octet by octet, today and in a year.
set -eu
umask 022
die() { printf 'build.sh: error: %s\n' "$*" >&2; exit 1; }

here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
lock=$here/requirements.lock
for word; do
    shift
    case $word in
    --labels) lock=$here/labels.lock ;;
    -*) die "there is no option '$word'; see the first lines of this script" ;;
    *) set -- "$@" "$word" ;;
    esac
done
out=${1:-}
version=${2:-3.11}
machine=${3:-x86_64}
[ -n "$out" ] || die "name the folder to make; see the first lines of this script"
[ ! -e "$out" ] || die "'$out' exists already: choose another name"
case $version in 3.1[1-9]) ;; *) die "'$version' is not a Python version from 3.11 on" ;; esac
case $machine in x86_64 | aarch64) ;; *) die "'$machine' is neither x86_64 nor aarch64" ;; esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
pip() { "$work/venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }

mkdir -p "$out/wheels"
out=$(cd "$out" && pwd)

# The program: a wheel depends on nothing but the commit. 1980 is the earliest date that ZIP knows.
SOURCE_DATE_EPOCH=$(git -C "$project" log -1 --format=%ct 2>/dev/null || echo 315532800)
export SOURCE_DATE_EPOCH
pip install --require-hashes --only-binary :all: --requirement "$here/build.lock"
PATH=$work/venv/bin:$PATH pip wheel --no-deps --no-build-isolation --wheel-dir "$out/wheels" "$project"

# The dependencies, for the target and not for this machine.
set --
for glibc in 2_17 2_28 2_34; do set -- "$@" --platform "manylinux_${glibc}_$machine"; done
pip download --require-hashes --no-deps --only-binary :all: --dest "$out/wheels" \
    --python-version "$version" --implementation cp "$@" --platform "manylinux2014_$machine" \
    --requirement "$lock"

"$work/venv/bin/python" "$here/describe.py" "$out" "$lock"
echo "$version $machine" >"$out/target"
cp "$here/install.sh" "$out/install.sh"
chmod 755 "$out/install.sh"
(cd "$out" && find . -type f ! -path ./SHA256SUMS | LC_ALL=C sort | xargs sha256sum >SHA256SUMS)
printf 'made %s: carry the whole folder over, then run ./install.sh there\n' "$out"
printf 'SHA-256 of SHA256SUMS, to compare by another way: '
sha256sum "$out/SHA256SUMS" | cut -d' ' -f1
printf 'sign it: ssh-keygen -Y sign -f KEY -n iotonboard %s/SHA256SUMS\n' "$out"
