"""``revoke --defer``: record revocations without a key, and take the access away in the ACL; ``gen-crl`` does the rest.

Apart from ``revoke``, so that a call that signs nothing loads nothing to sign with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.state.publication import EVERYTHING, publish, refuse_unpublished
from iotonboard.state.revocations import Revoked, record_revocations

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from iotonboard.model import Refused, RevocationReason, Target
    from iotonboard.state.state import State


def revoke_deferred(
    state: State, targets: Iterable[Target], reason: RevocationReason, *, strict: bool
) -> Iterator[Revoked | Refused]:
    """Record revocations and publish the ACL; yields what became of each target, in their order.

    Raises:
        IotOnboardError: with ``strict``, of the first target that is refused; nothing was recorded.
        PolicyError: an operator's ACL line would break the broker; what was recorded stays.
        BusyError: the state is locked or the disk refuses.
    """
    recorded = record_revocations(state, targets, reason, strict=strict)
    unpublished = publish(state, *EVERYTHING)
    yield from recorded
    refuse_unpublished(unpublished)
