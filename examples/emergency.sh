#!/bin/sh
# Emergency: devices, or their keys, are in the wrong hands. Revokes them, proves that the broker will refuse them, and
# leaves what the report to the management needs.
#
#     examples/emergency.sh STICK ID...
#
# With a broker on this machine (setting broker.reload) it is reloaded; for brokers elsewhere STICK gets a package, which
# 'iotonboard apply' puts in place there.
set -eu

die() { printf 'emergency.sh: %s\n' "$*" >&2; exit 1; }
run() { printf '$ iotonboard %s\n' "$*"; iotonboard "$@"; }

[ $# -ge 2 ] || die "usage: emergency.sh STICK ID..."
stick=$1
shift
[ -d "$stick" ] || die "there is no folder $stick"
: "${IOTONBOARD_STATE:?names the state directory}"

echo "== 1. Revoke: on the CRL and out of the ACL in one step. An unknown id harms no other"
case $(iotonboard config show --json) in
    *'"broker.reload": {"value": ""'*) reload= ;;
    *) reload=--reload ;;
esac
code=0
# shellcheck disable=SC2086  # one word or none
run revoke "$@" --reason keyCompromise $reload || code=$?
[ "$code" = 0 ] || [ "$code" = 5 ] || die "exit $code: the files that brokers have now still let the devices in"

echo "== 2. Prove it: what a broker will do with each of them"
for id; do
    verdict=$(iotonboard verify "$id") || [ $? = 9 ] || verdict=unknown
    case $verdict in
        unknown) printf '%s: no such device\n' "$id" ;;
        *start*refused*) printf '%s: refused\n' "$id" ;;
        *) printf '%s: NOT refused\n' "$id"; code=9 ;;
    esac
done

echo "== 3. The package for brokers elsewhere: apply it on each of them now"
run pack --out "$stick/brokers.iotpkg" --force

echo "== 4. For the report: who did what and when, and the head that proves it later"
for id; do run audit show --words --full --subject "$id" || true; done >"$stick/emergency-$(date +%Y%m%dT%H%M%S).txt"
run audit head
exit "$code"
