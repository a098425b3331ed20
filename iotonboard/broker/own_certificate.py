"""The broker's own certificate and configuration in a package: for the machine whose key the certificate is of.

The key was made there (``apply --prepare``) and never left it. What a package brings for other brokers stays in it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from iotonboard.broker.conf import render_conf
from iotonboard.broker.conf_place import conf_place
from iotonboard.disk.files import PUBLIC, remove_file, write_atomic
from iotonboard.disk.permissions import check_plain, placement_like
from iotonboard.disk.reading import read_file
from iotonboard.errors import IotOnboardError, PolicyError
from iotonboard.pki.parse_errors import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iotonboard.broker.acl import Version

KEY, CERTIFICATE, CONF = "broker.key", "broker.crt", "mosquitto.conf"
_HERE: Final = "@DIR@"  # stands in a package for the folder on the broker's machine
_NAME: Final = re.compile(rf"brokers/[A-Za-z0-9._-]{{1,255}}/({CERTIFICATE}|{CONF})")
_LIMIT = 1 << 20


def is_own_file(name: str) -> bool:
    """Say whether a file of a package is one broker's own."""
    return _NAME.fullmatch(name) is not None and "/." not in name


def own_files(folder: str, host: str, certificate_pem: bytes, port: int, version: Version) -> dict[str, bytes]:
    """What a package holds for one broker, whose ``folder`` is named after it."""
    text = render_conf(
        host=host,
        port=port,
        ca_path=f"{_HERE}/ca.crt",
        cert_path=f"{_HERE}/{CERTIFICATE}",
        key_path=f"{_HERE}/{KEY}",
        crl_path=f"{_HERE}/crl.pem",
        acl_path=f"{_HERE}/mosquitto.acl",
        is_included=True,  # it goes into conf.d where that is included, and says nothing that is not default elsewhere
        version=version,
    )
    return {f"brokers/{folder}/{CERTIFICATE}": certificate_pem, f"brokers/{folder}/{CONF}": text.encode("ascii")}


@dataclass
class OwnPlace:
    """What was put in place of a broker's own: ``written`` paths, and ``start`` where a configuration is new.

    ``kept`` is a configuration that somebody changed here, ``problem`` why nothing was put in place. ``digests`` name
    what is there, for the next time.
    """

    written: list[str] = field(default_factory=list)
    kept: str = ""
    problem: str = ""
    start: str = ""
    digests: dict[str, str] = field(default_factory=dict)
    _before: dict[str, bytes | None] = field(default_factory=dict)

    def put(self, name: str, path: str, content: bytes) -> None:
        """Put one file in place, unless it is there."""
        before = read_file(path, limit=_LIMIT) if os.path.lexists(path) else None
        self.digests[name] = sha256(content).hexdigest()
        if before != content:
            write_atomic(path, content, placement_like(path, PUBLIC))
            self._before[path] = before
            self.written.append(path)

    def put_back(self) -> None:
        """Bring the files of before back."""
        for path, content in self._before.items():
            if content is None:
                remove_file(path)
            else:
                write_atomic(path, content, placement_like(path, PUBLIC))


def put_own_in_place(files: Mapping[str, bytes], folder: str, before: Mapping[str, str]) -> OwnPlace:
    """Put the certificate of the key in a folder in place, and its configuration; nothing where there is no such key.

    ``before`` are the digests of what an earlier package put there: a configuration that is another one stays.

    Raises:
        ConflictError: a link, or something that is no file, is in the way.
        PolicyError: the folder's name cannot stand in a configuration.
        BusyError: the disk refuses.
    """
    folder, found = os.path.abspath(folder), OwnPlace()
    spki = _public_key(os.path.join(folder, KEY))
    fits = [name for name, content in files.items() if name.endswith(f"/{CERTIFICATE}") and _spki(content) == spki]
    if spki is None or not fits:
        return found
    if not folder.isprintable():
        raise PolicyError(
            f"{folder!r} cannot stand in mosquitto.conf", hint="choose a folder without control characters"
        )
    place, name = conf_place(folder), fits[0]
    for path in (os.path.join(folder, CERTIFICATE), place.path):
        check_plain(path)
    found.put(CERTIFICATE, os.path.join(folder, CERTIFICATE), files[name])
    text = files[f"{os.path.dirname(name)}/{CONF}"].replace(_HERE.encode(), os.fsencode(folder))
    there = sha256(read_file(place.path, limit=_LIMIT)).hexdigest() if os.path.lexists(place.path) else ""
    if there in {"", before.get(CONF), sha256(text).hexdigest()}:
        found.put(CONF, place.path, text)
        found.start = place.start if place.path in found.written else ""
    else:
        found.kept, found.digests[CONF] = place.path, before.get(CONF, "")
    return found


def _public_key(path: str) -> bytes | None:
    """SubjectPublicKeyInfo of the key that waits here; ``None`` without one, or where it cannot be read."""
    try:
        key = load_pem_private_key(read_file(path, limit=_LIMIT), None)
    except (IotOnboardError, *UNREADABLE):
        return None
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _spki(certificate_pem: bytes) -> bytes | None:
    try:
        key = x509.load_pem_x509_certificate(certificate_pem).public_key()
    except UNREADABLE:
        return None
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
