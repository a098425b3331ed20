#!/bin/sh
# The first day in a factory: a CA, the broker's certificate, the first devices, and what has to leave the workstation.
#
#     examples/first-day.sh STICK DEVICES.csv BROKER [NAME-OR-ADDRESS...]
#
# STICK is a folder on a removable disk. Where the state shall be and where its passphrase file is said by
# IOTONBOARD_STATE and IOTONBOARD_PASSPHRASE_FILE; neither may be there yet. Put the passphrase file on another stick
# than the backup: with both, anybody is this CA.
set -eu

die() { printf 'first-day.sh: %s\n' "$*" >&2; exit 1; }
run() { printf '$ iotonboard %s\n' "$*"; iotonboard "$@"; }

[ $# -ge 3 ] || die "usage: first-day.sh STICK DEVICES.csv BROKER [NAME-OR-ADDRESS...]"
stick=$1 devices=$2
shift 2
[ -d "$stick" ] || die "there is no folder $stick"
[ -r "$devices" ] || die "cannot read $devices"
[ ! -e "${IOTONBOARD_PASSPHRASE_FILE:?names the passphrase file that is made}" ] || die "the passphrase file exists"
: "${IOTONBOARD_STATE:?names the state directory that is made}"
umask 077

echo "== 1. The CA. Its passphrase is random: nothing to type, nothing to guess"
key_file=$IOTONBOARD_PASSPHRASE_FILE
(unset IOTONBOARD_PASSPHRASE_FILE; run init-ca --common-name "${CA_NAME:-Plant Device CA}" --generate-key-file "$key_file")

echo "== 2. The broker: every name and address that devices use"
run broker issue "$@" --plain-key

echo "== 3. The devices of the list, and the passwords of their bundles in a file of their own"
run register --batch "$devices" --passwords "$stick/passwords.csv" --results "$stick/results.csv"

echo "== 4. What a broker will make of these files, and whether all is well"
run verify
run health

echo "== 5. To the stick: the broker's files, a backup, and the head of the audit trail for the paper file"
mkdir -p "$stick/broker"
cp "$IOTONBOARD_STATE/certs/brokers/$1"/* "$IOTONBOARD_STATE/certs/ca.crt" "$IOTONBOARD_STATE/certs/crl.pem" \
    "$IOTONBOARD_STATE/mosquitto.acl" "$stick/broker/"
run backup "$stick/backup-$(date +%Y%m%dT%H%M%S).zip"
iotonboard audit head >"$stick/audit-head.txt"
cat "$stick/audit-head.txt"
echo "Next, on the broker's machine: put broker/ into /etc/mosquitto/iotonboard; from then on 'iotonboard apply' brings news."
echo "Then: adapt the paths in $stick/broker/mosquitto.conf to where the files will be; lock $key_file away."
