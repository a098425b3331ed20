"""``revoke --defer``: record revocations without a key, and take the access away in the ACL; ``gen-crl`` does the rest.

Apart from ``revoke``, so that a call that signs nothing loads nothing to sign with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.state.publication import publish_recorded
from iotonboard.state.revocations import Revoked, WhoseIs, record_revocations
from iotonboard.store import audit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iotonboard.errors import Unpublished
    from iotonboard.model import Refused, RevocationReason, Target
    from iotonboard.state.state import State


def revoke_deferred(
    state: State, targets: Iterable[Target | Refused], reason: RevocationReason, *, strict: bool, whose_is: WhoseIs
) -> tuple[list[Revoked | Refused], list[Unpublished], str]:
    """Record revocations, then publish.

    Returns what became of each target, in their order, what is not published, and the head of the trail: no key seals
    it, so who writes it down finds out when somebody takes the record away.

    Raises:
        IotOnboardError: with ``strict``, of the first target that is refused; nothing was recorded.
        BusyError: the state is locked or its disk refuses; nothing was recorded.
    """
    results = record_revocations(state, targets, reason, strict=strict, whose_is=whose_is, is_deferred=True)
    head = audit.printable_head(audit.head(state.store))
    return results, publish_recorded(state), head
