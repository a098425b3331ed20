"""How a package stands to those of offices and stations that were applied at the same broker.

An office speaks for its stations, and what it brings takes the place of what they brought. As long as it is pinned,
packages of these stations bring newer lists, and take rights away; the region of the ACL is the office's. Once a
broker's machine pins a station and no office any more, the station's own region comes back. Who speaks for none of the
others' stations stands beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.broker.ca_relations import key_of, vouched
from iotonboard.broker.merge_acl import change_of
from iotonboard.broker.package import ACL, CA
from iotonboard.errors import ConflictError, PolicyError
from iotonboard.pki.pem import pem_blocks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iotonboard.broker.applied import Applied, OfficeSeen
    from iotonboard.broker.package import Package


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a package stands. ``ruling`` is the key of the pinned office that speaks for its station; empty: none does.

    ``giving_way`` are the offices, by their keys, whose regions it takes the place of. ``beside`` are the keys whose
    regions stay beside its own. ``rows`` are the newest rows of trails that the package knows, by the keys of CAs.
    """

    ruling: str = ""
    giving_way: Mapping[str, OfficeSeen] | None = None
    beside: frozenset[str] = frozenset()
    rows: Mapping[str, int] | None = None

    @property
    def replaced(self) -> frozenset[str]:
        """The keys of the offices whose region is looked at as that of the package."""
        return frozenset(self.giving_way or ()) | ({self.ruling} if self.ruling else frozenset())

    @property
    def is_behind(self) -> bool:
        """Say whether an office knew more of the package's station than the package does."""
        rows = self.rows or {}
        known = [one.part.rows for one in (self.giving_way or {}).values()]
        return any(one.get(key, 0) > row for one in known for key, row in rows.items())

    def denied_before(self) -> set[str]:
        """Whom the offices that give way denied, as far as the package does not know better."""
        rows, found = self.rows or {}, set[str]()
        for office in (self.giving_way or {}).values():
            known = frozenset(key for key, row in office.part.rows.items() if rows.get(key, -1) >= row)
            found |= office.part.denied_by_others(known)
            found |= {name for key, one in office.pending.items() if rows.get(key, -1) < one.row for name in one.names}
        return found


ALONE = Standing()


def stand(package: Package, applied: Applied | None, anchors: Sequence[bytes], there: Mapping[str, bytes]) -> Standing:
    """Find out where a package stands beside what was ``applied``; ``anchors`` (DER) are pinned.

    Raises:
        PolicyError: a CA poses as an office, or the office that is pinned took the station out.
        ConflictError: two offices that are pinned speak for one station.
    """
    pinned = {key_of(der) for der in anchors}
    known = applied.offices if applied else {}
    cas = [der for files in (package.files, there) for der in pem_blocks("CERTIFICATE", files.get(CA, b""))]
    own = package.own_keys | set(package.manifest.gone)
    others = {key: one for key, one in known.items() if key != package.manifest.key}
    speaking = {key: one for key, one in others.items() if own.intersection(one.part.rows)}
    if package.manifest.office is None:
        _refuse_removed(package, anchors, {key: one for key, one in others.items() if key in pinned})
        ruling = next((key for key in speaking if key in pinned), "")
        change = change_of(package.files.get(ACL, b""))
        rows = dict.fromkeys(package.own_keys, change.row if change else 0)
        return Standing(ruling, {} if ruling else speaking, frozenset(others) - frozenset(speaking), rows)
    before = known.get(package.manifest.key)
    if before is not None and not package.seal.holds(anchors, before.gone):
        raise PolicyError(
            "the office removed the machine that signed this package: nothing of it is taken",
            hint="nothing was touched; ask at the office",
        )
    if package.manifest.key in map(key_of, cas):
        raise PolicyError("a CA is no office: nothing of this package is taken", hint="pin the office's certificate")
    if twice := [key for key in speaking if key in pinned]:
        raise ConflictError(
            f"the office {twice[0]}, which is pinned here too, speaks for a station of this package",
            hint="name the certificate of one office with --ca; nothing was touched",
        )
    beside = {key for key in others if key in pinned}
    if applied is not None:
        believed = {key_of(der) for der in vouched(anchors, cas)}
        beside |= ({applied.key, *applied.stations} & believed) - own
    giving_way = {key: one for key, one in others.items() if key not in pinned}
    return Standing("", giving_way, frozenset(beside), package.manifest.office.rows)


def _refuse_removed(package: Package, anchors: Sequence[bytes], offices: Mapping[str, OfficeSeen]) -> None:
    removed = {key for office in offices.values() for key in office.gone}
    if removed and not package.seal.holds(anchors, removed):
        raise PolicyError(
            "the office that is trusted here removed this station: nothing of its package is taken",
            hint="nothing was touched; ask at the office",
        )
