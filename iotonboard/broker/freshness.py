"""Whether a package is the newest of its station, and what is remembered of it on a broker's machine.

Each station below one root counts its own packages, so each has a record of its own. Of one state the CA that issues
counts, and whoever takes its place: then packages of the one before count no more.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.broker.applied import Applied, Station
from iotonboard.broker.ca_relations import key_of, sibling_keys
from iotonboard.broker.destination import digests
from iotonboard.broker.merge import Known
from iotonboard.broker.package import CA, FILES
from iotonboard.pki.pem import pem_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from iotonboard.broker.merge import Merged
    from iotonboard.broker.merge_cas import Withdrawn
    from iotonboard.broker.package import Package


def is_newest(package: Package, applied: Applied | None) -> bool:
    """Say whether no newer package was applied, by its counter: of the same CA, or of one that takes its place."""
    if applied is None:
        return True
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
    package: Package, applied: Applied | None, kept: Callable[[], Iterable[bytes]], withdrawn: Withdrawn
) -> Known:
    """What is known before a package is merged: of its station, and beside of the others."""
    if applied is None:
        return Known({}, is_newest=True, kept=kept, withdrawn=withdrawn)
    return Known(
        applied.highest,
        is_newest=is_newest(package, applied),
        kept=kept,
        denied=applied.of(package.manifest.key).denied,
        replaced=applied.replaced,
        withdrawn=withdrawn,
        stations=applied.others_than(package.own_keys),
    )


def record_of(package: Package, applied: Applied | None, merged: Merged, there: Mapping[str, bytes]) -> Applied:
    """What is remembered: of an older package only which files are in place now. ``there`` are those of before."""
    manifest = package.manifest
    files = {name: digest for name, digest in (applied.files if applied else {}).items() if name not in FILES}
    withdrawn = tuple(sorted({*merged.withdrawn, *(applied.withdrawn if applied else ())}))
    files |= digests(merged.files)
    if applied is not None and not is_newest(package, applied):
        older = replace(applied, files=files, highest=merged.highest, withdrawn=withdrawn)
        if manifest.key not in applied.stations:
            return replace(older, denied=merged.denied)
        station = replace(applied.stations[manifest.key], denied=merged.denied)
        return replace(older, stations={**applied.stations, manifest.key: station})
    stations = _other_stations(manifest.key, applied, merged)
    before = {*(applied.replaced if applied else ()), *([applied.key] if applied and applied.key else ())}
    key = manifest.key or (applied.key if applied else "")
    new = package.own_keys | _leaving(package, there) if manifest.key else set()  # form 1 does not say who goes
    replaced = (new | before) - {key, *stations}
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
    )


def _others_in(package: Package) -> tuple[str, ...]:
    """The CAs of others (SHA-256) that a package brings: none of its own, and none above them."""
    ders = pem_blocks("CERTIFICATE", package.files[CA])
    above = sibling_keys(ders, package.own_keys)
    return tuple(sha256(der).hexdigest() for der in ders if key_of(der) not in package.own_keys | above)


def _other_stations(key: str, applied: Applied | None, merged: Merged) -> dict[str, Station]:
    """What was known of stations that stand beside this one, below the same root."""
    if applied is None:
        return {}
    known = {**applied.stations, applied.key: Station(applied.counter, applied.digest, applied.denied, applied.cas)}
    beside = merged.siblings - merged.withdrawn - {key, ""}
    return {one: station for one, station in known.items() if one in beside}


def _leaving(package: Package, there: Mapping[str, bytes]) -> set[str]:
    """The keys of the CAs here that the package says go."""
    gone = set(package.manifest.gone)
    ders = pem_blocks("CERTIFICATE", there.get(CA, b""))
    return {key for der in ders if (key := key_of(der)) and {key, sha256(der).hexdigest()} & gone}
