"""``machine trust``, ``machine list`` and ``machine remove``: who works on an office's registry."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.errors import NotFoundError, PolicyError
from iotonboard.model import SerialNumber
from iotonboard.office import decisions
from iotonboard.office.machines import check_fingerprint
from iotonboard.office.office import refuse_untrusted
from iotonboard.pki.key_id import key_id
from iotonboard.pki.office_machines import certify_machine
from iotonboard.store.registry.machines import machines, note_removed, note_trusted

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from iotonboard.office.key import OfficeKey
    from iotonboard.office.office import Office
    from iotonboard.store.registry.machines import MachineNote

_SHOWN = "'iotonboard machine list' shows them"


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine. ``status``: ``first``, ``trusted``, ``waiting`` or ``removed``; ``is_this``: the one that is asked."""

    name: str
    key: str
    fingerprint: str
    status: str
    added_at: datetime
    is_this: bool


def list_machines(office: Office) -> list[Machine]:
    """The machines, the first one first. What an untrusted one says of itself is its own word."""
    return sorted((_machine(office, one) for one in machines(office.registry)), key=lambda one: one.status != "first")


def _machine(office: Office, note: MachineNote) -> Machine:
    trusted = office.decisions.machines.get(note.key)
    status = "removed" if note.removed_at else "waiting"
    if trusted is not None:
        status = "first" if note.key == key_id(office.chain[-1]) else "trusted"
    fingerprint = sha256(trusted or note.certificate).hexdigest()
    return Machine(note.name, note.key, fingerprint, status, note.added_at, note.key == key_id(office.chain[0]))


def trust_machine(
    office: Office,
    name: str,
    unlock: Callable[[], OfficeKey],
    *,
    fingerprint: str | None,
    confirm: Callable[[str], None],
) -> bool:
    """Trust a machine that joined: its key gets a certificate below this one's. Returns whether that is new.

    Raises:
        NotFoundError: none that is called so joined.
        PolicyError: the fingerprint is another one, or this is not the office's first machine.
        StateError: the office's trail is not believed.
        BusyError: another machine holds the registry, or the disk refuses.
    """
    refuse_untrusted(office)
    note = _called(office, name)
    if note.key in office.decisions.machines:
        return False
    if len(office.chain) > 1:
        raise PolicyError("only the office's first machine trusts others", hint="brokers and stations pin that one's")
    check_fingerprint(note.certificate, fingerprint, confirm)
    key = unlock()
    with office.transaction() as now:
        refuse_untrusted(office)
        serial = SerialNumber.from_random(os.urandom(20))
        certificate = certify_machine(key.chain[0], key.signer, note.certificate, serial, now - timedelta(hours=1))
        encoded = base64.b64encode(certificate).decode("ascii")
        office.decide(now, decisions.MACHINE, subject=name, key=note.key, name=name, certificate=encoded)
        note_trusted(office.registry, note.key, certificate, now)
        office.seal(key)
    office.remember()
    return True


def remove_machine(office: Office, name: str) -> None:
    """Let a machine count no more; nothing that it signs from now on is believed here. Needs no key.

    Raises:
        NotFoundError: none is called so.
        PolicyError: it is the first one, which brokers and stations pin.
        BusyError: another machine holds the registry, or the disk refuses.
    """
    with office.transaction() as now:
        note = _called(office, name)
        if note.key == key_id(office.chain[-1]):
            raise PolicyError(
                f"{name!r} is the office's first machine, which brokers and stations pin",
                hint="where its key was stolen, make a new office: see 'iotonboard help office'",
            )
        office.decide(now, decisions.NO_MACHINE, subject=name, key=note.key, name=name)
        note_removed(office.registry, note.key, now)
    office.remember()


def _called(office: Office, name: str) -> MachineNote:
    found = [one for one in machines(office.registry) if one.name == name and one.removed_at is None]
    if not found:
        raise NotFoundError(f"no machine {name[:80]!r} joined this office", hint=_SHOWN)
    return found[0]
