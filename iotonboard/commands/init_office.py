"""``init-office``: make the state of a head office, which has a registry and a key of its own, and no CA.

1. Look whether there is a state already; an interrupted call is finished.
2. Make the folder, the machine's key and its certificate.
3. Make the registry, or its tables in a server's database, and begin its trail.
4. Write the machine's memory, by which the folder is known as an office's.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.disk.files import make_private_dir
from iotonboard.errors import ConflictError
from iotonboard.office import decisions
from iotonboard.office.key import KEY_FILE, make_office_key, open_key
from iotonboard.office.office import MEMORY, WAIT_S, Memory, write_memory
from iotonboard.office.settings import read_settings, registry_url
from iotonboard.pki.key_id import key_id
from iotonboard.pki.signatures import sign_statement
from iotonboard.store.registry import trail
from iotonboard.store.registry.machines import add_machine
from iotonboard.store.registry.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.model import Caller


@dataclass(frozen=True, slots=True)
class Result:
    """The new office: its folder, where its registry lies, and its certificate with that file's name."""

    state: str
    registry: str
    certificate: bytes
    certificate_path: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, lower-case hex."""
        return sha256(self.certificate).hexdigest()


def init_office(
    root: str,
    environment: Mapping[str, str],
    caller: Caller,
    clock: Callable[[], datetime],
    name: str,
    passphrase: Callable[[bool], Passphrase | None],
) -> Result:
    """Make the office, or finish making it. ``passphrase`` is told whether an interrupted call left a key.

    Raises:
        ConflictError: a state is there already, or the registry is another office's.
        KeyUnavailableError: an interrupted call left a key that this passphrase does not open.
        BusyError: the disk or the server refuses.
        UsageError: the registry's URL cannot be.
    """
    root = os.path.abspath(root)
    if os.path.exists(os.path.join(root, MEMORY)) or os.path.lexists(os.path.join(root, "certs", "ca.key")):
        raise ConflictError(
            f"there is a state in {root!r} already", hint="use it, or choose another folder with --state"
        )
    settings, certs = read_settings(root, environment), os.path.join(root, "certs")
    secret = passphrase(os.path.exists(os.path.join(certs, KEY_FILE)))
    for folder in (root, certs):
        make_private_dir(folder)
    now = clock()
    certificate = make_office_key(certs, name, secret, now)[0]
    registry = Registry.open(registry_url(root, settings["database_url"]), timeout_s=WAIT_S, create=True)
    try:
        with registry.transaction():
            _refuse_another(registry, certificate)
            if registry.value("id") is None:
                registry.set_value("id", os.urandom(16).hex())
                _begin(registry, caller, now, certificate, name)
            registry_id = str(registry.value("id"))
            key, head = open_key(certs, secret), trail.head(registry)
            signature = sign_statement(key.signer, trail.head_statement(registry_id, head))
            trail.set_signed_head(registry, trail.MachineHead(head, key.id, signature))
        write_memory(root, Memory(registry_id, head))
        return Result(root, registry.place, certificate, os.path.join(certs, "office.crt"))
    finally:
        registry.close()


def _refuse_another(registry: Registry, certificate: bytes) -> None:
    """A registry that is begun is gone on with where an interrupted call of this very machine began it.

    Raises:
        ConflictError: it is another office's.
    """
    begun = next(trail.rows(registry), None)
    if begun is not None and (begun.said.get("key") != key_id(certificate) or trail.head(registry).seq > 1):
        raise ConflictError(
            f"{registry.place!r} is the registry of an office already",
            hint="name another database, or bring that office's folder back",
        )


def _begin(registry: Registry, caller: Caller, now: datetime, certificate: bytes, name: str) -> None:
    """The first row of the trail: the machine that begins it, which nobody trusted before."""
    key = key_id(certificate)
    detail = {
        decisions.DECISION: decisions.MACHINE,
        "key": key,
        "name": name,
        "certificate": base64.b64encode(certificate).decode("ascii"),
    }
    trail.append(registry, caller, now, subject=name, detail=detail)
    add_machine(registry, key, name, certificate, now, is_trusted=True)
