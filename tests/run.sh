#!/bin/sh
# Every check of the project, with one command, also on a machine that has nothing yet:
#
#     tests/run.sh                  everything
#     tests/run.sh --long           the long versions too
#     tests/run.sh -k stream -x     any arguments go to pytest
#
# Makes its own environment in .venv-test. As root on Debian it installs the programs that the tests talk
# to; elsewhere the tests whose program is missing are skipped and say so, except when CI is set: then
# a missing program fails the run.
set -eu
cd "$(dirname "$0")/.."
exec </dev/null

say() { printf '== %s\n' "$*"; }
die() { printf 'tests/run.sh: error: %s\n' "$*" >&2; exit 1; }

# program:Debian package
TOOLS="mosquitto:mosquitto mosquitto_pub:mosquitto-clients openssl:openssl certtool:gnutls-bin 7zz:7zip
       bsdtar:libarchive-tools faketime:faketime strace:strace gcc:gcc g++:g++ keytool:default-jre-headless
       chromium:chromium pdftotext:poppler-utils ssh-keygen:openssh-client softhsm2-util:softhsm2
       freeradius:freeradius eapol_test:eapoltest swtpm:swtpm dbus-daemon:dbus-daemon tpm2-abrmd:tpm2-abrmd
       curl:curl node:nodejs"

unset PYTHONWARNINGS # what pip warns of is no error
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

usable_python() { # Python >= 3.11 that can make an environment with pip in it
    command -v "$1" >/dev/null 2>&1 || return 1
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for name in python3 python3.11 python3.12 python3.13 python3.14; do
        if usable_python "$name"; then echo "$name"; return 0; fi
    done
    return 1
}

install_missing_packages() {
    missing=
    find_python >/dev/null || missing="python3 python3-venv"
    for pair in $TOOLS; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
    done
    command -v tpm2_ptool >/dev/null 2>&1 ||
        missing="$missing libtpm2-pkcs11-tools libtpm2-pkcs11-1 libtss2-tcti-tabrmd0"
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql" # which lies in no PATH
    [ -e /usr/share/easy-rsa/easyrsa ] || missing="$missing easy-rsa" # which lies in no PATH
    [ -e /usr/include/mbedtls/x509_crt.h ] || missing="$missing libmbedtls-dev" # for firmware that the tests build
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        say "not installed here: $missing (the tests that need them are skipped)"
        return 0
    fi
    say "installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    # The system may be installing its own updates just now: wait for that.
    apt-get -o DPkg::Lock::Timeout=300 update -qq || say "apt-get update failed; trying with the lists at hand"
    # shellcheck disable=SC2086  # a list of words
    apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends $missing >/dev/null && return 0
    for package in $missing; do # one that this release lacks must not cost the others
        apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$package" >/dev/null ||
            say "could not install $package"
    done
}

make_environment() {
    python=$(find_python) || die "no Python >= 3.11 with the venv module; install python3 and python3-venv"
    stamp=$("$python" - "$PWD" <<'PY'
import hashlib, sys
from pathlib import Path
project = Path("pyproject.toml").read_bytes()
print(hashlib.sha256(repr((project, sys.version, sys.argv[1])).encode()).hexdigest())
PY
    )
    if [ -x .venv-test/bin/python ] && [ "$(cat .venv-test/stamp 2>/dev/null || true)" = "$stamp" ]; then
        return 0
    fi
    say "making .venv-test with $("$python" --version)"
    rm -rf .venv-test
    "$python" -m venv .venv-test
    .venv-test/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
    echo "$stamp" >.venv-test/stamp
}

install_missing_packages
make_environment
PATH=$PWD/.venv-test/bin:$PATH

say "ruff"
ruff check iotonboard tests examples
ruff format --check iotonboard tests examples
say "mypy"
mypy
say "pytest"
exec python -m pytest -n auto --dist worksteal "$@"
