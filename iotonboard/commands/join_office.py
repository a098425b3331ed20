"""``init-office --join``: let another machine work on an office's registry, with a key of its own.

1. Read who began the registry; a person compares that, since who administers a server could put another one there.
2. Make the folder, the machine's key and its certificate.
3. Ask in the registry: the first machine trusts it (``machine trust``).
4. Write the machine's memory, by which the folder is known as an office's.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from iotonboard.disk.files import make_private_dir
from iotonboard.errors import ConflictError, StateError
from iotonboard.model import rfc3339
from iotonboard.office.key import KEY_FILE, make_office_key
from iotonboard.office.machines import check_fingerprint, check_machine_name
from iotonboard.office.office import MEMORY, WAIT_S, Memory, write_memory
from iotonboard.office.reading_trail import Believer, read_trail
from iotonboard.office.settings import read_settings, registry_url
from iotonboard.pki.key_id import key_id
from iotonboard.store.audit import GENESIS, AuditHead
from iotonboard.store.registry import trail
from iotonboard.store.registry.machines import add_machine, machines
from iotonboard.store.registry.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from iotonboard.ca.passphrase import Passphrase


def join_office(
    root: str,
    environment: Mapping[str, str],
    now: datetime,
    name: str,
    passphrase: Callable[[bool], Passphrase | None],
    *,
    fingerprint: str | None,
    confirm: Callable[[str], None],
) -> tuple[str, bytes]:
    """Join an office, or finish joining it. Returns where its registry lies, and the machine's certificate.

    ``confirm`` is called with the fingerprint of the first machine's certificate where none is given.

    Raises:
        ConflictError: a state is there already, or another machine has the name.
        StateError: there is no registry, or its trail is not believed.
        PolicyError: the fingerprint is another one.
        KeyUnavailableError: an interrupted call left a key that this passphrase does not open.
        BusyError: the disk or the server refuses.
    """
    root, certs = os.path.abspath(root), os.path.join(os.path.abspath(root), "certs")
    if os.path.exists(os.path.join(root, MEMORY)) or os.path.lexists(os.path.join(certs, "ca.key")):
        raise ConflictError(
            f"there is a state in {root!r} already", hint="use it, or choose another folder with --state"
        )
    check_machine_name(name)
    url = registry_url(root, read_settings(root, environment)["database_url"])
    registry = Registry.open(url, timeout_s=WAIT_S)
    try:
        first, registry_id = _first_machine(registry), str(registry.value("id"))
        reading = read_trail(registry, Believer(registry_id, AuditHead(0, GENESIS), (first,)))
        if reading.problem is not None:
            raise reading.problem
        check_fingerprint(first, fingerprint, confirm)
        _refuse_name(registry, name, b"")
        secret = passphrase(os.path.exists(os.path.join(certs, KEY_FILE)))
        for folder in (root, certs):
            make_private_dir(folder)
        own, *_ = make_office_key(certs, name, secret, now, above=(first,))
        with registry.transaction():
            if not _refuse_name(registry, name, own):
                add_machine(registry, key_id(own), name, own, now, is_trusted=False)
        write_memory(root, Memory(registry_id, reading.head))
        return registry.place, own
    finally:
        registry.close()


def _first_machine(registry: Registry) -> bytes:
    """The certificate (DER) of the machine that began the registry."""
    begun = next(trail.rows(registry), None)
    try:
        return base64.b64decode(str(begun.said["certificate"]) if begun else "", validate=True)
    except (KeyError, ValueError) as error:
        raise StateError(
            f"nobody began the registry {registry.place!r}", hint="'iotonboard init-office' without --join begins one"
        ) from error


def _refuse_name(registry: Registry, name: str, own: bytes) -> bool:
    """Say whether the machine asked already.

    Raises:
        ConflictError: another one has the name.
    """
    for one in machines(registry):
        if own and one.certificate == own:
            return True
        if one.name == name and one.removed_at is None:
            if not own and one.trusted_at is None:
                continue  # perhaps this very one, in a call that was interrupted
            raise ConflictError(
                f"a machine {name!r} joined on {rfc3339(one.added_at)} already", hint="choose another name with --name"
            )
    return False
