"""What will expire, and metrics of it for a Prometheus node exporter. Pure text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

REMEDIES = {
    "device": "iotonboard renew --expiring-within DAYS",
    "broker": "iotonboard broker issue {name}",
    "ca": "iotonboard ca rollover begin",
    "crl": "iotonboard gen-crl",
}


@dataclass(frozen=True, slots=True)
class Expiring:
    """One thing that expires. ``kind``: ``device``, ``broker``, ``ca`` or ``crl``; ``key``: its serial or number.

    ``holder`` stays the same when the thing is made anew: the device, the host, or the start of the CA's fingerprint.
    ``place`` says where it is made anew, when that is not here, and ``otherwise`` what to type when it is not what its
    kind takes. ``station``: whose it is, among several.
    """

    kind: str
    name: str
    key: str
    not_after: datetime
    holder: str
    place: str = ""
    otherwise: str = ""
    station: str = ""

    @property
    def remedy(self) -> str:
        """What to type, and where."""
        typed = self.otherwise or REMEDIES[self.kind].format(name=self.name)
        return (f"{self.place}: " if self.place else "") + typed


def render_prometheus(due: Iterable[Expiring], standing: Iterable[Expiring]) -> str:
    """Metrics: how many are due by kind, and when CA, CRL and brokers expire, due or not."""
    counts = dict.fromkeys(("device", "broker", "ca", "crl"), 0)
    for item in due:
        counts[item.kind] += 1
    lines = [
        "# HELP iotonboard_expiring How many expire within the configured days, by kind.",
        "# TYPE iotonboard_expiring gauge",
        *(f'iotonboard_expiring{{kind="{kind}"}} {number}' for kind, number in counts.items()),
        "# HELP iotonboard_not_after_seconds When the CA, the CRL of a CA or a broker expires, in seconds since 1970.",
        "# TYPE iotonboard_not_after_seconds gauge",
        *(f"iotonboard_not_after_seconds{_labels(item)} {int(item.not_after.timestamp())}" for item in standing),
    ]
    return "\n".join(lines) + "\n"


def _labels(item: Expiring) -> str:
    name = item.holder.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{{kind="{item.kind}",name="{name}"}}'
