"""``revoke --defer``: record revocations without a key, and take the access away in the ACL; ``gen-crl`` does the rest.

Apart from ``revoke``, so that a call that signs nothing loads nothing to sign with.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from iotonboard.model import Refused
from iotonboard.state.added_targets import divide, name_of_added
from iotonboard.state.publication import publish_recorded
from iotonboard.state.revocations import Revoked, WhoseIs, record_revocations
from iotonboard.store import audit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.errors import Unpublished
    from iotonboard.model import RevocationReason, Target
    from iotonboard.state.opened_cas import Opened


def revoke_deferred(
    cas: Opened, targets: Sequence[Target | Refused], reason: RevocationReason, *, strict: bool, whose_is: WhoseIs
) -> tuple[list[Revoked | Refused], list[Unpublished], dict[str, str]]:
    """Record revocations, then publish.

    Returns what became of each target, in the order of their CAs, what is not published, and the head of each CA's
    trail by its name, which is empty for that of brokers: no key seals it, so who writes it down finds out when
    somebody takes the record away.

    Raises:
        IotOnboardError: with ``strict``, of the first target that is refused; nothing was recorded.
        BusyError: the state is locked or its disk refuses; nothing was recorded.
    """
    results, heads = list[Revoked | Refused](), dict[str, str]()
    divided = divide(cas, targets)
    parts, unpublished = divided.parts, divided.unasked
    for part in parts:
        done = record_revocations(part.state, part.targets, reason, strict=strict, whose_is=whose_is, is_deferred=True)
        name = name_of_added(part.state)
        results += (replace(one, ca=name) if isinstance(one, Revoked) else one for one in done)
        heads[name] = audit.printable_head(audit.head(part.state.store))
    for part in parts:
        unpublished += publish_recorded(part.state)
    return results, unpublished, heads
