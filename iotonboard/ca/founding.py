"""A new CA: its key file, its self-signed certificate and its row."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard.ca.authority import signing_ca
from iotonboard.ca.ca_key import MAX_KEY_FILE_OCTETS, generate_ca_key, load_ca_key
from iotonboard.disk.files import PRIVATE, write_atomic
from iotonboard.disk.reading import read_file
from iotonboard.errors import PolicyError
from iotonboard.model import SerialNumber, Validity, rfc3339
from iotonboard.pki.certificates import make_ca
from iotonboard.pki.profiles import CaProfile
from iotonboard.store.issuers import IssuerRow, add_issuer

if TYPE_CHECKING:
    from datetime import datetime

    from iotonboard.ca.authority import SigningCa
    from iotonboard.ca.ca_key import CaKey
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.model import KeyType
    from iotonboard.pki.profiles import Subject
    from iotonboard.state.config import Config
    from iotonboard.state.state import State


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
    subject: Subject,
    key_type: KeyType,
    validity_days: int,
    passphrase: Passphrase | None,
    now: datetime,
    *,
    not_before: datetime | None = None,
) -> SigningCa:
    """Make a CA and record it, inside the caller's transaction; its key is durable before its row is.

    A key that an interrupted call left in ``key_file`` is used. ``not_before``: when the CA begins, where that is not
    now: no certificate is valid before its CA is.

    Raises:
        KeyUnavailableError: ``passphrase`` does not open that key.
        BusyError: the disk refuses.
    """
    key = _ca_key(os.path.join(state.paths.certs, key_file), key_type, passphrase)
    begin = min(now - timedelta(minutes=state.config["not_before_skew_minutes"]), not_before or now)
    validity = Validity(begin, now + timedelta(days=validity_days))
    serial = SerialNumber.from_random(os.urandom(20))
    der = make_ca(CaProfile(subject), key.signer, serial, validity)
    row = add_issuer(state.store, serial, validity, der, key_file, now)
    ca = signing_ca(state.store, IssuerRow(row, der, validity, key_file, now), key)
    state.record(now, "ca", serial=serial.hex, detail={"fingerprint": ca.identity})
    return ca


def _ca_key(path: str, key_type: KeyType, passphrase: Passphrase | None) -> CaKey:
    """The key that an interrupted call left, or a new one, durable on disk before anything refers to it."""
    if not os.path.exists(path):
        # The write lock is held and nothing stands there; whole or not at all, so that the next call can open it.
        write_atomic(path, generate_ca_key(key_type).dump(passphrase), PRIVATE)
    # Read back: nothing is signed with a key that could not be opened again.
    return load_ca_key(read_file(path, limit=MAX_KEY_FILE_OCTETS), passphrase)
