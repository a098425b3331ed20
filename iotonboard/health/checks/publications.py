"""Checks of what is published from the database: CRL, ACL, and the files of devices."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.broker.acl_oddities import odd_lines
from iotonboard.broker.render import style_warning
from iotonboard.ca.copies import refuse_copies
from iotonboard.ca.crl_calendar import load_calendar
from iotonboard.disk.permissions import READER_HINT, unreadable_for
from iotonboard.disk.reading import read_file, read_pieces
from iotonboard.errors import IotOnboardError
from iotonboard.health.arrival import acl_behind, brokers_behind, never_reported
from iotonboard.health.finding import Outcome, failed, ok, warning
from iotonboard.model import rfc3339
from iotonboard.pki.pem import pem_decode_all
from iotonboard.state.acl_file import acl_is_current
from iotonboard.state.denied import read_denied
from iotonboard.state.fetched_crl import is_fetched_published
from iotonboard.state.own_rules import devices_among, own_users
from iotonboard.state.places import Place, away_places, check_here, path_of
from iotonboard.state.reload import judge_configured
from iotonboard.state.sent_chain import chains_behind, is_as_sent
from iotonboard.state.trust import foreign_crls
from iotonboard.store.certificates import newest_device_certificates
from iotonboard.store.crls import crl_generation
from iotonboard.store.devices import count_devices
from iotonboard.store.pending import has_pending
from iotonboard.store.revocations import unlisted_revocations

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.ca.crl_calendar import Calendar
    from iotonboard.state.state import State
    from iotonboard.store.crls import CrlRow

_PLACES_HINT = "mount its disk; where it begins anew, type: iotonboard gen-crl --here, or sync-acl --here"
SAMPLE = 50  # newest certificates whose files are compared
_SIGN = "type: iotonboard gen-crl"
_CARRY = "carry a package there, and bring its receipt back (apply --receipt FILE); then type: iotonboard receipts FILE"


def places(state: State) -> Outcome:
    """Whatever was published outside of the state is there."""
    away = [f"{place} at {path_of(state.paths, place)!r}" for place in away_places(state)]
    if away:
        return failed(f"the disk is away that holds {', '.join(away)}", _PLACES_HINT)
    return ok("CRL, CA file and ACL are where they were published")


def copies(state: State) -> Outcome:
    """Nothing that another copy of this state wrote was seen, or lies where this one publishes."""
    refuse_copies(state)
    return ok("no second copy of this state publishes")


def crl(state: State) -> Outcome:
    """``crl.pem`` is the CRL, or the calendar of CRLs, that was signed last, and has time left."""
    rows, now = crl_generation(state.store), state.clock()
    if not rows:
        return failed("there is no CRL", _SIGN)
    last = max(rows, key=lambda row: row.next_update)
    ends = rfc3339(last.next_update)
    if last.next_update <= now:
        return failed(f"the CRL ended on {ends}: every device is refused", _SIGN)
    check_here(state, Place.CRL)
    if path := _unlike_signed(state, rows):
        return failed(f"{path!r} is not the CRL that was signed last", _SIGN)
    calendar = _calendar(state)
    life = calendar.horizon_days if calendar else state.config["crl_next_update_days"]
    left = last.next_update - now
    if left < timedelta(days=life) / 3:
        return warning(f"the {'calendar' if calendar else 'CRL'} ends on {ends}", _SIGN)
    if calendar:
        what = f"calendar of {calendar.count} x {calendar.every_days} days until {ends}"
        return ok(f"number {_in_force(rows, now).number}, {what}, {left.days} days left")
    return ok(f"number {last.number}, {left.days} days left")


def _unlike_signed(state: State, rows: list[CrlRow]) -> str:
    """The file that does not hold what was signed last; empty: each does."""
    expected = [*(row.der for row in rows), *foreign_crls(state)]
    if published_blocks("X509 CRL", state.paths.crl, limit=1 << 30) != expected:
        return state.paths.crl
    return "" if not state.config["crl_url"] or is_fetched_published(state) else state.paths.fetched_crl[0]


def _calendar(state: State) -> Calendar | None:
    calendar = load_calendar(state.store)
    return calendar.capped(state.config["crl_calendar_max_days"]) if calendar else None


def _in_force(rows: list[CrlRow], now: datetime) -> CrlRow:
    """The list that counts now; the last one of a calendar when none has begun."""
    begun = [row for row in rows if row.this_update <= now]
    return max(begun, key=lambda row: row.this_update) if begun else max(rows, key=lambda row: row.next_update)


def published_blocks(kind: str, path: str, *, limit: int) -> list[bytes]:
    """The DER blocks of a published file; none when it is missing or damaged: then it is to be published anew."""
    try:
        return pem_decode_all(kind, read_file(path, limit=limit))
    except IotOnboardError:
        return []


def unpublished(state: State) -> Outcome:
    """Every revocation is on a CRL, and every file is written."""
    if deferred := unlisted_revocations(state.store):
        return failed(f"{deferred} revocations are on no CRL yet", _SIGN)
    if has_pending(state.store):
        return warning("device files are still to be written, or erased", "type: iotonboard sync-acl")
    return ok("everything recorded is published")


def receipts(state: State) -> Outcome:
    """Every revocation, and the newest ACL, is in force at each broker, as its receipt says."""
    now = state.trusted_time()
    brokers, behind = brokers_behind(state.store, now)
    if not brokers:
        return ok("not checked: no broker sent a receipt (apply --receipt)")
    if not behind:
        return _rest_of_receipts(state, brokers, now)
    newest = max((one for one in behind), key=lambda one: one.newest.revocation_date)
    fates = ", ".join(one.text for one in newest.arrivals)
    counts = ", ".join(f"{one.count} at {one.broker}" for one in behind)
    what = f"{newest.newest.device_id!r}, revoked {rfc3339(newest.newest.revocation_date)}: {fates}"
    return warning(f"{what}; not known in all: {counts}", _CARRY)


def _rest_of_receipts(state: State, brokers: int, now: datetime) -> Outcome:
    """What receipts say where no revocation is missing: who has an older ACL, and who never sent one."""
    newest = state.store.number("acl_published") or 0
    told = [
        f"change {number} of the ACL at {broker}, {newest} here" for broker, number in acl_behind(state.store).items()
    ]
    told += [f"{host} never reported" for host in never_reported(state.store, now)]
    if told:
        return warning(", ".join(told), _CARRY)
    return ok(f"every revocation, and the newest ACL, arrived at {brokers} broker(s)")


def acl(state: State) -> Outcome:
    """The ACL says what the database says, in a style that suits the number of devices."""
    check_here(state, Place.ACL)
    path, devices = state.paths.acl, count_devices(state.store)
    denied = read_denied(state, now := state.trusted_time(), is_to_tell=True)
    if denied.told:
        return failed(denied.told.message, denied.told.hint)
    if not acl_is_current(state, path, now, denied):
        return failed(f"{path!r} is not what the database says", "type: iotonboard sync-acl")
    version = state.config["broker.version"]
    if state.config["acl.style"] == "per-device" and (slow := style_warning(devices, version)):
        return warning(slow, "type: iotonboard config set acl.style pattern")
    return ok("as the database says")


def own_rules(state: State) -> Outcome:
    """No device has the rights of a user in the operator's own rules, and these mean what they say."""
    check_here(state, Place.ACL)
    path = state.paths.acl
    found = devices_among(state, own_users(path).values())
    if not found and os.path.lexists(path) and (odd := odd_lines(read_pieces(path))):
        more = f" (and {len(odd) - 1} more)" if odd[1:] else ""
        return warning(f"{path!r}: {odd[0]}{more}", "type: iotonboard verify, which names them all; correct the lines")
    if not found:
        return ok("no device is a user in the operator's own rules")
    more = f" (and {len(found) - 1} more)" if found[1:] else ""
    user = found[0]
    message = f"line {user.line} of {path!r}: user {user.name!r} is a device too, with what is written there{more}"
    return warning(message, "type: iotonboard verify, which names them all; rename the user, or revoke the device")


def device_files(state: State) -> Outcome:
    """The files of the newest certificates hold them."""
    check_here(state, Place.CA)
    chains = chains_behind(state.store)
    for name, issuer, der in newest_device_certificates(state.store, SAMPLE):
        path = state.paths.device(name).certificate
        found = read_file(path, limit=1 << 16) if os.path.exists(path) else None
        if not is_as_sent(found, der, chains.get(issuer, ())):
            return failed(f"{path!r} is not what the database says", "type: iotonboard health --repair")
    return ok(f"the newest {SAMPLE} certificates are as recorded (--deep looks at all)")


def broker_conf(state: State) -> Outcome:
    """The broker's own configuration, where one is named, enforces certificate, CRL and ACL on every listener."""
    if not state.config["broker.conf"]:
        return ok("not checked: broker.conf is not set")
    found = judge_configured(state)
    hint = f"type: iotonboard verify --conf {state.config['broker.conf']}"
    failing = [one for one in found.problems if not one.warning]
    if failing:
        more = f" (and {len(failing) - 1} more)" if failing[1:] else ""
        return failed(f"{failing[0].path!r}: {failing[0].message}{more}", hint)
    if found.problems:
        return warning(found.problems[0].message, hint)
    return ok(f"{len(found.listeners)} listener(s) enforce certificate, CRL and ACL")


def broker_files(state: State) -> Outcome:
    """The broker's user, where one is configured, can read ACL, CRL and its CA file."""
    if not state.config.broker_reader:
        return ok("not checked: neither [broker] user nor group is configured")
    for path in (state.paths.acl, state.paths.crl, *filter(None, [state.paths.broker_ca])):
        if reason := unreadable_for(path, state.config.broker_reader):
            effect = "refuse everyone" if path == state.paths.broker_ca else "let everyone in"
            return failed(f"{path!r}: {reason}; at a reload it would {effect}", READER_HINT)
    return ok("readable for the broker's user")
