"""What an office decided, folded from its trail: the only thing that trust, orders and denials are believed from.

A decision is a row of the trail whose detail has ``decision``, one of the words here. What gives trust or access counts
once a machine's key has sealed it; a revocation that was ordered counts at once.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from iotonboard.errors import StateError
from iotonboard.exchange.journal import TrailPoint
from iotonboard.store.audit import GENESIS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iotonboard.store.registry.trail import TrailRow

DECISION = "decision"
TRUST, DISTRUST, PREFIX = "station-trusted", "station-removed", "station-prefix"
TAKEN = "journal-taken"
REVOKE, CLOSE = "revocation-ordered", "revocation-closed"
ORDER, WITHDRAW = "production-signed", "production-withdrawn"
PACKED = "packed"
MACHINE, NO_MACHINE = "machine-trusted", "machine-removed"
BEGINNING = TrailPoint(0, GENESIS)
_AT_ONCE = frozenset({REVOKE, DISTRUST, WITHDRAW, NO_MACHINE})


def counts_unsealed(row: TrailRow) -> bool:
    """Say whether a row needs no seal: it decides nothing, or takes rights away.

    Whoever gives trust seals it in the same transaction, so another row without a seal was planted.
    """
    return row.said.get(DECISION) in {None, *_AT_ONCE}


@dataclass(frozen=True, slots=True)
class TrustedStation:
    """A station whose CA (DER) a person compared and trusted. ``taken``: digests of its journals, in their order.

    ``cas``: the CAs (DER) whose journals are believed now: that one, or those that came after it. ``recovery``: the key
    (SubjectPublicKeyInfo) that may name the next one, should its own be lost. ``until``: row and hash of its trail up
    to which its journals are taken, the newest of which it wrote at ``created`` (epoch).
    """

    id: int
    name: str
    certificate: bytes
    prefix: str = ""
    is_removed: bool = False
    taken: tuple[str, ...] = ()
    cas: tuple[bytes, ...] = ()
    recovery: bytes = b""
    until: TrailPoint = BEGINNING
    created: int = 0


@dataclass(frozen=True, slots=True)
class RevocationOrder:
    """A certificate that its station is to revoke. ``serial`` in hex; ``closed_by``: number of the list that has it."""

    id: int
    station: int
    serial: str
    device_id: str
    reason: str
    time: int
    closed_by: int = 0


@dataclass(frozen=True, slots=True)
class ProductionOrder:
    """How many devices of a profile (empty: any) a station may make before the moment ``until`` (epoch)."""

    id: int
    station: int
    devices: int
    profile: str
    until: int
    time: int
    is_withdrawn: bool = False


@dataclass(slots=True)
class Decisions:
    """Everything that stands. ``machines``: certificates (DER) of the office's machines by their keys.

    ``removed_machines``: the keys of those that count no more. ``counter``: of the newest package. ``unsealed``: how
    many rows no key has sealed yet.
    """

    stations: dict[int, TrustedStation] = field(default_factory=dict)
    revocations: dict[int, RevocationOrder] = field(default_factory=dict)
    production: dict[int, ProductionOrder] = field(default_factory=dict)
    machines: dict[str, bytes] = field(default_factory=dict)
    counter: int = 0
    removed_machines: frozenset[str] = frozenset()
    unsealed: int = 0

    def station_called(self, name: str) -> TrustedStation | None:
        """The trusted station with a name."""
        return next((one for one in self.stations.values() if one.name == name and not one.is_removed), None)

    @property
    def open_revocations(self) -> list[RevocationOrder]:
        """Those of which no list has come back."""
        return [one for one in self.revocations.values() if not one.closed_by]


def fold(rows: Iterable[TrailRow], before: Decisions, *, is_sealed: bool) -> Decisions:
    """What stands behind verified rows, all sealed or all not, where ``before`` stood before them.

    Raises:
        StateError: a sealed row says what no version of the program writes.
    """
    decisions = replace(
        before,
        stations=dict(before.stations),
        revocations=dict(before.revocations),
        production=dict(before.production),
        machines=dict(before.machines),
    )
    for row in rows:
        said = row.said
        decisions.unsealed += not is_sealed
        if said.get(DECISION) is None or not (is_sealed or said[DECISION] in _AT_ONCE):
            continue
        try:
            _take(decisions, row, said)
        except (KeyError, TypeError, ValueError) as error:
            if is_sealed:
                raise StateError(
                    f"row {row.seq} of the office's trail says what cannot be", hint="update the program here"
                ) from error
    return decisions


def _take(decisions: Decisions, row: TrailRow, said: dict[str, Any]) -> None:
    what = said[DECISION]
    if what in {TRUST, DISTRUST, PREFIX, TAKEN}:
        _take_station(decisions, row, said)
    elif what == REVOKE:
        order = RevocationOrder(
            int(said["order"]), int(said["station"]), row.serial, row.subject, str(said["reason"]), row.time
        )
        decisions.revocations[order.id] = order
    elif what == CLOSE:
        number = int(said["order"])
        closed = replace(decisions.revocations[number], closed_by=int(said["crl_number"]))
        decisions.revocations[number] = closed
    elif what == ORDER:
        made = ProductionOrder(
            int(said["order"]), int(said["station"]), int(said["devices"]), str(said["profile"]), int(said["until"]),
            row.time,
        )  # fmt: skip
        decisions.production[made.id] = made
    elif what == WITHDRAW:
        number = int(said["order"])
        decisions.production[number] = replace(decisions.production[number], is_withdrawn=True)
    elif what == PACKED:
        decisions.counter = max(decisions.counter, int(said["counter"]))
    elif what == MACHINE:
        decisions.removed_machines -= {str(said["key"])}
        decisions.machines[str(said["key"])] = base64.b64decode(said["certificate"], validate=True)
    elif what == NO_MACHINE:
        decisions.machines.pop(str(said["key"]), None)
        decisions.removed_machines |= {str(said["key"])}


def _take_station(decisions: Decisions, row: TrailRow, said: dict[str, Any]) -> None:
    number = int(said["station"])
    if said[DECISION] == TRUST:
        certificate = base64.b64decode(said["certificate"], validate=True)
        decisions.stations[number] = TrustedStation(number, row.subject, certificate, cas=(certificate,))
        return
    station = decisions.stations[number]
    change: dict[str, Any] = {"is_removed": True}
    if said[DECISION] == PREFIX:
        change = {"prefix": str(said["prefix"])}
    elif said[DECISION] == TAKEN:
        seq, digest = said["until"]
        change = {
            "taken": (*station.taken, str(said["digest"])),
            "until": TrailPoint(int(seq), bytes.fromhex(digest)),
            "created": int(said["created"]),
        }
        if "cas" in said:
            change["cas"] = tuple(base64.b64decode(one, validate=True) for one in said["cas"])
        if "recovery" in said:
            change["recovery"] = bytes.fromhex(said["recovery"])
    decisions.stations[number] = replace(station, **change)
