"""``restore --crl`` without a backup: go on with the state in place, where another copy of it was at work.

1. The CRL is looked at, then the CA is unlocked.
2. In one transaction: what the CRL and the places of publication revoke is taken up, numbers are passed, new CRLs are
   signed, and from here on this copy is the one that counts. Whom the other copy's ACL in place shuts out on no list is
   put on hold.
3. Everything is published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.ca.absorption import continue_alone, read_crls, strangers, take_up
from iotonboard.ca.authority import seal_audit
from iotonboard.ca.copies import absorb_published
from iotonboard.ca.crl import sign_crls
from iotonboard.ca.denied_elsewhere import Elsewhere, hold_denied
from iotonboard.state.publication import publish_recorded
from iotonboard.store.devices import count_devices
from iotonboard.store.kind import is_root

if TYPE_CHECKING:
    from iotonboard.ca.authority import Unlock
    from iotonboard.errors import Unpublished
    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Result:
    """The state that goes on. ``taken_up`` counts revocations that it did not know.

    ``elsewhere``: what the other copy's ACL says, and no list does. ``strangers``: see ``absorption.strangers``.
    ``of_root``: it is a root's.
    """

    state: str
    devices: int
    taken_up: int
    crl_number: int
    elsewhere: Elsewhere
    strangers: tuple[str, ...]
    unpublished: tuple[Unpublished, ...]
    of_root: bool


def restore_crl(state: State, crl: str | None, unlock: Unlock) -> Result:
    """Go on with this copy of the state; ``crl`` is the newest that any broker has.

    ``None``, which must be asked for by name: there is none, and the numbers jump.

    Raises:
        NotFoundError: there is no such CRL.
        PolicyError: it is of another CA, or the clock cannot be right.
        KeyUnavailableError: the CA key is missing, or the passphrase does not open it.
        ConflictError: a revocation would be lost.
        BusyError: the state is locked or the disk refuses.
    """
    crls = read_crls(crl) if crl is not None else None
    authority = unlock()
    with state.transaction(signing=True) as now:
        taken_up = absorb_published(state, now) + take_up(state, crls, now)
        elsewhere = hold_denied(state, now)
        state.record(now, "restore", detail={"taken_up": taken_up, "crl": crls is not None})
        row = sign_crls(state, authority, now)[0]
        continue_alone(state)
        seal_audit(state, authority)
    unpublished = publish_recorded(state)
    devices = count_devices(state.store)
    others = strangers(state, crls)
    counts, of_root = (devices, taken_up, row.number), is_root(state.store)
    return Result(state.paths.root, *counts, elsewhere, others, tuple(unpublished), of_root)
