#!/bin/sh
# The CA is about to expire: a new one beside the old one, until the last device of the old one has gone.
#
#     examples/rollover.sh begin  STICK      the new CA; both are trusted from now on
#     examples/rollover.sh renew  STICK      new bundles for the devices of the old CA: repeat until none is left
#     examples/rollover.sh end    STICK      new certificates for the brokers, and the old CA is retired
#
# After each step the package on STICK goes to every broker: 'iotonboard apply', with the ca.crt that the broker has as
# --ca, since that one follows the change; then it is reloaded. 'end' is refused for as long
# as a valid certificate of the old CA is left, and says how many; it may be tried any day.
set -eu

die() { printf 'rollover.sh: %s\n' "$*" >&2; exit 1; }
run() { printf '$ iotonboard %s\n' "$*"; iotonboard "$@"; }

[ $# = 2 ] && [ -d "$2" ] || die "usage: rollover.sh begin|renew|end STICK (a folder on a removable disk)"
stick=$2
sleep 1 # names of files carry the second, and none may be on the stick already
moment=$(date +%Y%m%dT%H%M%S)
: "${IOTONBOARD_STATE:?names the state directory}"
certs=$IOTONBOARD_STATE/certs
umask 077

carry() {
    run verify
    run pack --out "$stick/brokers.iotpkg" --force
    run backup "$stick/backup-$moment.zip"
    run ca status
}

# Brokers whose certificate is of the old CA: it stands second.
brokers_of_old_ca() {
    iotonboard ca status --json | sed -n 's/.*"brokers": \[\([^]]*\)\]}\]}$/\1/p' | tr -d '", ' | tr , '\n'
}

# How many devices still have a valid certificate of the old CA.
devices_of_old_ca() {
    iotonboard ca status --json | sed -n 's/.*"valid_devices": \([0-9]*\), "brokers": \[[^]]*\]}\]}$/\1/p'
}

# The names in a broker's certificate, as openssl prints them.
names_of() {
    openssl x509 -in "$certs/brokers/$1/broker.crt" -noout -ext subjectAltName |
        sed -n 's/IP Address:/DNS:/g; s/^ *DNS:\(.*\)/\1/p' | sed 's/, DNS:/ /g'
}

begin() {
    echo "== The new CA: key, certificate, and a CRL of each CA"
    run ca rollover begin
    carry
}

renew() {
    echo "== New certificates for devices of the old CA; the old ones stay valid for the overlap"
    run renew --old-ca --passwords "$stick/renewed-$moment.csv"
    carry
}

end() {
    echo "== Overlaps that are over end with a new CRL"
    run gen-crl
    left=$(devices_of_old_ca)
    [ "$left" = 0 ] || die "$left devices have a certificate of the old CA: 'renew', wait for the overlap, or revoke"
    # A broker gets its certificate from the new CA now that no device knows the old one only.
    for host in $(brokers_of_old_ca); do
        echo "== The broker $host"
        # shellcheck disable=SC2046  # one word for each name
        run broker issue $(names_of "$host") --plain-key
        mkdir -p "$stick/$host"
        cp "$certs/brokers/$host"/broker* "$stick/$host/"
        moved="${moved:-} $host"
    done
    echo "== The old CA goes: certificate, CRL and key"
    run ca rollover --retire
    carry
    for host in ${moved:-}; do echo "Next, on $host: put $stick/$host/ in place, apply the package, restart the broker."; done
}

case $1 in
    begin) begin ;;
    renew) renew ;;
    end) end ;;
    *) die "say 'begin', 'renew' or 'end'" ;;
esac
