"""``init-ca``: make a state directory with its CA, database, empty CRL and ACL.

The CA certificate is recorded and the key file written before the state counts as initialised; an
interrupted call is finished by the next one, with the same key.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from iotonboard import authority, fsio, vault
from iotonboard.errors import ConflictError, PolicyError
from iotonboard.keyfile import CA_KEY_FILE, encode_ca_key
from iotonboard.model import KeyType, SerialNumber, Validity
from iotonboard.pki.issuance import make_ca
from iotonboard.pki.keys import PrivateKey, generate_key, load_key
from iotonboard.pki.profiles import CaProfile, Subject
from iotonboard.pki.statement import key_secret
from iotonboard.record import dataclass, field
from iotonboard.statedir import State, load_settings, resolve_paths
from iotonboard.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from iotonboard.model import Caller
    from iotonboard.passphrase import Passphrase
    from iotonboard.statedir import Paths


@dataclass(frozen=True, slots=True)
class Request:
    """What the CA shall be.

    ``passphrase`` is asked once nothing stands in the way; it is told whether an interrupted call is being
    finished. Its answer ``None`` leaves the key in the clear, which must be asked for by name.
    """

    common_name: str
    organization: str | None
    key_type: KeyType
    validity_days: int
    passphrase: Callable[[bool], Passphrase | None] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Result:
    """The new state."""

    state: str
    ca_fingerprint: str
    not_after: datetime
    crl_number: int


def init_ca(
    root: str, environment: Mapping[str, str], caller: Caller, clock: Callable[[], datetime], request: Request
) -> Result:
    """Make the state, or finish making it.

    Raises:
        ConflictError: a state is there already, or CA files lie where the new ones would go.
        KeyUnavailableError: an interrupted call left a key that this passphrase does not open.
        BusyError: the disk refuses.
    """
    settings = load_settings(root, environment)
    paths = resolve_paths(root, settings)
    device_days = settings["cert_validity_days"]
    if request.validity_days < device_days:
        raise PolicyError(
            f"a CA of {request.validity_days} days cannot issue device certificates of {device_days} days",
            hint="raise --validity-days, or lower CERT_VALIDITY_DAYS",
        )
    subject = Subject(request.common_name, request.organization)
    is_resumed = os.path.exists(paths.database)
    _make_folders(paths)
    store = Store.open(paths.database, timeout_s=settings["busy_timeout_seconds"], now=clock(), create=True)
    try:
        state = State(paths, settings, store, caller, clock)
        with state.transaction():
            if store.meta("initialised") is not None:
                raise ConflictError(
                    f"there is a state in {paths.root!r} already",
                    hint="use it, or choose another folder with --state",
                )
            result = _fill(state, request, subject, request.passphrase(is_resumed))
        state.publish()
    finally:
        store.close()
    return result


def _make_folders(paths: Paths) -> None:
    """Create the folders; a CA without its database is never taken for a place to start anew.

    An interrupted call leaves at most a key, and never one without a database.
    """
    has_database = os.path.exists(paths.database) and os.path.getsize(paths.database) > 0
    left = next(filter(os.path.exists, (paths.ca_certificate, os.path.join(paths.certs, CA_KEY_FILE))), None)
    if not has_database and left is not None:
        raise ConflictError(
            f"{left!r} belongs to a CA whose database is missing",
            hint="restore the database from a backup, or move the old CA's folder away",
        )
    with suppress(OSError):  # the parent may be anything; what matters is that the next line succeeds
        os.makedirs(os.path.dirname(paths.root), exist_ok=True)
    for folder in (
        paths.root,
        os.path.dirname(paths.database),
        paths.certs,
        os.path.join(paths.certs, "devices"),
    ):
        fsio.make_private_dir(folder)


def _fill(state: State, request: Request, subject: Subject, passphrase: Passphrase | None) -> Result:
    """Inside one transaction: key file, CA certificate, vault, first CRL."""
    now = state.clock()
    key = _ca_key(os.path.join(state.paths.certs, CA_KEY_FILE), request.key_type, passphrase)
    begin = now - timedelta(minutes=state.config["not_before_skew_minutes"])
    validity = Validity(begin, now + timedelta(days=request.validity_days))
    serial = SerialNumber.from_random(os.urandom(20))
    der = make_ca(CaProfile(subject), key, serial, validity)
    state.store.add_issuer(serial, validity, der, CA_KEY_FILE, now)
    state.store.set_meta("vault", vault.Vault(os.urandom(vault.VAULT_KEY_OCTETS)).wrap(key_secret(key)))
    opened = authority.unlock(state, passphrase)
    state.record(now, "ca", serial=serial.hex, detail={"fingerprint": opened.active.issuer.fingerprint})
    crl = authority.sign_crls(state, opened, now)[0]
    authority.seal_audit(state, opened)
    state.mark_acl()
    state.store.set_meta("initialised", 1)
    return Result(state.paths.root, opened.active.issuer.fingerprint, validity.not_after, crl.number)


def _ca_key(path: str, key_type: KeyType, passphrase: Passphrase | None) -> PrivateKey:
    """The key that an interrupted call left, or a new one, durable on disk before anything refers to it."""
    if os.path.exists(path):
        return load_key(fsio.read_file(path, limit=1 << 16), passphrase.octets if passphrase else None)
    key = generate_key(key_type)
    # The write lock is held and nothing stands there; whole or not at all, so that the next call can open it.
    fsio.write_atomic(path, encode_ca_key(key, passphrase), fsio.PRIVATE)
    return key
