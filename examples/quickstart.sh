#!/bin/sh
# The whole story in one command: a device is born, a real Mosquitto accepts it, it is revoked and refused.
#
#     examples/quickstart.sh
#
# Makes its own environment in .venv and a state in a temporary folder, which goes away at the end (KEEP=1 keeps
# it). As root on Debian it installs mosquitto when there is none; elsewhere it says so and shows the rest.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

step() { printf '\n\033[1m== %s\033[0m\n' "$*" | if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then cat; else sed 's/\x1b\[[01]m//g'; fi; }
commands=
note() { commands="$commands  iotonboard $*
"; }
run() { note "$@"; printf '$ iotonboard %s\n' "$*"; iotonboard "$@"; }
die() { printf 'quickstart: error: %s\n' "$*" >&2; exit 1; }

usable_python() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for name in python3 python3.11 python3.12 python3.13 python3.14; do
        if usable_python "$name"; then echo "$name"; return 0; fi
    done
    return 1
}

step "What is needed"
missing=
find_python >/dev/null || missing="python3 python3-venv"
command -v mosquitto >/dev/null 2>&1 || missing="$missing mosquitto"
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing $missing"
    apt-get update -qq || true
    # shellcheck disable=SC2086  # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
        echo "could not install $missing"
fi
python=$(find_python) || die "no Python >= 3.11 with venv; on Debian: apt-get install python3 python3-venv"
if [ ! -x .venv/bin/iotonboard ]; then
    echo "making .venv with $("$python" --version)"
    "$python" -m venv .venv
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check . 'paho-mqtt>=2.1'
PATH=$PWD/.venv/bin:$PATH
iotonboard --version

work=$(mktemp -d)
broker=
# shellcheck disable=SC2329  # called by the trap
clean() {
    [ -z "$broker" ] || kill "$broker" 2>/dev/null || true
    if [ -n "${KEEP:-}" ]; then echo "kept: $work"; else rm -rf "$work"; fi
}
trap clean EXIT
trap 'exit 130' INT TERM
client() { python examples/mqtt_client.py --port "$port" --device "$1" --folder "$work/$1" "$2"; }
export IOTONBOARD_STATE="$work/state" IOTONBOARD_PASSPHRASE_FILE="$work/ca.pass"
port=$(python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

step "A CA of your own, its key encrypted by a random passphrase file"
note init-ca --common-name "'Quickstart CA'" --generate-key-file ca.pass
printf '$ iotonboard init-ca --common-name "Quickstart CA" --generate-key-file ca.pass\n'
IOTONBOARD_PASSPHRASE_FILE='' env -u IOTONBOARD_PASSPHRASE_FILE \
    iotonboard init-ca --common-name "Quickstart CA" --generate-key-file "$work/ca.pass"

step "A certificate and a mosquitto.conf for the broker"
run broker issue localhost 127.0.0.1 --plain-key --port "$port"

step "Two devices are born"
run register press-17 --set line=A3
run register oven-4 --set line=B1
for device in press-17 oven-4; do
    note export "$device" --format pem --out "$device"
    iotonboard export "$device" --format pem --out "$work/$device" --quiet >/dev/null
done

if ! command -v mosquitto >/dev/null 2>&1; then
    step "No broker is installed here"
    echo "Install mosquitto (Debian: apt-get install mosquitto) and run this again to watch it accept and refuse."
    run revoke press-17 --reason keyCompromise
    run health
    exit 0
fi

step "A real broker: $(mosquitto -h | head -n 1)"
conf="$IOTONBOARD_STATE/certs/brokers/localhost/mosquitto.conf"
{ cat "$conf"; echo "user $(id -un)"; } >"$work/mosquitto.conf"
mosquitto -c "$work/mosquitto.conf" >"$work/mosquitto.log" 2>&1 &
broker=$!
python examples/mqtt_client.py --port "$port" wait || { cat "$work/mosquitto.log"; die "the broker did not start"; }

step "Both devices are accepted and reach their own topics only"
client press-17 accepted
client oven-4 accepted

step "press-17 is revoked: recorded, on the CRL and out of the ACL in one command"
run revoke press-17 --reason keyCompromise
kill -HUP "$broker"

step "The broker refuses it; its neighbour works on"
client press-17 refused
client oven-4 accepted

step "The desk"
run show press-17
run list
run health
step "That was the whole way; these commands made it"
printf '%s' "$commands"
echo "Next: iotonboard help first-day"
