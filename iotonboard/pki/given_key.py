"""A CA's private key as other programs keep it: openssl's own forms, PKCS #8, SEC 1 and PKCS #12, encrypted or not."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from iotonboard.errors import IotOnboardError, KeyUnavailableError
from iotonboard.pki.given import as_octets, kind_of
from iotonboard.pki.keys import checked_key, load_key
from iotonboard.pki.parse_errors import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from iotonboard.pki.keys import PrivateKey

_BLOCK: Final = re.compile(rb"(?s)-----BEGIN ((?:[A-Z0-9]+ )*PRIVATE KEY)-----.*?-----END \1-----")
_ENCRYPTED: Final = "an encrypted private key"
_PKCS12: Final = "a PKCS #12 file"
_NEW_FORM: Final = "write it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out NEW; PKCS #12: with -legacy first"


@dataclass(frozen=True, slots=True)
class GivenKey:
    """A private key, and the certificates (DER) that lay beside it: of a PKCS #12 file, the key's own first."""

    key: PrivateKey = field(repr=False)
    certificates: tuple[bytes, ...] = ()


def has_own_certificate(data: bytes) -> bool:
    """Say whether a key file is one that holds certificates too, which only its passphrase shows (RFC 7292)."""
    return kind_of(as_octets(data)) == _PKCS12


def holds_certificate(data: bytes) -> bool:
    """Say whether a PEM file has a certificate beside its key."""
    return b"CERTIFICATE-----" in as_octets(data)


def read_given_key(data: bytes, passphrase: Callable[[], Sequence[bytes]]) -> GivenKey:
    """Read the one private key of a file, PEM with whatever stands around it or DER.

    ``passphrase`` is asked where the key is encrypted, and answers with the spellings to try.

    Raises:
        KeyUnavailableError: there is no key, or more than one; its passphrase is wrong; its type or encryption is not
            supported.
    """
    data = as_octets(data)
    if kind_of(data) == _PKCS12:
        return _first(lambda spelling: _of_pkcs12(data, spelling), (None, b""), passphrase)
    blocks = [match[0] for match in _BLOCK.finditer(data)]
    if len(blocks) > 1:
        raise KeyUnavailableError(f"the file holds {len(blocks)} private keys", hint="name a file with the CA's alone")
    content = blocks[0] if blocks else data
    is_encrypted = b"ENCRYPTED" in content[:200] if blocks else kind_of(content) == _ENCRYPTED
    return _first(lambda spelling: GivenKey(load_key(content, spelling)), () if is_encrypted else (None,), passphrase)


def _first(
    load: Callable[[bytes | None], GivenKey],
    open_ones: Sequence[bytes | None],
    passphrase: Callable[[], Sequence[bytes]],
) -> GivenKey:
    """What the first passphrase opens; one that is not encrypted is opened by none."""
    for spelling in open_ones:
        with contextlib.suppress(KeyUnavailableError):
            return load(spelling)
    if open_ones == (None,):
        return load(None)
    *first, last = passphrase()
    for spelling in first:
        with contextlib.suppress(IotOnboardError):
            return load(spelling)
    return load(last)


def _of_pkcs12(data: bytes, passphrase: bytes | None) -> GivenKey:
    try:
        found = pkcs12.load_pkcs12(data, passphrase)
    except UnsupportedAlgorithm:
        raise KeyUnavailableError("the file's encryption is not supported", hint=_NEW_FORM) from None
    except UNREADABLE:
        raise KeyUnavailableError(
            "the passphrase of the PKCS #12 file is wrong, or the file is damaged", hint="check the passphrase"
        ) from None
    if found.key is None:
        raise KeyUnavailableError("the PKCS #12 file holds no private key", hint="export it together with its key")
    own = [found.cert] if found.cert else []
    ders = (one.certificate.public_bytes(Encoding.DER) for one in (*own, *found.additional_certs))
    return GivenKey(checked_key(found.key), tuple(ders))
