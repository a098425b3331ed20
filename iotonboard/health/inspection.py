"""The deep inspection: everything is rebuilt from the issued certificates and the audit trail, and compared.

Whoever can write the database can also write the files, but not the trail's signed head, nor a certificate.
So certificates speak for themselves, the trail speaks for what was done to them, and whatever disagrees
with them is named. Memory stays bounded but for the serials on the CRL.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.errors import IotOnboardError
from iotonboard.files import read_file
from iotonboard.health.trail import check_trail, fill_trail_table
from iotonboard.model import SerialNumber, rfc3339, to_epoch
from iotonboard.pki import pem
from iotonboard.pki.crl import check_crl, crl_facts, revoked_entries
from iotonboard.pki.facts import certificate_facts, is_issued_by
from iotonboard.store.certificates import broker_hosts
from iotonboard.store.crls import crl_generation
from iotonboard.store.devices import find_device
from iotonboard.store.issuers import all_issuers, current_issuers
from iotonboard.store.revocations import unlisted_revocations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotonboard.state.state import State
    from iotonboard.store.store import Store

_CERTIFICATES = """SELECT c.serial, c.issuer, coalesce(d.device_id, c.host), c.host IS NOT NULL, c.not_before,
    c.not_after, c.der, c.spki_sha256, r.reason, t.subject, t.fingerprint, t.revoked
    FROM certificate c LEFT JOIN device d ON d.id = c.device LEFT JOIN revocation r ON r.certificate = c.id
    LEFT JOIN temp.trail t ON t.serial = c.serial ORDER BY c.id"""
_NEWEST = """SELECT coalesce(d.device_id, c.host), c.host IS NOT NULL, c.serial, c.der,
    nullif(c.key_der, zeroblob(length(c.key_der))), t.bundle
    FROM certificate c LEFT JOIN device d ON d.id = c.device LEFT JOIN temp.trail t ON t.serial = c.serial
    WHERE c.id IN (SELECT max(id) FROM certificate GROUP BY device, host) ORDER BY c.id"""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was recorded.

    ``repair`` names what ``health --repair`` does about it: ``files`` (write the device's files anew), ``revoke``
    (record the revocation again), ``mode`` (set the mode), ``publish`` (write CRL and ACL anew), or nothing.
    """

    kind: str
    subject: str
    message: str
    repair: str = ""
    serial: SerialNumber | None = None


def inspect_state(state: State) -> Iterator[Difference]:
    """Name every difference between what was recorded and what is there."""
    if damage := state.store.damage():
        yield Difference("database", state.paths.database, damage)
    verdict = check_trail(state.store)
    if verdict.problem:
        yield Difference("trail", f"row {verdict.broken_row}", verdict.problem)
    fill_trail_table(state.store)
    yield from _certificates(state.store)
    yield from _vanished(state.store)
    yield from _two_active(state.store, state.clock())
    yield from _anchors(state)
    yield from _crl(state)
    yield from _files(state)
    yield from _ghosts(state)
    yield from _modes(state)


# -- rows -------------------------------------------------------------------------------------------------------------


def _certificates(store: Store) -> Iterator[Difference]:
    issuers = {row.id: row.der for row in all_issuers(store)}
    for octets, issuer, name, is_broker, begin, end, der, spki, reason, *trail in store.connection.execute(
        _CERTIFICATES
    ):
        serial = SerialNumber(int.from_bytes(octets))
        try:
            facts = certificate_facts(der)
            is_ours = issuer in issuers and is_issued_by(der, issuers[issuer])
        except IotOnboardError as error:
            yield Difference("certificate", name, f"{serial.hex}: {error.message}")
            continue
        if not is_ours:
            yield Difference("certificate", name, f"{serial.hex} was not signed by this CA")
        row = (octets, begin, end, spki)
        validity = facts.validity
        if row != (facts.serial.octets, to_epoch(validity.not_before), to_epoch(validity.not_after), facts.spki_sha256):
            yield Difference("edited-row", name, f"the row of {serial.hex} is not what its certificate says")
        if name not in facts.alt_names if is_broker else name != facts.subject_cn:
            yield Difference("edited-row", name, f"{serial.hex} was issued to {facts.subject_cn!r}")
        yield from _against_trail(serial, name, facts.fingerprint, reason, trail)


def _against_trail(
    serial: SerialNumber, name: str, fingerprint: str, reason: str | None, trail: list[str | None]
) -> Iterator[Difference]:
    subject, recorded_fingerprint, revoked = trail
    if subject is None or recorded_fingerprint is None:
        yield Difference("unrecorded", name, f"the trail does not know that {serial.hex} was issued")
    elif recorded_fingerprint != fingerprint:
        yield Difference("swapped", name, f"{serial.hex} is another certificate than the one that was recorded")
    elif subject != name:
        yield Difference("edited-row", name, f"{serial.hex} was recorded for {subject!r}")
    if revoked and reason is None:
        message = f"{serial.hex} was revoked ({revoked}) and the database has forgotten it"
        yield Difference("un-revoked", name, message, "revoke", serial)
    elif reason and revoked is None:
        yield Difference("edited-row", name, f"{serial.hex} counts as revoked, but nobody revoked it")


def _vanished(store: Store) -> Iterator[Difference]:
    query = (
        "SELECT t.serial, t.subject FROM temp.trail t WHERE t.fingerprint IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM certificate c WHERE c.serial = t.serial)"
    )
    for octets, subject in store.connection.execute(query):
        serial = SerialNumber(int.from_bytes(octets)).hex
        yield Difference("vanished", subject, f"{serial} was issued, and its row is gone: it cannot be revoked by name")


def _two_active(store: Store, now: datetime) -> Iterator[Difference]:
    query = (
        "SELECT d.device_id, count(*) FROM certificate c JOIN device d ON d.id = c.device WHERE c.not_after >= ?"
        " AND NOT EXISTS (SELECT 1 FROM revocation r WHERE r.certificate = c.id)"
        " AND NOT EXISTS (SELECT 1 FROM overlap o WHERE o.certificate = c.id) GROUP BY c.device HAVING count(*) > 1"
    )
    for name, count in store.connection.execute(query, (to_epoch(now),)):
        yield Difference("two-active", name, f"{count} certificates are valid at once")


# -- publications -----------------------------------------------------------------------------------------------------


def _anchors(state: State) -> Iterator[Difference]:
    path = state.paths.ca_certificate
    try:
        found = set(pem.pem_decode_all("CERTIFICATE", _content(path) or b""))
    except IotOnboardError:
        found = set()
    if {row.der for row in current_issuers(state.store)} != found:
        yield Difference("ca", path, "lacks the certificate of a CA, or holds another one", "publish")


def _crl(state: State) -> Iterator[Difference]:
    path, now = state.paths.crl, state.clock()
    anchors = [row.der for row in current_issuers(state.store)]
    try:
        ders = pem.pem_decode_all("X509 CRL", read_file(path, limit=1 << 30))
        facts = [crl_facts(der) for der in ders]
        for der in ders:
            _check_any_issuer(der, anchors)
    except IotOnboardError as error:
        yield Difference("crl", path, error.message, "publish")
        return
    if [row.der for row in crl_generation(state.store)] != ders:
        yield Difference("crl", path, "not the CRL that was signed last", "publish")
    current = [fact for fact in facts if fact.this_update <= now]
    if not current or max(fact.next_update for fact in facts) <= now:
        yield Difference("crl", path, "no CRL in it is valid now: every device is refused", "publish")
    for fact in facts:
        if fact.next_update - fact.this_update < _shortest(state):
            yield Difference("crl", path, f"CRL {fact.number} ends already on {rfc3339(fact.next_update)}", "publish")
    listed = {serial for der in ders for serial, _, _ in revoked_entries(der)}
    query = (
        "SELECT t.serial, t.subject FROM temp.trail t JOIN certificate c ON c.serial = t.serial"
        " JOIN issuer i ON i.id = c.issuer WHERE t.revoked IS NOT NULL AND c.not_after >= ? AND i.retired_at IS NULL"
    )
    for octets, subject in state.store.connection.execute(query, (to_epoch(now),)):
        serial = SerialNumber(int.from_bytes(octets))
        if serial not in listed and not unlisted_revocations(state.store):
            yield Difference("crl", subject, f"{serial.hex} was revoked and is not on the CRL", "publish")


def _check_any_issuer(crl_der: bytes, anchors: list[bytes]) -> None:
    for number, anchor in enumerate(anchors, start=1):
        try:
            check_crl(crl_der, anchor)
        except IotOnboardError:
            if number == len(anchors):
                raise
        else:
            return


def _shortest(state: State) -> timedelta:
    return timedelta(days=1) + timedelta(minutes=state.config["not_before_skew_minutes"])


def _files(state: State) -> Iterator[Difference]:
    for name, is_broker, octets, der, key_der, bundle in state.store.connection.execute(_NEWEST):
        folder = state.paths.broker(name) if is_broker else state.paths.device(name)
        stem = "broker" if is_broker else "device"
        serial = SerialNumber(int.from_bytes(octets))
        wanted = {f"{stem}.crt": pem.pem_encode("CERTIFICATE", der)}
        if key_der is not None:
            wanted[f"{stem}.key"] = pem.pem_encode("ENCRYPTED PRIVATE KEY", key_der)
        for file, content in wanted.items():
            if _content(os.path.join(folder, file)) != content:
                yield Difference("file", name, f"{file} is not what the database says", "files", serial)
        if bundle and key_der is not None:
            found = _content(os.path.join(folder, "creds.zip"))
            if found is None or sha256(found).hexdigest() != bundle:
                yield Difference("file", name, "creds.zip is not the one that was made", "files", serial)


def _content(path: str) -> bytes | None:
    try:
        if os.path.islink(path):
            return None
        return read_file(path, limit=1 << 24)
    except IotOnboardError:
        return None


_EXPECTED = {
    "devices": {"device.crt", "device.key", "creds.zip"},
    "brokers": {"broker.crt", "broker.key", "broker-plain.key", "mosquitto.conf"},
}


def _ghosts(state: State) -> Iterator[Difference]:
    """Files and folders that nothing recorded explains."""
    keys = {row.key_file for row in current_issuers(state.store)}
    for name in sorted(os.listdir(state.paths.certs)):
        if name.endswith(".key") and name not in keys:
            yield Difference("ghost", name, f"certs/{name} is the key of no CA that was recorded")
    brokers = {os.path.basename(state.paths.broker(host)) for host in broker_hosts(state.store)}
    for kind, expected in _EXPECTED.items():
        root = os.path.join(state.paths.certs, kind)
        if not os.path.isdir(root):
            continue
        for name in sorted(os.listdir(root)):
            known = name in brokers if kind == "brokers" else (find_device(state.store, name) or (0, ""))[1] == name
            if not known:
                yield Difference("ghost", name, f"certs/{kind}/{name} belongs to nothing that was recorded")
                continue
            for file in sorted(set(os.listdir(os.path.join(root, name))) - expected):
                yield Difference("ghost", name, f"certs/{kind}/{name}/{file} was not written by this program")


def _modes(state: State) -> Iterator[Difference]:
    if os.name != "posix":
        return
    owner = os.stat(state.paths.root).st_uid
    for folder, folders, files in os.walk(state.paths.certs):
        for name in folders:
            yield from _mode(os.path.join(folder, name), 0o077, owner)
        for name in files:
            if name.endswith((".key", ".zip")):
                yield from _mode(os.path.join(folder, name), 0o077, owner)
    for path in (state.paths.root, state.paths.database):
        yield from _mode(path, 0o077, owner)


def _mode(path: str, forbidden: int, owner: int) -> Iterator[Difference]:
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        yield Difference("mode", path, "is a link")
        return
    if stat.S_IMODE(found.st_mode) & forbidden:
        yield Difference("mode", path, f"has mode {stat.S_IMODE(found.st_mode):04o}: others get in", "mode")
    if found.st_uid != owner:
        yield Difference("mode", path, f"belongs to user {found.st_uid}, the state to {owner}")
