"""Packages of an office as ``apply`` meets them, made of what stations published: an office without its verbs."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path

from cryptography import x509
from iotonboard.broker.acl import parse_acl
from iotonboard.broker.office_part import OfficePart, StationPart
from iotonboard.broker.package import IssuerPart, Manifest, describe, render_package
from iotonboard.broker.region import Change
from iotonboard.model import KeyType, SerialNumber, Validity
from iotonboard.pki.ca_profiles import CaProfile, Subject
from iotonboard.pki.certificates import make_ca
from iotonboard.pki.key_id import key_id
from iotonboard.pki.keys import generate_key
from iotonboard.pki.pem import pem_blocks, pem_encode
from iotonboard.pki.signatures import SoftwareSigner

from support.program import State

_counters = count(int(datetime.now(UTC).timestamp()))


@dataclass(frozen=True)
class Known:
    """What an office knows of a station: what it published, and how far its trail went."""

    crl: bytes
    ca: bytes
    names: tuple[str, ...]
    denied: tuple[str, ...]
    row: int
    released: tuple[str, ...]

    @property
    def key(self) -> str:
        return key_id(pem_blocks("CERTIFICATE", self.ca)[0])


@dataclass
class MadeOffice:
    """An office's key, and what it took of its stations by their names."""

    folder: Path
    change: int = 0
    known: dict[str, Known] = field(default_factory=dict)
    gone: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.signer = SoftwareSigner(generate_key(KeyType.EC_P256))
        now = datetime.now(UTC).replace(microsecond=0)
        validity = Validity(now - timedelta(hours=1), now + timedelta(days=700))
        serial = SerialNumber.from_random(os.urandom(20))
        self.der = make_ca(CaProfile(Subject("office"), is_root=True), self.signer, serial, validity)
        self.folder.mkdir(exist_ok=True)
        self.crt = self.folder / "office.crt"
        self.crt.write_bytes(pem_encode("CERTIFICATE", self.der))
        self.before: list[tuple[int, int, str]] = []

    def take(self, name: str, state: State) -> None:
        """Know everything that a station recorded and published until now."""
        with closing(sqlite3.connect(state.path / "devices.db")) as database:
            (row,) = database.execute("SELECT max(seq) FROM audit").fetchone()
            every = [one for (one,) in database.execute("SELECT device_id FROM device")]
            query = "SELECT hex(c.serial) FROM released r JOIN certificate c ON c.id = r.certificate"
            released = [one for (one,) in database.execute(query)]
        users = parse_acl(state.acl.read_bytes()).users
        live = tuple(one for one in every if any(rule.access != "deny" for rule in users.get(one, ())))
        denied = tuple(one for one in every if one not in live)
        self.known[name] = Known(state.crl.read_bytes(), state.ca_cert.read_bytes(), live, denied, row, tuple(released))

    def pack(self, name: str, ordered: Sequence[str] = (), rules: str = "") -> Path:
        """Write a package of all that is known; ``rules`` stand around the region."""
        self.change += 1
        denied = tuple(dict.fromkeys((*(one for known in self.known.values() for one in known.denied), *ordered)))
        change = Change(self.change, key_id(self.der), self.change, sha256(b"%d" % self.change).hexdigest()[:16])
        live = [one for known in self.known.values() for one in known.names if one not in ordered]
        region = "".join(f"user {one}\ntopic readwrite devices/{one}/#\n" for one in live)
        region += "".join(f"user {one}\ntopic deny #\ntopic deny $SYS/#\n" for one in ordered)
        files = {
            "crl.pem": b"".join(one.crl for one in self.known.values()),
            "ca.crt": b"".join(one.ca for one in self.known.values()),
            "mosquitto.acl": rules.encode() + change.begin_line() + region.encode() + b"# END iotonboard\n",
        }
        now = datetime.now(UTC).replace(microsecond=0)
        parts = [StationPart((one.key,), one.row, one.denied) for one in self.known.values()]
        manifest = Manifest(
            next(_counters), now, now - timedelta(hours=1), now + timedelta(days=30), 0, describe(files)
        )
        manifest = replace(
            manifest,
            format=3,
            key=key_id(self.der),
            issuers=tuple(self._issuer(one) for one in self.known.values()),
            gone=self.gone,
            acl_change=self.change,
            acl_before=tuple(self.before),
            denied=denied,
            office=OfficePart(tuple(parts), tuple(ordered)),
        )
        self.before.append((change.number, change.row, change.mark))
        path = self.folder / name
        path.write_bytes(b"".join(render_package(manifest, files, [self.signer], [self.der])))
        return path

    def _issuer(self, known: Known) -> IssuerPart:
        der = pem_blocks("CERTIFICATE", known.ca)[0]
        numbers = [x509.load_der_x509_crl(one) for one in pem_blocks("X509 CRL", known.crl)]
        number = max(one.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for one in numbers)
        return IssuerPart(sha256(der).hexdigest(), number, dict.fromkeys(known.released, "released"))
