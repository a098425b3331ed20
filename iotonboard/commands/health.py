"""``health``: run the named checks; ``--deep`` names what differs from what was recorded, ``--repair`` rebuilds it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.ca.authority import seal_audit
from iotonboard.ca.continuity import listed_dates
from iotonboard.ca.credentials import check_certificate, credential_of, open_secret
from iotonboard.ca.crl import sign_crls
from iotonboard.delivery import bundle
from iotonboard.disk.files import make_private
from iotonboard.errors import ConflictError, IotOnboardError, KeyUnavailableError, NotFoundError, StateError
from iotonboard.health.checks.table import CHECKS, run_checks
from iotonboard.health.difference import Difference, Repair
from iotonboard.health.inspection import inspect_state
from iotonboard.model import RevocationReason, parse_moment
from iotonboard.state.acl_file import mark_acl
from iotonboard.state.added_cas import told_cas
from iotonboard.state.changes import revoke_certificates
from iotonboard.state.denied import read_denied
from iotonboard.state.named_again import put_names_back
from iotonboard.state.outbox import is_exchanged
from iotonboard.state.places import Place, note_published
from iotonboard.state.publication import EVERYTHING, publish, refuse_unpublished
from iotonboard.state.sealing import seal_rows
from iotonboard.store.certificates import certificate_by_serial
from iotonboard.store.damage import damage_of, rebuild_indexes
from iotonboard.store.deliveries import open_deliveries, set_unwritten
from iotonboard.store.pending import add_pending
from iotonboard.store.recalled import put_back
from iotonboard.store.revocations import drop_revocation
from iotonboard.store.schema.expected import make_missing_indexes
from iotonboard.store.set_aside import forget_set_aside, rows_set_aside
from iotonboard.store.trail_replay import trail_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from iotonboard.ca.authority import Authority, Unlock
    from iotonboard.health.finding import Finding
    from iotonboard.model import SerialNumber
    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.state import State


def check(state: State, names: Sequence[str] = ()) -> list[Finding]:
    """Run the named checks, or all of them. Nothing is changed.

    Raises:
        NotFoundError: there is no check of one of the names.
    """
    known = {one.name for one in CHECKS}
    for name in names:
        if name not in known:
            raise NotFoundError(f"there is no check {name!r}", hint="'iotonboard health --list' shows them")
    return run_checks(state, names)


def find_differences(state: State) -> list[Difference]:
    """Everything that is not as it was recorded, by kind and subject."""
    return sorted(inspect_state(state), key=lambda one: (one.kind, one.subject, one.message))


def find_all_differences(cas: Opened) -> list[Difference]:
    """Those of a state, and behind them those of the CAs that were added to it."""
    found = find_differences(cas.around)
    for name in cas.names:
        try:
            found += _of_added(name, find_differences(cas.state(name)))
        except IotOnboardError as error:
            found.append(Difference("ca", name, error.message))
    gone = told_cas(cas.around).keys() - cas.names
    return [*found, *(Difference("ca", name, "the folder of this added CA is gone") for name in sorted(gone))]


def repair_all(cas: Opened, unlocker: Callable[[State], Unlock]) -> Repaired:
    """``repair`` a state, then the CAs that were added to it."""
    done = repair(cas.around, unlocker(cas.around))
    found, left = done.found, done.left
    for name in cas.names:
        added = cas.state(name)
        done = repair(added, unlocker(added))
        found, left = found + done.found, [*left, *_of_added(name, done.left)]
    return Repaired(found, left)


def _of_added(name: str, differences: Iterable[Difference]) -> list[Difference]:
    return [replace(one, message=f"CA {name}: {one.message}") for one in differences]


@dataclass(frozen=True, slots=True)
class Repaired:
    """How many differences were found, and those that are left."""

    found: int
    left: list[Difference]


def repair(state: State, unlock: Unlock) -> Repaired:
    """Rebuild what the certificates, the trail and the CA key can rebuild; without a difference no key is needed.

    Indexes of the database are built anew first, which needs no key: all else is found by them. Revocations that the
    database forgot are recorded again. Topic rules, overlaps, retirements, names of devices, and whose a certificate is
    that decides who is denied, are put back as trail and certificates tell them. Files are written from the database,
    modes are set, CRL and ACL are published anew. Other edited and vanished rows stay: only a backup knows what they
    said; so does a key that is not that of its certificate, and no file is written from it. Rows that were set aside
    are recorded in the trail, and what stands in their place counts from then on.

    Raises:
        KeyUnavailableError: the CA key is missing, or the passphrase does not open it.
        PolicyError: the clock cannot be right.
        BusyError: the state is locked or the disk refuses.
    """
    rebuilt = _rebuild_indexes(state)
    differences = find_differences(state)
    if not differences:
        return Repaired(rebuilt, [])
    authority = unlock()
    with state.transaction(signing=True) as now:
        seal_audit(state, authority)  # what was broken is told before it is put right
        put_names_back(state.store, with_certificates=bool(read_denied(state, now).edits))
        put_back(state.store)
        forgotten = {one.serial for one in differences if one.repair is Repair.REVOKE and one.serial}
        listed = listed_dates(state) if forgotten else {}
        for serial in forgotten:
            _revoke_again(state, serial, now, listed.get(serial))
        swapped = _queue_all_files(state, authority, differences, now)
        _deliver_again(state, now)
        _accept_set_aside(state, now)
        if any(one.kind == "ca" for one in differences):
            state.store.set_meta("ca_published", "")
            if state.paths.broker_ca:
                note_published(state, Place.BROKER_CA)
        sign_crls(state, authority, now)
        mark_acl(state)
        make_missing_indexes(state.store)
        seal_rows(state, now, is_repair=True)
        seal_audit(state, authority)
    for difference in differences:
        if difference.repair is Repair.SET_MODE:
            make_private(difference.subject)
    refuse_unpublished(publish(state, *EVERYTHING))
    return Repaired(rebuilt + len(differences), [*swapped, *find_differences(state)])


def _rebuild_indexes(state: State) -> int:
    """Build damaged indexes anew; returns how many damages went."""
    if not damage_of(state.store, with_indexes=True):
        return 0
    with contextlib.suppress(StateError, ConflictError):  # what is left is a difference
        rebuild_indexes(state.store)
    if damage_of(state.store, with_indexes=True):
        return 0
    with state.transaction() as now:
        state.record(now, "database", detail={"repaired": "indexes"})
    return 1


def _revoke_again(state: State, serial: SerialNumber, now: datetime, dated: datetime | None) -> None:
    """Record a revocation that the trail tells; ``dated``: as the last list has it."""
    _, holder = certificate_by_serial(state.store, serial)
    said = trail_entry(state.store, serial)
    if said and said.revoked:
        dated = dated or (parse_moment(said.dated) if said.dated else None)
        drop_revocation(state.store, serial)  # whatever somebody made of it
        revoke_certificates(state, [serial], RevocationReason(said.revoked), now, subject=holder, dated=dated)


def _deliver_again(state: State, now: datetime) -> None:
    for delivery in open_deliveries(state.store):
        if is_exchanged(state.paths, delivery):
            set_unwritten(state.store, delivery.id)
            state.record(now, delivery.device_id, serial=delivery.serial.hex, detail={"delivery": "repaired"})


def _accept_set_aside(state: State, now: datetime) -> None:
    for row in rows_set_aside(state.store):
        state.record(now, row.subject, detail={"set_aside": row.table, "key": row.key, "refused": row.refused})
    forget_set_aside(state.store)


def _queue_all_files(
    state: State, authority: Authority, differences: Sequence[Difference], now: datetime
) -> list[Difference]:
    """Queue what is to be written anew; returns which of it is not its device's."""
    swapped = []
    for serial in {one.serial for one in differences if one.repair is Repair.WRITE_FILES and one.serial}:
        try:
            _queue_files(state, authority, serial, now)
        except KeyUnavailableError as error:
            swapped.append(Difference("key", certificate_by_serial(state.store, serial)[1], error.message))
    return swapped


def _queue_files(state: State, authority: Authority, serial: SerialNumber, now: datetime) -> None:
    """Queue a certificate's files for publication, with a new bundle when it had one.

    Raises:
        KeyUnavailableError: its row holds the key or the certificate of another one.
    """
    certificate, holder = certificate_by_serial(state.store, serial)
    content = None
    said = trail_entry(state.store, serial)
    check_certificate(state, holder, certificate)
    key_der, password = open_secret(state, authority, serial)
    if said and said.bundle and key_der and password:
        credential = credential_of(state, authority, holder, certificate, key_der)
        content = bundle.build_bundle(credential, password)
    detail = {"repaired": "files"} | ({"bundle": sha256(content).hexdigest()} if content else {})
    state.record(now, holder, serial=serial.hex, detail=detail)
    add_pending(state.store, serial, content)
