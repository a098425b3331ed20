"""The ACL over the devices of all stations, and whom it denies."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import filterfalse
from typing import TYPE_CHECKING, NamedTuple

from iotonboard.broker import region, render
from iotonboard.broker.topics import parse_topic_rule
from iotonboard.errors import PolicyError
from iotonboard.model import Access, SerialNumber, TopicRule
from iotonboard.store.registry import given_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from iotonboard.broker.acl import Acl, Version
    from iotonboard.broker.region import Change, OperatorText
    from iotonboard.broker.render import Style
    from iotonboard.office.decisions import Decisions
    from iotonboard.office.fleet import Fleet, Station
    from iotonboard.store.registry.given_out import SameName


@dataclass(frozen=True, slots=True)
class Denied:
    """Whom the ACL denies. ``ordered``: whom the office itself denies; ``by_station``: whom stations deny.

    ``elsewhere``: of each station the ids that are in force at another one. ``conflicts`` are the ids that live at
    several, by what they have in common.
    """

    ordered: frozenset[str]
    by_station: Mapping[int, tuple[str, ...]]
    elsewhere: Mapping[int, frozenset[str]]
    conflicts: Mapping[str, Sequence[SameName]]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, in order."""
        return tuple(sorted({*self.ordered, *(name for denied in self.by_station.values() for name in denied)}))


def read_denied(fleet: Fleet, decisions: Decisions, now: datetime) -> Denied:
    """Find out whom the ACL denies: what stations and the office revoked, and who lives twice."""
    ids = [one.id for one in fleet.stations]
    same = given_out.same_names(fleet.registry, ids, now)
    conflicts = {name: rows for name, rows in same.items() if len(_homes(rows)) > 1}
    ordered = {row.device_id for rows in conflicts.values() for row in rows}
    # By the name that the order has, and by that of the certificate.
    for one in (each for each in decisions.open_revocations if each.station not in fleet.apart):
        serial = SerialNumber.from_hex(one.serial).octets
        ordered |= {one.device_id, *given_out.ids_with(fleet.registry, one.station, serial)} - {""}
    elsewhere: dict[int, set[str]] = {one: set() for one in ids}
    for rows in same.values():
        homes = _homes(rows)
        for row in rows if len(homes) == 1 else ():
            if row.station not in homes:
                elsewhere[row.station].add(row.device_id)
    by_station = {one.id: tuple(_denied_of(fleet, one, elsewhere[one.id], now)) for one in fleet.stations}
    return Denied(
        frozenset(ordered), by_station, {one: frozenset(names) for one, names in elsewhere.items()}, conflicts
    )


def _homes(rows: Iterable[SameName]) -> set[int]:
    return {row.station for row in rows if row.lives}


def _denied_of(fleet: Fleet, station: Station, elsewhere: set[str], now: datetime) -> Iterator[str]:
    begun = [one.this_update for one in station.lists if one.this_update <= now]
    listed_since = min(now, max(begun, default=now))
    names = given_out.denied_ids(fleet.registry, station.id, now, listed_since)
    return filterfalse(elsewhere.__contains__, names)


class _Line(NamedTuple):
    """How a station's devices stand in the ACL."""

    station: Station
    templates: tuple[TopicRule, ...]


class FleetAcl:
    """The region over all stations, to be taken once. ``style``: that of all where they agree, else per device.

    ``problems``: stations whose topics cannot be read, with why; their devices get nothing.

    Raises:
        PolicyError: the pattern style is asked for, and stations have other topics than each other.
    """

    def __init__(self, fleet: Fleet, denied: Denied, now: datetime, style: Style | None = None) -> None:
        self._fleet, self._denied, self._now = fleet, denied, now
        self.problems: list[tuple[str, PolicyError]] = []
        self._lines = list(self._read_lines())
        templates = {line.templates for line in self._lines}
        is_common = len(templates) == 1 and len(self._lines) == len(fleet.stations)
        if style == "pattern" and not is_common:
            raise PolicyError(
                "stations have other topics than each other, and a pattern is for everybody", hint="leave --style out"
            )
        agreed = is_common and all(line.station.head.acl["style"] == "pattern" for line in self._lines)
        self.style: Style = style or ("pattern" if agreed else "per-device")

    def _read_lines(self) -> Iterator[_Line]:
        for one in self._fleet.stations:
            try:
                templates = tuple(parse_topic_rule(text, template=True) for text in one.head.acl["topics"])
            except PolicyError as error:
                self.problems.append((one.name, error))
            else:
                yield _Line(one, templates)

    def render(self, operator: OperatorText, change: Change, version: Version) -> Iterator[bytes]:
        """The whole file around it, each piece behind the strict check.

        Raises:
            PolicyError: lines of the operator's, or a rule of a station's device, would break the broker.
        """
        own_rules = region.operator_acl(operator, version=version)
        pieces = self._pattern(own_rules) if self.style == "pattern" else self._per_device(own_rules)
        return render.frame_region(operator, pieces, change, version=version)

    def _per_device(self, own_rules: Acl) -> Iterator[bytes]:
        denied = self._denied
        out = {*denied.names}
        for line in self._lines:
            left_out = out | denied.elsewhere[line.station.id]
            permitted = given_out.permitted_ids(self._fleet.registry, line.station.id, self._now)
            names = filterfalse(left_out.__contains__, permitted) if left_out else permitted
            extra = self._extra(line.station, left_out)
            yield from render.checked(render.render_region_per_device(names, line.templates, extra=extra))
        # Whom the office denies is denied by name: a station's own region beside this one may let such a device in.
        silent = sorted({*denied.ordered, *region.devices_to_deny(own_rules, denied.names)})
        yield from render.checked(
            render.render_region_per_device((), (), denied=silent, deny_roots=self._roots(own_rules))
        )

    def _pattern(self, own_rules: Acl) -> Iterator[bytes]:
        denied = self._denied
        silent = {*denied.names, *self._leaving()}
        extra: dict[str, list[TopicRule]] = {}
        for line in self._lines:
            extra |= self._extra(line.station, {*silent, *denied.elsewhere[line.station.id]})
        templates = self._lines[0].templates if self._lines else ()
        yield from render.checked(
            render.render_region_pattern(templates, sorted(silent), extra, deny_roots=self._roots(own_rules))
        )

    def _leaving(self) -> set[str]:
        """Devices of stations that are gone, which a pattern would let in; but for those that another one has."""
        registry, now = self._fleet.registry, self._now
        gone = {name for one in self._fleet.leaving for name in given_out.living_ids(registry, one.id, now)}
        if gone:
            gone -= {name for one in self._fleet.stations for name in given_out.living_ids(registry, one.id, now)}
        return gone

    def _extra(self, station: Station, left_out: Iterable[str]) -> dict[str, list[TopicRule]]:
        found = given_out.topics(self._fleet.registry, station.id)
        gone = set(left_out) if found else set()
        return {
            name: [TopicRule(Access(access), topic) for access, topic in rules]
            for name, rules in found.items()
            if name not in gone
        }

    def _roots(self, own_rules: Acl) -> tuple[str, ...]:
        """First levels of ``$`` topics that anybody is let into."""
        own = {rule.topic.partition("/")[0] for line in self._lines for rule in line.templates}
        roots = {*region.dollar_roots(own_rules), *(root for root in own if root.startswith("$"))}
        return tuple(sorted(roots - {"$SYS"}))
