"""The key of an office's machine, and the certificate by which stations and brokers know the office."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.ca.ca_key import MAX_KEY_FILE_OCTETS, generate_ca_key, load_ca_key
from iotonboard.disk.files import PRIVATE, PUBLIC, write_atomic
from iotonboard.disk.reading import read_file
from iotonboard.errors import KeyUnavailableError, StateError
from iotonboard.model import KeyType, SerialNumber, Validity
from iotonboard.pki import pem
from iotonboard.pki.ca_profiles import CaProfile, Subject
from iotonboard.pki.certificates import make_ca
from iotonboard.pki.key_id import key_id
from iotonboard.pki.keys import key_identifier
from iotonboard.pki.lint.candidate import issuer_facts

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.pki.signatures import Signer

KEY_FILE, CERTIFICATE_FILE = "office.key", "office.crt"
_LIFE = timedelta(days=7300)  # as long as brokers pin it
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class OfficeKey:
    """An opened key. ``chain`` (DER): the machine's certificate, then that of the office's first machine."""

    signer: Signer = field(repr=False)
    chain: tuple[bytes, ...]

    @property
    def id(self) -> str:
        """What names the machine (``pki.key_id``)."""
        return key_id(self.chain[0])


def make_office_key(
    folder: str, name: str, passphrase: Passphrase | None, now: datetime, above: tuple[bytes, ...] = ()
) -> tuple[bytes, ...]:
    """Make a key and its certificate in ``folder``; a key that an interrupted call left is used. Returns the chain.

    ``above``: certificates (DER) that are kept behind the machine's own.

    Raises:
        KeyUnavailableError: the passphrase does not open that key.
        BusyError: the disk refuses.
    """
    path = os.path.join(folder, KEY_FILE)
    if not os.path.exists(path):
        write_atomic(path, generate_ca_key(KeyType.EC_P256).dump(passphrase), PRIVATE)
    signer = load_ca_key(read_file(path, limit=MAX_KEY_FILE_OCTETS), passphrase).signer
    if os.path.exists(os.path.join(folder, CERTIFICATE_FILE)):
        return read_chain(folder)
    subject = Subject(f"{name} {key_identifier(signer.public_key())[:4].hex()}")
    serial = SerialNumber.from_random(os.urandom(20))
    der = make_ca(CaProfile(subject, is_root=True), signer, serial, Validity(now - timedelta(hours=1), now + _LIFE))
    write_chain(folder, (der, *above))
    return (der, *above)


def write_chain(folder: str, chain: tuple[bytes, ...]) -> None:
    """Write the machine's certificate with those above it; durable when this returns."""
    content = b"".join(pem.pem_encode("CERTIFICATE", der) for der in chain)
    write_atomic(os.path.join(folder, CERTIFICATE_FILE), content, PUBLIC)


def read_chain(folder: str) -> tuple[bytes, ...]:
    """The machine's certificate (DER), and those above it.

    Raises:
        StateError: the file holds none.
    """
    path = os.path.join(folder, CERTIFICATE_FILE)
    chain = tuple(pem.pem_blocks("CERTIFICATE", read_file(path, limit=_LARGEST)))
    if not chain:
        raise StateError(f"{path!r} holds no certificate", hint="bring it back from a backup of the office's folder")
    return chain


def is_encrypted(folder: str) -> bool:
    """Say whether the key asks for a passphrase."""
    return b"ENCRYPTED" in read_file(os.path.join(folder, KEY_FILE), limit=MAX_KEY_FILE_OCTETS)


def open_key(folder: str, passphrase: Passphrase | None) -> OfficeKey:
    """Open the machine's key.

    Raises:
        KeyUnavailableError: it is missing, the passphrase does not open it, or it is not that of the certificate.
    """
    path = os.path.join(folder, KEY_FILE)
    if not os.path.exists(path):
        raise KeyUnavailableError(f"the office's key {path!r} is missing", hint="plug its disk in, or bring it back")
    key = load_ca_key(read_file(path, limit=MAX_KEY_FILE_OCTETS), passphrase)
    opened = OfficeKey(key.signer, read_chain(folder))
    if key_identifier(key.signer.public_key()) != issuer_facts(opened.chain[0]).key_id:
        raise KeyUnavailableError(f"{path!r} is not the key of {CERTIFICATE_FILE!r} beside it", hint="bring both back")
    return opened
