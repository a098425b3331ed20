"""A CA that another program made becomes that of a new state: read, judged, and kept as every other.

1. Its files are read, and its certificate is judged before anybody is asked for a passphrase; where it lies in a
   PKCS #12 file, or in a file with others, once the key is open.
2. Key and certificate must belong together.
3. The key is encrypted anew under the state's own passphrase. The files that it came from stay as they are.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.ca.authority import signing_ca
from iotonboard.ca.ca_key import MAX_KEY_FILE_OCTETS, SoftwareKey, load_ca_key
from iotonboard.disk.files import PRIVATE, write_atomic
from iotonboard.disk.reading import read_file
from iotonboard.errors import ConflictError, KeyUnavailableError, PolicyError
from iotonboard.model import SerialNumber, Validity
from iotonboard.pki.foreign_ca import chain_from, read_foreign_ca, serial_of
from iotonboard.pki.given import certificates_in
from iotonboard.pki.given_key import has_own_certificate, holds_certificate, read_given_key
from iotonboard.pki.imported_ca import judge_ca, refuse_unusable
from iotonboard.pki.keys import public_key_matches
from iotonboard.pki.signatures import sign_statement
from iotonboard.state.new_chain import record_chain
from iotonboard.store.issuers import IssuerRow, add_issuer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from iotonboard.ca.authority import SigningCa
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.pki.imported_ca import Finding
    from iotonboard.pki.keys import PrivateKey
    from iotonboard.state.state import State

_MAX_FILE = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """Files of a CA's key, of its certificate and of what stands above that; empty where there is none.

    ``passphrase`` is asked, with the key's file, where the key is encrypted.
    """

    key: str
    certificate: str
    chain: str
    passphrase: Callable[[str], Passphrase] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Given:
    """What the files of a ``Source`` hold. ``own``: certificates of which one is the CA's, ``above``: the others."""

    source: Source
    key: bytes = field(repr=False)
    own: tuple[bytes, ...]
    above: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ImportedCa:
    """A CA that can be taken over, and what is to be told of it; ``chain``: from its certificate to the root, DER."""

    key: PrivateKey = field(repr=False)
    chain: tuple[bytes, ...] = field(repr=False)
    findings: tuple[Finding, ...]


def read_source(source: Source, now: datetime, device_days: int) -> Given:
    """Read the files, and judge what can be judged without the key; ``device_days``: how long devices shall be valid.

    Raises:
        NotFoundError: there is no such file.
        PolicyError: a file holds no certificate, or the CA cannot be taken over.
    """
    key = read_file(source.key, limit=MAX_KEY_FILE_OCTETS)
    own = _certificates(source.certificate or source.key) if source.certificate or holds_certificate(key) else ()
    given = Given(source, key, own, _certificates(source.chain) if source.chain else ())
    if not own and not has_own_certificate(key):
        raise PolicyError(
            f"{source.key!r} holds no certificate",
            hint="name the CA's certificate with --import-cert FILE",
        )
    if len(own) == 1:
        _judged(given, own[0], own, now, device_days)
    return given


def _certificates(path: str) -> tuple[bytes, ...]:
    try:
        return tuple(dict.fromkeys(certificates_in(read_file(path, limit=_MAX_FILE))))
    except PolicyError as error:
        raise PolicyError(f"{path!r}: {error.message}", hint=error.hint) from error


def open_source(given: Given, now: datetime, device_days: int) -> ImportedCa:
    """Open the key, find its certificate, and judge the CA.

    Raises:
        KeyUnavailableError: there is no key, its passphrase is wrong, or the certificate is another key's.
        PolicyError: the CA cannot be taken over.
    """
    source = given.source
    try:
        found = read_given_key(given.key, lambda: source.passphrase(source.key).spellings)
    except KeyUnavailableError as error:
        raise KeyUnavailableError(f"{source.key!r}: {error.message}", hint=error.hint) from error
    others = (*given.own, *found.certificates)
    own = next((der for der in others if public_key_matches(der, found.key)), None)
    if own is None:
        where = source.certificate or source.key
        raise KeyUnavailableError(
            f"no certificate in {where!r} is of the key in {source.key!r}",
            hint="name the key and the certificate that were made together",
        )
    chain, findings = _judged(given, own, others, now, device_days)
    return ImportedCa(found.key, chain, findings)


def _judged(
    given: Given, own: bytes, others: Sequence[bytes], now: datetime, device_days: int
) -> tuple[tuple[bytes, ...], tuple[Finding, ...]]:
    chain = tuple(one.der for one in chain_from(own, (*others, *given.above)))
    findings = judge_ca(own, chain[1:], now, device_days)
    refuse_unusable(findings, given.source.certificate or given.source.key)
    return chain, tuple(findings)


def import_ca(
    state: State, key_file: str, imported: ImportedCa, passphrase: Passphrase | None, now: datetime
) -> SigningCa:
    """Record a CA that was taken over, inside the caller's transaction; its key is durable before its row is.

    Raises:
        ConflictError: an interrupted call left another key in its place.
        KeyUnavailableError: ``passphrase`` does not open what an interrupted call left.
        BusyError: the disk refuses.
    """
    path = os.path.join(state.paths.certs, key_file)
    if not os.path.exists(path):
        write_atomic(path, SoftwareKey(imported.key).dump(passphrase), PRIVATE)
    key = load_ca_key(read_file(path, limit=MAX_KEY_FILE_OCTETS), passphrase)
    if key.signer.public_key() != imported.key.public_key():
        raise ConflictError(
            f"{path!r} is the key of another CA, which an interrupted 'init-ca' left there",
            hint="choose another folder with --state, or delete that one",
        )
    der = imported.chain[0]
    ca = read_foreign_ca(der)
    serial, validity = _serial(der), Validity(ca.not_before, ca.not_after)
    row = add_issuer(state.store, serial, validity, der, key_file, now)
    if len(imported.chain) > 1:
        record_chain(state.store, row, imported.chain, partial(sign_statement, key.signer), now)
    signing = signing_ca(state.store, IssuerRow(row, der, validity, key_file, now), key)
    state.record(now, "ca", serial=serial.hex, detail={"fingerprint": signing.identity, "imported": True})
    return signing


def _serial(certificate_der: bytes) -> SerialNumber:
    """The CA's serial; a made one where that can be none, as old programs gave a root the number 0."""
    try:
        return SerialNumber(serial_of(certificate_der))
    except PolicyError:
        return SerialNumber.from_random(sha256(certificate_der).digest())
