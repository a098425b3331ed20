"""Whom a broker's machine keeps denied because a station knew more than its office does yet.

A stick takes days from a station to its office. What a station took away at the broker itself meanwhile, the office's
package would give back; so it stays taken away until the office's package knows the row of the station's trail behind
which that was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.broker.acl_stations import acls_of
from iotonboard.broker.applied import Pending
from iotonboard.broker.denials import denied_there
from iotonboard.broker.merge_acl import change_of
from iotonboard.broker.package import ACL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from iotonboard.broker.acl_stations import AclStations
    from iotonboard.broker.applied import OfficeSeen
    from iotonboard.broker.package import Package


def pending_of_office(
    package: Package,
    stations: AclStations,
    kept: Callable[[], Iterable[bytes]],
    seen: OfficeSeen | None,
    told: Mapping[str, Pending],
) -> dict[str, Pending]:
    """Whom stations denied that the package of their office lets in; by the keys of their CAs.

    ``stations`` is the ACL that is there, ``kept`` are those of packages before, ``seen`` is what the office said
    before, and ``told`` whom the stations' own packages denied.
    """
    office, coming = package.manifest.office, package.files.get(ACL)
    rows = office.rows if office else {}
    gone = set(package.manifest.gone)
    left = {key: one for key, one in (seen.pending if seen else {}).items() if one.row > rows.get(key, 0)}
    found = {key: one for key, one in left.items() if key not in gone}
    for key, one in told.items():
        if key in rows and one.row > rows[key]:
            _add(found, key, one.row, one.names)
    for key, acl in stations.giving_way.items() if coming is not None else ():
        change = change_of(acl)
        if key in rows and change is not None and change.row > rows[key]:
            names = denied_there(acl, acls_of(key, kept()), coming or b"")
            _add(found, key, change.row, names)
    return found


def pending_of_station(package: Package, seen: OfficeSeen) -> dict[str, Pending]:
    """The same, with whom a station's package denies at a broker that is its office's."""
    found = dict(seen.pending)
    known = [(key, seen.part.rows[key]) for key in package.own_keys if key in seen.part.rows]
    told = denied_by(package)
    for key, of_office in known[:1]:
        if told.row > of_office:
            _add(found, key, told.row, told.names)
    return found


def denied_by(package: Package) -> Pending:
    """Whom a station's package denies, and behind which row of the station's trail."""
    change = change_of(package.files.get(ACL, b""))
    last = max((row for _, row, _ in package.manifest.acl_before), default=0)
    return Pending(change.row if change else last + 1, package.manifest.denied)


def _add(found: dict[str, Pending], key: str, row: int, names: Iterable[str]) -> None:
    before = found.get(key, Pending(0, ()))
    every = sorted({*before.names, *names})
    if every:
        found[key] = Pending(max(row, before.row), tuple(every))
