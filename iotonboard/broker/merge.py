"""What a broker's machine has in the end: of each issuer the newest list of what the package and the machine have.

Freshness comes from content. A list of a CA is newer by its number, and may lack a serial of the older one only where
the package says why. The region of the ACL has a number of its own. So one stale part holds no fresh one back, and
what others put there, a CA or its list, stays and is told. Stations below one root each have their CA, list and region
there, and a package says nothing of those of others: but for the root's list, which takes a station out. An office's
package speaks for its stations (``standing``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.broker.acl_stations import AclStations
from iotonboard.broker.ca_relations import certifies_cas, key_of, revoked_above, vouched
from iotonboard.broker.foreign_mark import without_marks
from iotonboard.broker.merge_acl import AclHere, choose_acl
from iotonboard.broker.merge_cas import NOBODY, Cas, Withdrawn, merge_cas
from iotonboard.broker.merge_lists import merge_lists, sort_lists
from iotonboard.broker.merge_office import pending_of_office, pending_of_station
from iotonboard.broker.package import ACL, CA, CRL, FILES
from iotonboard.broker.rules_there import rules_lost
from iotonboard.broker.standing import ALONE, Standing
from iotonboard.pki import pem
from iotonboard.pki.key_id import KEY_DIGITS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from iotonboard.broker.applied import Applied, OfficeSeen, Pending
    from iotonboard.broker.package import Package


@dataclass
class Merged:
    """The files that are to be in place, and what is to be told of them.

    ``older`` are parts of the package that are older than what is here, ``kept`` what others put here, ``dropped`` what
    is not kept. ``forked`` is what says that another copy of the state wrote what is here. ``highest`` are the numbers
    that were seen, by name, and ``denied`` the devices that a region of another copy denied. ``is_behind``: a list of
    the package is older than one that an earlier package brought. ``takes_lists``: those of the package's own CAs are
    all in place. ``siblings`` are the keys of other stations below the same root, and ``withdrawn`` those of CAs that
    count no more; one of these was here where it ``shuts_out``. ``acl_before`` and ``acl_after`` are the ACL of the
    package's own station, without those of others. ``pending`` is whom stations denied that their office lets in.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    older: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    forked: list[str] = field(default_factory=list)
    highest: dict[str, int] = field(default_factory=dict)
    denied: tuple[str, ...] = ()
    is_behind: bool = False
    takes_lists: bool = True
    siblings: frozenset[str] = frozenset()
    withdrawn: frozenset[str] = frozenset()
    shuts_out: bool = False
    acl_before: bytes | None = None
    acl_after: bytes = b""
    pending: Mapping[str, Pending] = field(default_factory=dict)
    standing: Standing = ALONE


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the packages before: ``highest`` and ``denied`` as in ``Merged``, by an earlier call.

    ``is_newest`` says that no newer package of the station was applied; the CAs with ``replaced`` keys gave way to
    others, and those with ``withdrawn`` keys count no more. ``stations`` are the keys of others whose packages were
    applied here. ``kept`` are the ACLs of packages before, the newest first. ``office`` is what the office said before
    that speaks for the package's station, or whose package it is; ``seen`` is whom stations' own packages denied.
    """

    highest: Mapping[str, int]
    is_newest: bool
    kept: Callable[[], Iterable[bytes]] = tuple
    denied: tuple[str, ...] = ()
    replaced: Collection[str] = ()
    withdrawn: Withdrawn = NOBODY
    stations: Collection[str] = ()
    standing: Standing = ALONE
    office: OfficeSeen | None = None
    seen: Mapping[str, Pending] = field(default_factory=dict)


def find_withdrawn(
    package: Package, there: Mapping[str, bytes], anchors: Sequence[bytes], applied: Applied | None
) -> Withdrawn:
    """The CAs below the pinned ``anchors`` that a list of the package or of the machine revokes, and what they brought.

    Those that went earlier are among them.
    """
    cas = dict.fromkeys(der for files in (package.files, there) for der in _blocks("CERTIFICATE", files, CA))
    lists = (der for files in (package.files, there) for der in _blocks("X509 CRL", files, CRL))
    gone, keys = revoked_above(vouched(anchors, cas), lists)
    keys |= set(applied.withdrawn) if applied else set()
    keys |= _taken_back(package, anchors)
    brought = applied.brought_by(keys) if applied else set()
    given = _blocks("CERTIFICATE", package.files, CA)
    gone += [der for der in cas if sha256(der).hexdigest() in brought and der not in given]
    return Withdrawn(tuple(gone), frozenset(keys))


def _taken_back(package: Package, anchors: Sequence[bytes]) -> set[str]:
    """The keys that the package of a pinned root says it took back: a broker may have another certificate of one."""
    if package.manifest.office is not None:  # which may trust a station again
        return set()
    is_of_root = package.manifest.key in {key_of(der) for der in anchors if certifies_cas(der)}
    return {one for one in package.manifest.gone if len(one) == KEY_DIGITS} if is_of_root else set()


def _blocks(label: str, files: Mapping[str, bytes], name: str) -> list[bytes]:
    return pem.pem_blocks(label, files.get(name, b""))


def merge(package: Package, there: Mapping[str, bytes], known: Known) -> Merged:
    """Merge a package with the files that are there.

    Raises:
        ConflictError: a list would lose a revocation, or has another one's number.
        PolicyError: it holds a list that is older than one seen before, and nothing newer is here.
    """
    merged = Merged(highest=dict(known.highest), denied=known.denied, withdrawn=known.withdrawn.keys)
    merged.standing = known.standing
    cas = _merge_cas(package, there, known, merged)
    merged.files[CRL] = merge_lists(package, there.get(CRL, b""), cas, merged)
    for label, name in (("X509 CRL", CRL), ("CERTIFICATE", CA)):
        here = there.get(name, b"")
        is_tidy = bool(cas.siblings) and _is_tidy(label, here)  # whose package came last is no reason to write
        if (is_tidy or not known.is_newest) and _has_the_same(label, merged.files[name], here):
            merged.files[name] = here
    # Lists and ACL are of one moment: the ACL of a package whose list is behind may give rights back, whatever it says.
    stations = _acl_stations(package, there, known, cas)
    merged.acl_before = stations.own
    if stations.has_rules_left:
        merged.kept.append("the rules around the region of a CA that goes: look through them")
    if package.manifest.office is not None:
        merged.pending = pending_of_office(package, stations, known.kept, known.office, known.seen)
    elif known.office is not None:
        merged.pending = pending_of_station(package, known.office)
    denied = tuple({*known.denied, *known.standing.denied_before()}) if known.is_newest else known.denied
    acl_here = AclHere(stations.own, lambda: stations.of_each(known.kept()), denied, known.standing)
    if (acl := choose_acl(package, acl_here, merged, is_newest=known.is_newest)) is not None:
        merged.acl_after = acl
        merged.dropped += rules_lost(stations.giving_way, acl)
    whole = stations.with_own(known.standing.ruling or package.manifest.key, acl)
    if whole is not None:
        merged.files[ACL] = whole
    return merged


def _acl_stations(package: Package, there: Mapping[str, bytes], known: Known, cas: Cas) -> AclStations:
    standing = known.standing
    gone = set(package.manifest.gone) if package.manifest.office is not None else set()
    return AclStations(
        there.get(ACL),
        package.own_keys | standing.replaced,
        cas.siblings | standing.beside,
        known.withdrawn.keys | gone,
    )


def _has_the_same(label: str, one: bytes, other: bytes) -> bool:
    """Say whether two PEM files hold the same, in whatever order."""
    return set(pem.pem_blocks(label, one)) == set(pem.pem_blocks(label, other))


def _is_tidy(label: str, text: bytes) -> bool:
    """Say whether a PEM file is as this program writes it."""
    blocks = b"".join(pem.pem_encode(label, der) for der in pem.pem_blocks(label, text))
    return without_marks(text) == blocks


def take_as_it_is(package: Package, there: Mapping[str, bytes], known: Known) -> Merged:
    """What an older package puts in place when that is asked for by name: all of its own, and what others put there.

    But no CA comes back that the one above it revoked.
    """
    merged = Merged(dict(there) | {name: package.files[name] for name in FILES if name in package.files})
    merged.withdrawn, merged.standing = known.withdrawn.keys, known.standing
    cas = _merge_cas(package, there, known, merged, as_it_is=True)
    own = {*package.own_keys, *package.own_cas}
    merged.highest = {name: number for name, number in known.highest.items() if name.split()[-1] not in own}
    coming = sort_lists(_blocks("X509 CRL", package.files, CRL), cas.gone)[1]
    foreign = sort_lists(_blocks("X509 CRL", there, CRL), [*_blocks("CERTIFICATE", package.files, CA), *cas.gone])[1]
    merged.files[CRL] = b"".join(pem.pem_encode("X509 CRL", der) for der in (*coming, *foreign))
    stations = _acl_stations(package, there, known, cas)
    merged.acl_before, merged.acl_after = stations.own, package.files.get(ACL, stations.own or b"")
    if (whole := stations.with_own(package.manifest.key, package.files.get(ACL, stations.own))) is not None:
        merged.files[ACL] = whole
    return merged


def _merge_cas(
    package: Package, there: Mapping[str, bytes], known: Known, merged: Merged, *, as_it_is: bool = False
) -> Cas:
    coming, here, withdrawn = package.files[CA], there.get(CA, b""), known.withdrawn
    if len(_blocks("CERTIFICATE", there, CA)) < here.count(b"-----BEGIN "):
        merged.dropped.append("a part of ca.crt here could not be read")
    cas = merge_cas(
        coming,
        here,
        () if as_it_is else package.manifest.gone,
        package.own_keys,
        withdrawn,
        replaced=None if known.is_newest or as_it_is else known.replaced,
        as_it_is=as_it_is,
        stations=known.stations,
    )
    merged.files[CA], merged.siblings = cas.pem, cas.siblings
    merged.shuts_out = any(withdrawn.has(der) for der in _blocks("CERTIFICATE", there, CA))
    merged.kept += cas.kept
    merged.dropped += cas.dropped
    return cas
