"""Grow a real state's database to many devices, because registering a million takes long.

    python grow.py STATE KEY_FILE DEVICES REVOKED [--files]

Each device is a copy of the one that was registered last: with an id, a serial number and a public key of its own in a
certificate that the CA's key signed, recorded and sealed in the trail by the program's own transactions. So ``health
--deep`` finds no difference, and each row is honest in size; with ``--files`` its files are there too. The encrypted
key and the bundle are that device's, and open for no other.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha1, sha256
from itertools import islice
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from iotonboard.ca.authority import Authority, seal_audit, unlock
from iotonboard.ca.passphrase import parse_passphrase_file
from iotonboard.model import Caller, RevocationReason, SerialNumber
from iotonboard.pki import der, pem
from iotonboard.pki.facts import certificate_facts
from iotonboard.state.changes import revoke_certificates
from iotonboard.state.state import State, open_state

_GROUP = 5_000


@dataclass(frozen=True)
class Template:
    """The device that is copied: its rows, what the trail says of it, and what its certificate holds of it."""

    device: dict[str, Any]
    certificate: dict[str, Any]
    bundle: bytes | None
    detail: str

    @property
    def name(self) -> str:
        return str(self.device["device_id"])

    @property
    def der(self) -> bytes:
        return bytes(self.certificate["der"])


def _point(spki: bytes) -> bytes:
    return load_der_public_key(spki).public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _row(state: State, table: str, where: str) -> dict[str, Any]:
    cursor = state.store.execute(f"SELECT * FROM {table} WHERE {where} ORDER BY 1 DESC LIMIT 1")  # noqa: S608
    return dict(zip([column[0] for column in cursor.description], cursor.fetchone(), strict=True))


def _template(state: State) -> Template:
    certificate = _row(state, "certificate", "device IS NOT NULL")
    device = _row(state, "device", f"id = {certificate['device']}")
    serial = SerialNumber.from_octets(certificate["serial"]).hex
    (detail,) = state.store.row("SELECT detail FROM audit WHERE serial = ? AND command = 'register'", (serial,))
    bundle = state.store.row("SELECT sha256 FROM bundle WHERE certificate = ?", (certificate["id"],))
    return Template(device, certificate, bundle and bundle[0], detail)


def _copies(template: Template, ca: ec.EllipticCurvePrivateKey) -> Iterator[tuple[str, SerialNumber, bytes]]:
    """Names, serial numbers and certificates of devices without end."""
    facts = certificate_facts(template.der)
    old_point, begin = _point(facts.spki_der), template.name[: len(template.name) - 12]
    tbs, algorithm, _ = der.children(template.der, der.whole(template.der))
    content, kind = template.der[tbs.start : tbs.end], template.der[algorithm.start : algorithm.end]
    old = {"name": template.name.encode(), "serial": facts.serial.octets, "point": old_point,
           "key id": sha1(old_point, usedforsecurity=False).digest()}  # fmt: skip
    while True:
        name, serial = begin + os.urandom(6).hex(), SerialNumber.from_random(os.urandom(20))
        key = ec.generate_private_key(ec.SECP256R1())
        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        new = {"name": name.encode(), "serial": serial.octets, "point": point,
               "key id": sha1(point, usedforsecurity=False).digest()}  # fmt: skip
        signed = content
        for what, octets in old.items():
            signed = signed.replace(octets, new[what])
        yield name, serial, der.sequence(signed, kind, der.bit_string(ca.sign(signed, ec.ECDSA(hashes.SHA256()))))


def grow(state: State, authority: Authority, devices: int, *, files: bool) -> None:
    """Add devices until there are so many."""
    template = _template(state)
    copies = _copies(template, authority.active.issuer.signer.key)  # type: ignore[attr-defined]
    (have,) = state.store.row("SELECT count(*) FROM device")
    while have < devices:
        group = list(islice(copies, min(_GROUP, devices - have)))
        with state.transaction() as now:
            for name, serial, certificate in group:
                _add(state, template, name, serial, certificate, now)
            seal_audit(state, authority)
        for name, _, certificate in group if files else ():
            _write(state, template.name, name, certificate)
        have += len(group)


def _add(state: State, template: Template, name: str, serial: SerialNumber, octets: bytes, now: datetime) -> None:
    facts, old = certificate_facts(octets), certificate_facts(template.der)
    device = _insert(state, "device", {**template.device, "id": None, "device_id": name})
    row = {**template.certificate, "id": None, "device": device, "serial": serial.octets, "der": octets,
           "spki_sha256": facts.spki_sha256, "salt": os.urandom(16)}  # fmt: skip
    certificate = _insert(state, "certificate", row)
    if template.bundle:
        _insert(state, "bundle", {"certificate": certificate, "sha256": template.bundle})
    detail = template.detail.replace(old.fingerprint, sha256(octets).hexdigest())
    state.record(now, name, serial=serial.hex, detail=json.loads(detail))


def _insert(state: State, table: str, row: dict[str, Any]) -> int:
    marks = ", ".join(f":{name}" for name in row)
    return int(state.store.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", row).lastrowid or 0)  # noqa: S608


def _write(state: State, template: str, name: str, certificate: bytes) -> None:
    old, new = state.paths.device(template), state.paths.device(name)
    shutil.copytree(old.path, new.path)
    Path(new.certificate).write_bytes(pem.pem_encode("CERTIFICATE", certificate))


def revoke(state: State, count: int) -> None:
    """Revoke the first ``count`` devices that are not revoked, as ``revoke --defer`` records it."""
    rows = state.store.rows(
        "SELECT c.serial, d.device_id FROM certificate c JOIN device d ON d.id = c.device"
        " WHERE c.id NOT IN (SELECT certificate FROM revocation) ORDER BY c.id LIMIT ?",
        (count,),
    )
    for start in range(0, len(rows), _GROUP):
        with state.transaction() as now:
            for serial, name in rows[start : start + _GROUP]:
                number = SerialNumber.from_octets(serial)
                revoke_certificates(state, [number], RevocationReason.SUPERSEDED, now, subject=name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("state", type=Path)
    parser.add_argument("key_file", type=Path)
    parser.add_argument("devices", type=int)
    parser.add_argument("revoked", type=int)
    parser.add_argument("--files", action="store_true", help="write the files of each device too")
    options = parser.parse_args()
    passphrase = parse_passphrase_file(options.key_file.read_bytes())
    caller = Caller("root (uid 0)", "bench", "register")
    with open_state(str(options.state), {}, caller, lambda: datetime.now(UTC)) as state:
        state.store.execute("PRAGMA synchronous = OFF")
        grow(state, unlock(state, passphrase), options.devices, files=options.files)
        revoke(state, options.revoked)


if __name__ == "__main__":
    main()
