"""``revoke``: take identities back.

1. Record: one transaction that needs the database and what was named, nothing else.
2. Unlock the CA, and sign CRLs of all that is recorded.
3. Publish them with the ACL, then everything else. Where no CRL could be signed, the ACL takes the access away alone.
4. Reload the broker, where that was asked for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from iotonboard.ca.crl import check_published, sign_recorded
from iotonboard.errors import IotOnboardError
from iotonboard.state.publication import EVERYTHING, publish, refuse_unpublished
from iotonboard.state.revocations import Revoked, record_revocations
from iotonboard.store.issuers import crl_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from iotonboard.ca.authority import Unlock
    from iotonboard.model import Refused, RevocationReason, Target
    from iotonboard.state.reload import Reload
    from iotonboard.state.state import State
    from iotonboard.store.crls import CrlRow


def revoke(
    state: State,
    targets: Iterable[Target],
    reason: RevocationReason,
    unlock: Unlock,
    *,
    strict: bool,
    reload: Reload | None,
) -> Iterator[Revoked | Refused]:
    """Revoke devices and certificates; yields what became of each, in their order, once it is published.

    What is recorded stays, whatever comes behind it: it is told before the error that ended the command, and the next
    CRL lists it.

    Raises:
        IotOnboardError: with ``strict``, of the first target that is refused; nothing was recorded.
        KeyUnavailableError: no CRL was signed: the CA key is missing or the passphrase does not open it.
        PolicyError: the broker's files would break it.
        ConflictError: no CRL was signed, for it would lose a revocation.
        BusyError: the state is locked or the disk refuses.
    """
    recorded = record_revocations(state, targets, reason, strict=strict)
    rows: list[CrlRow] = []
    unsigned: IotOnboardError | KeyboardInterrupt | None = None
    if any(isinstance(one, Revoked) for one in recorded):
        try:
            rows = sign_recorded(state, unlock())
        except (IotOnboardError, KeyboardInterrupt) as error:  # Ctrl-C at the prompt for the passphrase
            unsigned = error
    unpublished = publish(state, *EVERYTHING)
    for one in recorded:
        if rows and isinstance(one, Revoked):
            yield replace(one, crl_number=crl_number(state.store, rows, one.serials))
        else:
            yield one
    if unsigned is not None:
        raise unsigned
    refuse_unpublished(unpublished)
    if rows:
        check_published(state, rows)
        if reload is not None:
            reload()
