"""``revoke`` at an office: deny devices at once, and order their stations to put them on their lists.

1. Record the orders: one transaction, which needs the registry and what was named, and no key.
2. Deny them in the ACL: it is made anew, or they are silenced in it as it stands.

It is not done before the station's list has come back: until then it counts as not published.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.errors import BusyError, Unpublished
from iotonboard.model import Refused, Target
from iotonboard.office.denying import deny_ordered
from iotonboard.office.meant import serials_in
from iotonboard.office.revocations import Ordered, order_revocations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotonboard.model import RevocationReason
    from iotonboard.office.office import Office

FINISH = (
    "carry the order to the station: iotonboard order write --out DIR, there: iotonboard order take, gen-crl and"
    " journal; it is closed by 'iotonboard station take'"
)


def revoke(
    office: Office, targets: Sequence[Target | Refused], reason: RevocationReason, *, station: str, strict: bool
) -> tuple[list[Ordered | Refused], list[Unpublished]]:
    """Order revocations; returns what became of each target, and which stations have not done theirs yet.

    Raises:
        IotOnboardError: with ``strict``, of the first target that is refused; nothing was ordered.
        BusyError: the registry cannot be written; nothing was ordered.
    """
    results = order_revocations(office, targets, reason, station=station, strict=strict)
    open_at = dict.fromkeys(one.station for one in results if isinstance(one, Ordered) and one.is_open)
    refused = deny_ordered(office) if open_at else []
    return results, [*(Unpublished("crl", f"station {name}", _waits(name)) for name in open_at), *refused]


def _waits(station: str) -> BusyError:
    return BusyError(f"the CRL of the station {station!r} does not have it yet, and no journal says so", hint=FINISH)


def targets_in(paths: Sequence[str]) -> list[Target | Refused]:
    """The certificates of devices in files.

    Raises:
        NotFoundError: there is no such file.
        PolicyError: one holds none.
    """
    return [Target("", serial=serial.hex) for path in paths for serial in serials_in(path)]
