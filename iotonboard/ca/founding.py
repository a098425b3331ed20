"""A new CA: its key file, its self-signed certificate and its row."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.ca import tokens
from iotonboard.ca.authority import signing_ca
from iotonboard.ca.ca_key import MAX_KEY_FILE_OCTETS, generate_ca_key, load_ca_key
from iotonboard.ca.passphrase import TOKEN_SCHEME
from iotonboard.disk.files import PRIVATE, write_atomic
from iotonboard.disk.reading import read_file
from iotonboard.errors import ConflictError, PolicyError
from iotonboard.model import KeyType, SerialNumber, Validity, rfc3339
from iotonboard.pki.ca_profiles import CaProfile, Subject
from iotonboard.pki.certificates import make_ca
from iotonboard.pki.keys import key_identifier
from iotonboard.store.issuers import IssuerRow, add_issuer
from iotonboard.store.kind import is_root

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from iotonboard.ca.authority import SigningCa
    from iotonboard.ca.ca_key import CaKey
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.ca.token_uri import TokenUri
    from iotonboard.state.config import Config
    from iotonboard.state.state import State

_DIGEST_OCTETS = 4  # of a key's, in a name that nobody chose


@dataclass(frozen=True, slots=True)
class NewKey:
    """The key that a new CA shall have: one of a type, in a file that ``secret`` encrypts (``None``: nothing does).

    Or one in a token, which ``secret`` is the PIN of. Without a type it is there already.
    """

    key_type: KeyType | None
    secret: Passphrase | None = field(repr=False)
    token: TokenUri | None = None


def check_life(settings: Config, validity_days: int) -> None:
    """Refuse a CA that is shorter than what it shall issue.

    Raises:
        PolicyError: it is.
    """
    device_days = settings["cert_validity_days"]
    if validity_days < device_days:
        raise PolicyError(
            f"a CA of {validity_days} days cannot issue device certificates of {device_days} days",
            hint="raise --validity-days, or lower CERT_VALIDITY_DAYS",
        )


def check_begin(not_before: datetime | None, now: datetime) -> None:
    """Refuse a CA that is not valid yet.

    Raises:
        PolicyError: it would be.
    """
    if not_before is not None and not_before > now:
        raise PolicyError(f"the CA would not be valid before {rfc3339(not_before)}", hint="name a day that is over")


def found_ca(
    state: State,
    key_file: str,
    subject: Subject | Callable[[str], Subject],
    new_key: NewKey,
    validity_days: int,
    now: datetime,
    *,
    not_before: datetime | None = None,
) -> SigningCa:
    """Make a CA and record it, inside the caller's transaction; its key is durable before its row is.

    A key that an interrupted call left in ``key_file`` is used. ``subject`` may be made of a few hexadecimal digits,
    which no other key has. In a root's state the CA is one. ``not_before``: when it begins, where that is not now: no
    certificate is valid before its CA is.

    Raises:
        KeyUnavailableError: the secret does not open that key.
        ConflictError: another key is there.
        BusyError: the disk refuses.
    """
    path = os.path.join(state.paths.certs, key_file)
    key = _key_in_file(path, new_key) if new_key.token is None else _key_in_token(path, new_key, new_key.token)
    begin = min(now - timedelta(minutes=state.config["not_before_skew_minutes"]), not_before or now)
    validity = Validity(begin, now + timedelta(days=validity_days))
    serial = SerialNumber.from_random(os.urandom(20))
    if not isinstance(subject, Subject):
        subject = subject(key_identifier(key.signer.public_key())[:_DIGEST_OCTETS].hex())
    der = make_ca(CaProfile(subject, is_root=is_root(state.store)), key.signer, serial, validity)
    row = add_issuer(state.store, serial, validity, der, key_file, now)
    ca = signing_ca(state.store, IssuerRow(row, der, validity, key_file, now), key)
    place = {} if new_key.token is None else tokens.seal_place(state.store, key_file, key)
    state.record(now, "ca", serial=serial.hex, detail={"fingerprint": ca.identity, **place})
    return ca


def _key_in_file(path: str, new_key: NewKey) -> CaKey:
    """The key that an interrupted call left, or a new one, durable on disk before anything refers to it."""
    if not os.path.exists(path):
        # The write lock is held and nothing stands there; whole or not at all, so that the next call can open it.
        write_atomic(path, generate_ca_key(new_key.key_type or KeyType.EC_P256).dump(new_key.secret), PRIVATE)
    # Read back: nothing is signed with a key that could not be opened again.
    return load_ca_key(read_file(path, limit=MAX_KEY_FILE_OCTETS), new_key.secret)


def _key_in_token(path: str, new_key: NewKey, uri: TokenUri) -> CaKey:
    """A key in a token. Its name is durable before it is made, so that an interrupted call is known and goes on."""
    content, left = f"{uri}\n".encode("ascii"), b""
    if os.path.exists(path):
        left = read_file(path, limit=MAX_KEY_FILE_OCTETS)
        if not left.startswith(TOKEN_SCHEME):
            raise ConflictError(
                f"{path!r} holds a key that an interrupted call left",
                hint="move it away: no certificate was made with it; then run the command again",
            )
    note = functools.partial(write_atomic, path, content, PRIVATE)
    return tokens.new_key(uri, new_key.secret, new_key.key_type, note, may_exist=left == content)
