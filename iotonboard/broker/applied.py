"""What was applied on a broker's machine, as it is remembered there in JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from iotonboard.broker.office_part import OfficePart, parse_office_part

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any


@dataclass(frozen=True, slots=True)
class Station:
    """The newest package of one of several stations, as ``Applied`` has it of the last one."""

    counter: int
    digest: str
    denied: tuple[str, ...] = ()
    cas: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pending:
    """Whom a station's own ACL denied here, made behind a ``row`` of its trail that the office does not know yet."""

    row: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OfficeSeen:
    """What the newest package of an office said.

    ``gone`` are the CAs that it took out, and its own machines that count no more; ``pending`` is by the key of a
    station's CA.
    """

    part: OfficePart
    gone: tuple[str, ...] = ()
    pending: Mapping[str, Pending] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Applied:
    """The newest package that was applied. ``files`` are the SHA-256 of what was put in place then.

    ``key`` is the CA whose counter it is, empty for a package of form 1; ``replaced`` are CAs whose packages count no
    more since. ``highest`` are the numbers that were seen, by name: they begin anew with each CA. ``denied``
    are devices that a region of another copy of the state denied, and no package has since. ``stations`` is the same of
    the other stations of one root whose packages were applied here, by their keys, and ``withdrawn`` are the keys of
    those that the root took back: nothing that they sign is believed again. ``cas`` are the CAs of others (SHA-256)
    that came with it, and go with the station. ``offices`` are those whose packages were applied, by their keys,
    and ``seen`` is whom the newest packages of stations denied, behind which rows of their trails.
    """

    counter: int
    digest: str
    files: Mapping[str, str]
    key: str = ""
    replaced: tuple[str, ...] = ()
    highest: Mapping[str, int] = field(default_factory=dict)
    denied: tuple[str, ...] = ()
    stations: Mapping[str, Station] = field(default_factory=dict)
    withdrawn: tuple[str, ...] = ()
    cas: tuple[str, ...] = ()
    offices: Mapping[str, OfficeSeen] = field(default_factory=dict)
    seen: Mapping[str, Pending] = field(default_factory=dict)

    def of(self, key: str) -> Applied:
        """The record as it concerns the station with a key: counter, digest and denied devices are that one's."""
        if key == self.key or key not in self.stations:
            return self
        one = self.stations[key]
        return replace(self, key=key, counter=one.counter, digest=one.digest, denied=one.denied, cas=one.cas)

    def others_than(self, keys: Collection[str]) -> frozenset[str]:
        """The keys of the stations whose packages were applied, but for these."""
        return frozenset({*self.stations, self.key}) - {"", *keys}

    def brought_by(self, keys: Collection[str]) -> set[str]:
        """The CAs of others (SHA-256) that no other station brought than those with these keys."""
        known = {**{key: one.cas for key, one in self.stations.items()}, self.key: self.cas}
        kept = {ca for key, cas in known.items() if key not in keys for ca in cas}
        return {ca for cas in known.values() for ca in cas} - kept


def render_applied(applied: Applied) -> bytes:
    """The record of a package, in JSON."""
    values = {
        "counter": applied.counter,
        "digest": applied.digest,
        "files": dict(applied.files),
        "key": applied.key,
        "replaced": list(applied.replaced),
        "highest": dict(applied.highest),
        "denied": list(applied.denied),
        "stations": {key: asdict(one) for key, one in applied.stations.items()},
        "withdrawn": list(applied.withdrawn),
        "cas": list(applied.cas),
        "offices": {key: _office_values(one) for key, one in applied.offices.items()},
        "seen": _pending_values(applied.seen),
    }
    return json.dumps(values, indent=1).encode("ascii") + b"\n"


def parse_applied(content: bytes) -> Applied:
    """Read a record again; one of an earlier version lacks some of it.

    Raises:
        ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError: it is none.
    """
    values = json.loads(content)
    stations = {
        str(key): Station(int(one["counter"]), str(one["digest"]), _texts(one, "denied"), _texts(one, "cas"))
        for key, one in values.get("stations", {}).items()
    }
    return Applied(
        int(values["counter"]),
        str(values["digest"]),
        dict(values["files"]),
        str(values.get("key", "")),
        _texts(values, "replaced"),
        {str(name): int(number) for name, number in values.get("highest", {}).items()},
        _texts(values, "denied"),
        stations,
        _texts(values, "withdrawn"),
        _texts(values, "cas"),
        {str(key): _parse_office(one) for key, one in values.get("offices", {}).items()},
        _parse_pending(values.get("seen", {})),
    )


def _office_values(office: OfficeSeen) -> dict[str, object]:
    return {"part": office.part.values(), "gone": list(office.gone), "pending": _pending_values(office.pending)}


def _pending_values(pending: Mapping[str, Pending]) -> dict[str, object]:
    return {key: [one.row, list(one.names)] for key, one in pending.items()}


def _parse_pending(values: Mapping[str, Any]) -> dict[str, Pending]:
    return {str(key): Pending(int(row), tuple(map(str, names))) for key, (row, names) in values.items()}


def _parse_office(values: Mapping[str, Any]) -> OfficeSeen:
    return OfficeSeen(parse_office_part(values["part"]), _texts(values, "gone"), _parse_pending(values["pending"]))


def _texts(values: Mapping[str, list[str]], key: str) -> tuple[str, ...]:
    return tuple(map(str, values.get(key, ())))
