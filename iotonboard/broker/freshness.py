"""Whether a package is the newest of its station, and what is remembered of it on a broker's machine.

Each station below one root counts its own packages, so each has a record of its own. Of one state the CA that issues
counts, and whoever takes its place: then packages of the one before count no more.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.broker.applied import Applied, OfficeSeen, Station
from iotonboard.broker.ca_relations import key_of, sibling_keys
from iotonboard.broker.destination import digests
from iotonboard.broker.merge import Known
from iotonboard.broker.merge_office import denied_by
from iotonboard.broker.package import CA, FILES
from iotonboard.broker.standing import ALONE
from iotonboard.pki.pem import pem_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from iotonboard.broker.applied import Pending
    from iotonboard.broker.merge import Merged
    from iotonboard.broker.merge_cas import Withdrawn
    from iotonboard.broker.package import Package
    from iotonboard.broker.standing import Standing


def is_newest(package: Package, applied: Applied | None, standing: Standing = ALONE) -> bool:
    """Say whether no newer package was applied, by its counter: of the same CA, or of one that takes its place.

    Where an office speaks for its station, or knew more of it, none of the station's own is.
    """
    if applied is None:
        return True
    if standing.ruling or (package.manifest.office is None and standing.is_behind):
        return False
    key = package.manifest.key
    applied = applied.of(key)
    if package.digest == applied.digest:
        return True
    if key in applied.replaced:
        return False
    if key and applied.key and key != applied.key:
        return True
    return package.manifest.counter >= applied.counter  # the same one twice: two copies of a state packed at once


def known_before(
    package: Package,
    applied: Applied | None,
    kept: Callable[[], Iterable[bytes]],
    withdrawn: Withdrawn,
    standing: Standing = ALONE,
) -> Known:
    """What is known before a package is merged: of its station, and beside of the others."""
    if applied is None:
        return Known({}, is_newest=True, kept=kept, withdrawn=withdrawn)
    return Known(
        applied.highest,
        is_newest=is_newest(package, applied, standing),
        kept=kept,
        denied=applied.of(package.manifest.key).denied,
        replaced=applied.replaced,
        withdrawn=withdrawn,
        stations=applied.others_than(package.own_keys),
        standing=standing,
        office=applied.offices.get(standing.ruling or package.manifest.key),
        seen=applied.seen,
    )


def record_of(package: Package, applied: Applied | None, merged: Merged, there: Mapping[str, bytes]) -> Applied:
    """What is remembered: of an older package only which files are in place now. ``there`` are those of before."""
    manifest, standing = package.manifest, merged.standing
    files = {name: digest for name, digest in (applied.files if applied else {}).items() if name not in FILES}
    withdrawn = tuple(sorted({*merged.withdrawn, *(applied.withdrawn if applied else ())}))
    files |= digests(merged.files)
    if applied is not None and not is_newest(package, applied, standing):
        older = replace(applied, files=files, highest=merged.highest, withdrawn=withdrawn)
        return _record_of_older(package, older, merged)
    stations = _other_stations(package, applied, merged)
    before = {*(applied.replaced if applied else ()), *([applied.key] if applied and applied.key else ())}
    key = manifest.key or (applied.key if applied else "")
    leaving = _leaving(package, there)
    new = (leaving if manifest.office else package.own_keys | leaving) if manifest.key else set()  # form 1 names none
    replaced = (new | before) - {key, *stations} - (package.own_keys if manifest.office else set())
    return Applied(
        manifest.counter,
        package.digest,
        files,
        key,
        tuple(sorted(replaced)),
        merged.highest,
        merged.denied,
        stations,
        withdrawn,
        _others_in(package),
        _offices(package, applied, merged),
        _seen(package, applied),
    )


def _record_of_older(package: Package, older: Applied, merged: Merged) -> Applied:
    key, ruling = package.manifest.key, merged.standing.ruling
    office = older.offices.get(ruling)
    if office is not None:  # the office's package stays the newest; of the station's own the newest is known for later
        known, counter = older.stations.get(key), package.manifest.counter
        mine = Station(counter, package.digest, known.denied if known else (), known.cas if known else ())
        stations = (
            {**older.stations, key: mine} if key and (known is None or counter >= known.counter) else older.stations
        )
        offices = {**older.offices, ruling: replace(office, pending=merged.pending)}
        return replace(older, stations=stations, offices=offices, seen=_seen(package, older))
    if key not in older.stations:
        return replace(older, denied=merged.denied)
    return replace(older, stations={**older.stations, key: replace(older.stations[key], denied=merged.denied)})


def _offices(package: Package, applied: Applied | None, merged: Merged) -> dict[str, OfficeSeen]:
    """What offices said: also one that is pinned no more, for what it denied stays denied."""
    known = dict(applied.offices if applied else {})
    office = package.manifest.office
    if office is not None:
        known[package.manifest.key] = OfficeSeen(office, package.manifest.gone, merged.pending)
    return known


def _others_in(package: Package) -> tuple[str, ...]:
    """The CAs of others (SHA-256) that a package brings: none of its own, and none above them."""
    ders = pem_blocks("CERTIFICATE", package.files[CA])
    above = sibling_keys(ders, package.own_keys)
    return tuple(sha256(der).hexdigest() for der in ders if key_of(der) not in package.own_keys | above)


def _seen(package: Package, applied: Applied | None) -> dict[str, Pending]:
    """Whom stations' own packages denied."""
    found = dict(applied.seen if applied else {})
    key, told = package.manifest.key, denied_by(package)
    if package.manifest.office is None and key and told.row >= found.get(key, told).row:
        found[key] = told
    return found


def _other_stations(package: Package, applied: Applied | None, merged: Merged) -> dict[str, Station]:
    """What was known of stations that stand beside this one, below the same root.

    Where an office has to do with it, of all: a broker goes back from an office's packages to those of a station.
    """
    if applied is None:
        return {}
    key = package.manifest.key
    known = {**applied.stations, applied.key: Station(applied.counter, applied.digest, applied.denied, applied.cas)}
    has_office = package.manifest.office is not None or bool(applied.offices)
    beside = (known.keys() if has_office else merged.siblings) - merged.withdrawn - {key, ""}
    return {one: station for one, station in known.items() if one in beside}


def _leaving(package: Package, there: Mapping[str, bytes]) -> set[str]:
    """The keys of the CAs here that the package says go."""
    gone = set(package.manifest.gone)
    ders = pem_blocks("CERTIFICATE", there.get(CA, b""))
    return {key for der in ders if (key := key_of(der)) and {key, sha256(der).hexdigest()} & gone}
