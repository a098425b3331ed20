"""``revoke``: take identities back.

1. Record: one transaction that needs the database and what was named, nothing else, and is read back.
2. Unlock the CA, and sign CRLs of all that is recorded.
3. Publish them with the ACL, then everything else. Where no CRL could be signed, the ACL takes the access away alone.
4. Reload the broker, where that was asked for.

What fails behind the record ends nothing: it is told, and the next command that can does it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from iotonboard.ca.carry_out import publish_signed, sign_waiting
from iotonboard.state.revocations import Revoked, WhoseIs, record_revocations
from iotonboard.store.issuers import crl_number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iotonboard.ca.authority import Unlock
    from iotonboard.errors import Unpublished
    from iotonboard.model import Refused, RevocationReason, Target
    from iotonboard.state.reload import Reload
    from iotonboard.state.state import State


def revoke(
    state: State,
    targets: Iterable[Target | Refused],
    reason: RevocationReason,
    unlock: Unlock,
    *,
    strict: bool,
    whose_is: WhoseIs,
    reload: Reload | None,
) -> tuple[list[Revoked | Refused], list[Unpublished]]:
    """Revoke devices and certificates; returns what became of each, in their order, and what is not published.

    Raises:
        IotOnboardError: with ``strict``, of the first target that is refused; nothing was recorded.
        KeyUnavailableError: the CA key is missing or the passphrase does not open it, and no revocation waits for it.
        BusyError: the state is locked or its disk refuses; nothing was recorded.
    """
    results = record_revocations(state, targets, reason, strict=strict, whose_is=whose_is)
    if not any(isinstance(one, Revoked) for one in results):
        return results, publish_signed(state, ())
    rows, unsigned = sign_waiting(state, unlock)
    unpublished = unsigned + publish_signed(state, rows, reload=reload)
    if rows:
        results = [
            replace(one, crl_number=crl_number(state.store, rows, one.serials)) if isinstance(one, Revoked) else one
            for one in results
        ]
    return results, unpublished
