"""The deep inspection: everything is rebuilt from the issued certificates and the audit trail, and compared.

Whoever can write the database can also write the files, but not the trail's signed head, nor a certificate.
So certificates speak for themselves, the trail speaks for what was done to them, and whatever disagrees
with them is named. Memory stays bounded but for the serials on the CRL.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.disk.permissions import keeps_modes
from iotonboard.disk.reading import read_file
from iotonboard.errors import IotOnboardError, PolicyError, StateError
from iotonboard.health.difference import Difference, Repair
from iotonboard.health.ghosts import ghosts
from iotonboard.health.row_check import check_kept_lists, check_rows, check_schema
from iotonboard.health.trail_check import check_trail
from iotonboard.model import from_epoch, rfc3339, to_epoch
from iotonboard.pki import pem
from iotonboard.pki.crl import check_crl, revoked_entries
from iotonboard.pki.facts import certificate_facts, is_issued_by
from iotonboard.state.chain import published_cas
from iotonboard.state.outbox import delivery_path, is_exchanged
from iotonboard.state.places import Place, check_here, path_of
from iotonboard.state.sent_chain import as_sent, chains_behind, is_as_sent
from iotonboard.state.trust import foreign_crls, sealed_trust
from iotonboard.store.crls import crl_generation
from iotonboard.store.damage import damage_of
from iotonboard.store.deliveries import open_deliveries
from iotonboard.store.inspection import (
    certificates_to_list,
    inspected_certificates,
    valid_at_once,
    vanished_certificates,
    written_certificates,
)
from iotonboard.store.issuers import all_issuers, current_issuers
from iotonboard.store.revocations import unlisted_revocations
from iotonboard.store.set_aside import rows_set_aside
from iotonboard.store.trail_replay import fold_trail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from iotonboard.pki.crl import CrlFacts
    from iotonboard.state.layout import Folder
    from iotonboard.state.state import State
    from iotonboard.store.inspection import InspectedCertificate, WrittenCertificate
    from iotonboard.store.store import Store


_UNREADABLE = "restore it from the latest backup, where 'iotonboard health --repair' does not mend it"


def inspect_state(state: State) -> Iterator[Difference]:
    """Name every difference between what was recorded and what is there.

    Raises:
        StateError: the database is damaged so that it cannot be read.
    """
    damage = damage_of(state.store, with_indexes=True)
    if damage:
        yield Difference("database", state.paths.database, damage, Repair.REINDEX)
    try:
        yield from _inspect(state)
    except StateError as error:
        if not damage:
            raise
        raise StateError(error.message, hint=_UNREADABLE) from error


def _inspect(state: State) -> Iterator[Difference]:
    found = check_trail(state.store)
    if found.problem:
        yield Difference("trail", f"row {found.broken_row}", found.problem)
    for row in rows_set_aside(state.store):
        yield Difference("set-aside", row.subject, f"{row} cannot be, and was set aside", Repair.ACCEPT)
    yield from check_schema(state.store)
    yield from check_rows(state.store, fold_trail(state.store))
    yield from _certificates(state.store)
    yield from _vanished(state.store)
    yield from _two_active(state.store, state.clock())
    yield from check_kept_lists(state.store)
    yield from _publications(state)
    yield from _outbox(state)
    yield from _modes(state)


# -- rows -------------------------------------------------------------------------------------------------------------


def _certificates(store: Store) -> Iterator[Difference]:
    issuers = {row.id: row.der for row in all_issuers(store)}
    for row in inspected_certificates(store):
        serial, name = row.serial, row.name
        try:
            facts = certificate_facts(row.der)
            is_ours = row.issuer in issuers and is_issued_by(row.der, issuers[row.issuer])
        except IotOnboardError as error:
            yield Difference("certificate", name, f"{serial.hex}: {error.message}")
            continue
        if not is_ours:
            yield Difference("certificate", name, f"{serial.hex} was not signed by this CA")
        begin, end = to_epoch(facts.validity.not_before), to_epoch(facts.validity.not_after)
        stands = (row.serial, row.not_before, row.not_after, row.spki_sha256)
        if stands != (facts.serial, begin, end, facts.spki_sha256):
            yield Difference("edited-row", name, f"the row of {serial.hex} is not what its certificate says")
        if name not in (facts.alt_names if row.is_broker else facts.device_names):
            yield Difference("edited-row", name, f"{serial.hex} was issued to {next(iter(facts.device_names), '')!r}")
        yield from _against_trail(row, facts.fingerprint)


def _against_trail(row: InspectedCertificate, fingerprint: str) -> Iterator[Difference]:
    serial, name, said = row.serial, row.name, row.said
    if said.subject is None or said.fingerprint is None:
        yield Difference("unrecorded", name, f"the trail does not know that {serial.hex} was issued")
    elif said.fingerprint != fingerprint:
        yield Difference("swapped", name, f"{serial.hex} is another certificate than the one that was recorded")
    elif said.subject != name:
        yield Difference("edited-row", name, f"{serial.hex} was recorded for {said.subject!r}")
    if said.revoked and row.reason is None:
        message = f"{serial.hex} was revoked ({said.revoked}) and the database has forgotten it"
        yield Difference("un-revoked", name, message, Repair.REVOKE, serial)
    elif row.reason and said.revoked is None:
        yield Difference("edited-row", name, f"{serial.hex} counts as revoked, but nobody revoked it")
    elif row.reason != said.revoked:
        message = f"{serial.hex} was revoked as {said.revoked}, and the database says {row.reason}"
        yield Difference("un-revoked", name, message, Repair.REVOKE, serial)
    elif row.revocation_date and said.dated and rfc3339(from_epoch(row.revocation_date)) != said.dated:
        message = f"{serial.hex} was revoked at {said.dated}, and the database has another date"
        yield Difference("un-revoked", name, message, Repair.REVOKE, serial)


def _vanished(store: Store) -> Iterator[Difference]:
    for one in vanished_certificates(store):
        message = f"{one.serial.hex} was issued, and its row is gone: it cannot be revoked by name"
        yield Difference("vanished", one.subject, message)


def _two_active(store: Store, now: datetime) -> Iterator[Difference]:
    for name, count in valid_at_once(store, now):
        yield Difference("two-active", name, f"{count} certificates are valid at once")


# -- publications -----------------------------------------------------------------------------------------------------


def _publications(state: State) -> Iterator[Difference]:
    """What is published; where a disk is away, that alone is told."""
    looks: dict[Place, tuple[Callable[[State], Iterator[Difference]], ...]] = {
        Place.CA: (_anchors, _files, ghosts),
        Place.CRL: (_crl,),
        Place.ACL: (),
        Place.BROKER_CA: (_broker_anchors,),
    }
    for place, own in looks.items():
        try:
            check_here(state, place)
        except IotOnboardError as error:
            yield Difference("away", path_of(state.paths, place), error.message)
            continue
        for look in own:
            yield from look(state)


def _anchors(state: State) -> Iterator[Difference]:
    yield from _cas_of(state, state.paths.ca_certificate)


def _broker_anchors(state: State) -> Iterator[Difference]:
    if state.paths.broker_ca:
        yield from _cas_of(state, state.paths.broker_ca)


def _cas_of(state: State, path: str) -> Iterator[Difference]:
    try:
        found = set(pem.pem_decode_all("CERTIFICATE", _content(path) or b""))
    except IotOnboardError:
        found = set()
    others = {one.ca.der for one in sealed_trust(state.store)}
    own = set(published_cas(state.store, current_issuers(state.store)))
    if own | others != found:
        yield Difference("ca", path, "lacks the certificate of a CA, or holds another one", Repair.PUBLISH)


def _crl(state: State) -> Iterator[Difference]:
    path, now = state.paths.crl, state.clock()
    try:
        blocks = pem.pem_decode_all("X509 CRL", read_file(path, limit=1 << 30))
        others = list(foreign_crls(state))
        ders = [der for der in blocks if der not in others]
        facts = [_checked(der, [row.der for row in current_issuers(state.store)]) for der in ders]
    except IotOnboardError as error:
        yield Difference("crl", path, error.message, Repair.PUBLISH)
        return
    if [*(row.der for row in crl_generation(state.store)), *others] != blocks:
        yield Difference("crl", path, "not the CRL that was signed last", Repair.PUBLISH)
    has_begun = any(fact.this_update <= now for fact in facts)
    if not has_begun or max(fact.next_update for fact in facts) <= now:
        yield Difference("crl", path, "no CRL in it is valid now: every device is refused", Repair.PUBLISH)
    yield from _unlisted(state, ders)


def _unlisted(state: State, crl_ders: list[bytes]) -> Iterator[Difference]:
    """Revocations of the trail that are on none of the lists, but for those that wait to be signed."""
    if unlisted_revocations(state.store):
        return
    listed = {serial for der in crl_ders for serial, _, _ in revoked_entries(der)}
    for one in certificates_to_list(state.store, state.clock()):
        if one.serial not in listed:
            message = f"{one.serial.hex} was revoked and is not on the CRL"
            yield Difference("crl", one.subject, message, Repair.PUBLISH)


def _checked(crl_der: bytes, anchors: list[bytes]) -> CrlFacts:
    """What a CRL says, once it was found to be one of these CAs."""
    *others, last = anchors
    for anchor in others:
        with suppress(PolicyError):
            return check_crl(crl_der, anchor)
    return check_crl(crl_der, last)


def _files(state: State) -> Iterator[Difference]:
    chains = chains_behind(state.store)
    for row in written_certificates(state.store):
        folder = state.paths.broker(row.name) if row.is_broker else state.paths.device(row.name)
        found, behind = _content(folder.certificate), chains.get(row.issuer, ())
        is_right = {folder.certificate: found == as_sent(row.der, behind)}
        if not row.is_broker:  # its file is of the time of its registration
            is_right = {folder.certificate: is_as_sent(found, row.der, behind)}
        if row.key_der is not None:
            key = pem.pem_encode("ENCRYPTED PRIVATE KEY", row.key_der)
            is_right[folder.key] = _content(folder.key) == key
        for path in (path for path, is_there in is_right.items() if not is_there):
            message = f"{os.path.basename(path)} is not what the database says"
            yield Difference("file", row.name, message, Repair.WRITE_FILES, row.serial)
        if row.key_der is None:
            yield from _erased_files(folder, row)
        if row.key_der is not None and row.noted_sha256 != row.bundle_sha256:
            message = f"the digest of the bundle of {row.serial.hex} is not the one that was recorded"
            yield Difference("edited-row", row.name, message, Repair.WRITE_FILES, row.serial)
        if row.bundle_sha256 and row.key_der is not None:
            found = _content(folder.bundle)
            if found is None or sha256(found).hexdigest() != row.bundle_sha256:
                yield Difference(
                    "file", row.name, "creds.zip is not the one that was made", Repair.WRITE_FILES, row.serial
                )


def _outbox(state: State) -> Iterator[Difference]:
    for delivery in open_deliveries(state.store):
        if is_exchanged(state.paths, delivery):
            message = f"{delivery_path(state.paths, delivery.token)!r} is not the bundle that was handed over"
            yield Difference("outbox", delivery.device_id, message, Repair.DELIVER)


def _erased_files(folder: Folder, row: WrittenCertificate) -> Iterator[Difference]:
    """Key and bundle that are there although they were erased, as on a disk that was away, or never made."""
    for path in filter(os.path.lexists, (folder.key, folder.bundle)):
        name = os.path.basename(path)
        if row.is_purged:
            yield Difference("purged", row.name, f"{name} is back, and was purged", Repair.WRITE_FILES, row.serial)
        elif not row.is_broker:
            yield Difference("ghost", row.name, f"{name} is there, and no key was ever made here")


def _content(path: str) -> bytes | None:
    try:
        if os.path.islink(path):
            return None
        return read_file(path, limit=1 << 24)
    except IotOnboardError:
        return None


def _modes(state: State) -> Iterator[Difference]:
    if os.name != "posix":
        return
    owner = os.stat(state.paths.root).st_uid
    kept: dict[int, bool] = {}  # by the disk
    for path in _private(state):
        disk = os.lstat(path).st_dev
        if disk not in kept:
            kept[disk] = keeps_modes(path if os.path.isdir(path) else os.path.dirname(path))
        if kept[disk]:  # else modes and owners are the mount's
            yield from _mode(path, owner)


def _private(state: State) -> Iterator[str]:
    """What nobody else may use."""
    yield from (state.paths.root, state.paths.database)
    for folder, folders, files in os.walk(state.paths.certs):
        for name in (*folders, *(file for file in files if file.endswith((".key", ".zip")))):
            yield os.path.join(folder, name)


def _mode(path: str, owner: int) -> Iterator[Difference]:
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        yield Difference("mode", path, "is a link")
        return
    if stat.S_IMODE(found.st_mode) & 0o077:
        message = f"has mode {stat.S_IMODE(found.st_mode):04o}: others get in"
        yield Difference("mode", path, message, Repair.SET_MODE)
    if found.st_uid != owner:
        yield Difference("mode", path, f"belongs to user {found.st_uid}, the state to {owner}")
