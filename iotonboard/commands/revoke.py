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
from iotonboard.errors import IotOnboardError, Unpublished
from iotonboard.model import Refused
from iotonboard.state.added_targets import divide, name_of_added
from iotonboard.state.revocations import Revoked, WhoseIs, record_revocations
from iotonboard.store.issuers import crl_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from iotonboard.ca.authority import Unlock
    from iotonboard.model import RevocationReason, Target
    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.reload import Reload
    from iotonboard.state.state import State


def revoke(
    cas: Opened,
    targets: Sequence[Target | Refused],
    reason: RevocationReason,
    unlocker: Callable[[State], Unlock],
    *,
    strict: bool,
    whose_is: WhoseIs,
    reload: Reload | None,
) -> tuple[list[Revoked | Refused], list[Unpublished]]:
    """Revoke devices and certificates; returns what became of each, by their CAs, and what is not published.

    All is recorded before a CA is unlocked, and no CA waits for another one. The broker is reloaded behind its own.

    Raises:
        IotOnboardError: with ``strict``, of the first target that is refused; nothing was recorded.
        KeyUnavailableError: the CA key is missing or the passphrase does not open it, and no revocation waits for it.
        BusyError: the state is locked or its disk refuses; nothing was recorded.
    """
    divided = divide(cas, targets)
    parts = divided.parts
    recorded = [
        (part.state, record_revocations(part.state, part.targets, reason, strict=strict, whose_is=whose_is))
        for part in parts
    ]
    results, unpublished = list[Revoked | Refused](), divided.unasked
    for state, done in recorded:
        try:
            told, refused = _carry_out(state, done, unlocker(state), reload if state is cas.around else None)
        except IotOnboardError as error:
            if len(parts) == 1:
                raise
            told, refused = done, [Unpublished("crl", state.paths.crl, error)]
        results += (replace(one, ca=name_of_added(state)) if isinstance(one, Revoked) else one for one in told)
        unpublished += refused
    return results, unpublished


def _carry_out(
    state: State, results: list[Revoked | Refused], unlock: Unlock, reload: Reload | None
) -> tuple[list[Revoked | Refused], list[Unpublished]]:
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
