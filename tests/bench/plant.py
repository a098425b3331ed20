"""Make many stations out of the journals of a real one, and let an office trust them.

    python plant.py OFFICE KEY_FILE STICK COUNT JOURNAL...

Each station has a CA of its own, which signs the journals anew; its devices have names of their own. Certificates,
lists and trail are the real station's: an office that takes journals verifies the trail, and reads the others. The
journals lie in ``STICK/NUMBER/``, those that are named first in ``1``.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from iotonboard.ca.ca_key import generate_ca_key
from iotonboard.ca.passphrase import parse_passphrase_file
from iotonboard.commands.station_trust import trust_station
from iotonboard.exchange.journal import JournalHead, Part, pack_part, sign_head, split_head, unpack_part
from iotonboard.exchange.tables import BY_NAME, decode_rows, encode_rows
from iotonboard.model import Caller, KeyType, SerialNumber, Validity
from iotonboard.office.key import open_key
from iotonboard.office.office import open_office
from iotonboard.pki.ca_profiles import CaProfile, Subject
from iotonboard.pki.certificates import make_ca
from iotonboard.pki.key_id import key_id
from iotonboard.pki.pem import pem_encode
from iotonboard.pki.signatures import Signer

_LIFE = timedelta(days=3000)


@dataclass(frozen=True)
class Told:
    """A journal of the real station: what it says, and its parts' octets by name."""

    head: JournalHead
    parts: dict[str, bytes]


def read(path: Path) -> Told:
    """Read a journal of the real station."""
    octets = path.read_bytes()
    found = split_head(octets)
    if found is None:
        sys.exit(f"{path} is cut off")
    (signed, at), parts = found, {}
    head = signed.read()
    for part in head.parts:
        parts[part.name] = octets[at : at + part.size]
        at += part.size
    return Told(head, parts)


def told_by(told: Told, signer: Signer, ca: bytes, prefix: str) -> bytes:
    """The journal as another station writes it."""
    parts, contents = list[Part](), list[bytes]()
    for part in told.head.parts:
        new, content = part, told.parts[part.name]
        if part.name in ("device", "issuer"):
            table, rows, gone = BY_NAME[part.name], list[list[Any]](), list[list[Any]]()
            for values, is_there in decode_rows(table, unpack_part(part, content)):
                (rows if is_there else gone).append(values)
            column, value = ("device_id", prefix) if part.name == "device" else ("der", ca)
            place = table.columns.index(column)
            for row in rows:
                row[place] = f"{value!s}{row[place]}" if part.name == "device" else ca
            new, content = pack_part(part.name, encode_rows(rows, gone))
        parts.append(new)
        contents.append(content)
    head = replace(told.head, key=key_id(ca), parts=tuple(parts))
    return sign_head(head, signer, [ca]).lines() + b"".join(contents)


def main() -> None:
    office_folder, key_file, stick, count, *journals = sys.argv[1:]
    told, now = [read(Path(path)) for path in journals], datetime.now(UTC).replace(microsecond=0)
    caller, environment = Caller("bench", "bench", "station trust"), dict(os.environ)
    with open_office(office_folder, environment, caller, lambda: now) as office:
        opened = open_key(office.certs, parse_passphrase_file(Path(key_file).read_bytes()))
        for number in range(1, int(count) + 1):
            key = generate_ca_key(KeyType.EC_P256)
            profile = CaProfile(Subject(f"Line {number}"))
            ca = make_ca(
                profile,
                key.signer,
                SerialNumber.from_random(os.urandom(20)),
                Validity(now - timedelta(days=1), now + _LIFE),
            )
            certificate = Path(stick, "ca.pem")
            certificate.write_bytes(pem_encode("CERTIFICATE", ca))
            trust_station(
                office, f"line{number}", str(certificate), lambda: opened, fingerprint=None, confirm=lambda *_: None
            )
            for round_, one in enumerate(told, start=1):
                folder = Path(stick, str(round_))
                folder.mkdir(exist_ok=True)
                (folder / f"line{number}.journal").write_bytes(told_by(one, key.signer, ca, f"l{number}-"))


if __name__ == "__main__":
    main()
