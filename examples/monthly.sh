#!/bin/sh
# The officer's month: prove that nothing was changed, renew what expires, sign a new CRL, back up, carry.
#
#     examples/monthly.sh STICK
#
# STICK keeps, from month to month, the head of the audit trail that was written down last. A trail that was changed ends
# the routine at once. Otherwise it ends with exit 9 when something needs a person; everything else is done by then.
set -eu

die() { printf 'monthly.sh: %s\n' "$*" >&2; exit 1; }
run() { printf '$ iotonboard %s\n' "$*"; iotonboard "$@"; }
# A finding (9), or devices that were refused (4 and 6), are remembered and do not stop the routine; anything else does.
check() {
    code=0
    run "$@" || code=$?
    case $code in 0) ;; 4 | 6 | 9) found=9 ;; *) die "exit $code" ;; esac
}

[ $# = 1 ] && [ -d "$1" ] || die "usage: monthly.sh STICK (a folder on a removable disk)"
stick=$1 found=0
sleep 1 # names of files carry the second, and none may be on the stick already
month=$(date +%Y%m%dT%H%M%S)
: "${IOTONBOARD_STATE:?names the state directory}"
umask 077

echo "== 1. Nobody changed or cut off the audit trail since last month"
if [ -s "$stick/audit-head.txt" ]; then
    run audit verify --head "$(cut -f 1 "$stick/audit-head.txt")"
else
    run audit verify
fi

echo "== 2. What expires; devices get a new certificate, the old one stays valid for the overlap"
check expiring
check renew --expiring-within 45 --passwords "$stick/renewed-$month.csv"

echo "== 3. New CRLs, in one package for the brokers; overlaps that are over end here"
run pack --out "$stick/brokers.iotpkg" --force

echo "== 4. All checks, and the page for the file"
check health
run report --out "$stick/report-$month.html"

echo "== 5. Backup, and the head of the trail"
run backup "$stick/backup-$month.zip"
iotonboard audit head >"$stick/audit-head.txt"
cat "$stick/audit-head.txt"
echo "Next: apply the package on each broker's machine; carry the renewed bundles to their devices."
exit "$found"
