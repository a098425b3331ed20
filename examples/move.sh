#!/bin/sh
# Move to a new workstation without forgetting a revocation or using a number twice.
#
#     examples/move.sh leave  STICK      on the old workstation: back up, then take the state out of use
#     examples/move.sh arrive STICK      on the new one: bring it back, and check everything
#
# Two workstations that both sign would each know half of the revocations; so the first step ends by renaming the old
# state. The passphrase file travels apart from the stick. IOTONBOARD_STATE and IOTONBOARD_PASSPHRASE_FILE name both.
set -eu

die() { printf 'move.sh: %s\n' "$*" >&2; exit 1; }
run() { printf '$ iotonboard %s\n' "$*"; iotonboard "$@"; }

[ $# = 2 ] && [ -d "$2" ] || die "usage: move.sh leave|arrive STICK (a folder on a removable disk)"
stick=$2
: "${IOTONBOARD_STATE:?names the state directory}" "${IOTONBOARD_PASSPHRASE_FILE:?opens the CA key}"
umask 077

leave() {
    echo "== 1. Everything is well, or is mended here"
    run health
    echo "== 2. The backup, the newest CRL and the head of the trail"
    made=$(iotonboard backup "$stick/move.zip")
    printf '%s\n' "$made"
    printf '%s\n' "$made" | cut -f 4 | cut -d ' ' -f 2 >"$stick/move.head" # of the trail that the backup holds
    cp "$IOTONBOARD_STATE/certs/crl.pem" "$stick/move.crl.pem"
    echo "== 3. The old state is out of use; destroy it when the new one works"
    mv "$IOTONBOARD_STATE" "$IOTONBOARD_STATE.moved"
}

arrive() {
    echo "== 1. The state comes back, with every revocation that any broker knows"
    run restore "$stick/move.zip" --state "$IOTONBOARD_STATE" --crl "$stick/move.crl.pem"
    echo "== 2. Device folders are written from the database"
    run health --repair
    echo "== 3. It is the trail of the old workstation, whole, and all is well"
    run audit verify --head "$(cat "$stick/move.head")"
    run health --deep
    run health
    run verify
    echo "== 4. A package for the brokers, which pass on to the new workstation's numbers with it"
    run pack --out "$stick/brokers.iotpkg" --force
}

case $1 in
    leave) leave ;;
    arrive) arrive ;;
    *) die "say 'leave' or 'arrive'" ;;
esac
