"""What a broker's machine has in the end: of each issuer the newest list of what the package and the machine have.

Freshness comes from content. A list of a CA is newer by its number, and may lack a serial of the older one only where
the package says why. The region of the ACL has a number of its own. So one stale part holds no fresh one back, and
what others put there, a CA or its list, stays and is told.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.broker.merge_acl import AclHere, choose_acl
from iotonboard.broker.package import ACL, CA, CRL, FILES
from iotonboard.errors import ConflictError, PolicyError
from iotonboard.pki import pem
from iotonboard.pki.crl import CrlFacts, check_crl, entries_of_any_writer, foreign_crl_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from iotonboard.broker.package import Package

FETCH = "take this machine's crl.pem to the workstation, type 'iotonboard restore --crl FILE' there, and pack again"


@dataclass
class Merged:
    """The files that are to be in place, and what is to be told of them.

    ``older`` are parts of the package that are older than what is here, ``kept`` what others put here, ``dropped`` what
    is not kept. ``forked`` is what says that another copy of the state wrote what is here. ``highest`` are the numbers
    that were seen, by name, and ``denied`` the devices that a region of another copy denied. ``is_behind``: a list of
    the package is older than one that an earlier package brought. ``takes_lists``: those of the package's own CAs are
    all in place.
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


@dataclass(frozen=True, slots=True)
class _List:
    der: bytes
    facts: CrlFacts

    @property
    def serials(self) -> set[str]:
        return {serial.hex for serial, _, _ in entries_of_any_writer(self.der)}


def merge(
    package: Package,
    there: Mapping[str, bytes],
    highest: Mapping[str, int],
    *,
    is_newest: bool,
    kept: Callable[[], Iterable[bytes]] = tuple,
    denied: tuple[str, ...] = (),
) -> Merged:
    """Merge a package with the files that are there.

    ``highest`` are numbers seen before; ``is_newest`` says that no newer package was applied. ``kept`` are the ACLs of
    packages before, the newest first, and ``denied`` is ``Merged.denied`` of then.

    Raises:
        ConflictError: a list would lose a revocation, or has another one's number.
        PolicyError: it holds a list that is older than one seen before, and nothing newer is here.
    """
    merged = Merged(highest=dict(highest), denied=denied)
    cas = pem.pem_blocks("CERTIFICATE", package.files[CA])
    gone = [der for der in pem.pem_blocks("CERTIFICATE", there.get(CA, b"")) if _name(der) in package.manifest.gone]
    merged.files[CRL] = _merge_crls(package, there.get(CRL, b""), cas, gone, merged)
    merged.files[CA] = _merge_cas(package, there.get(CA, b""), cas, gone, merged)
    for label, name in (("X509 CRL", CRL), ("CERTIFICATE", CA)):
        if not is_newest and _has_the_same(label, merged.files[name], there.get(name, b"")):
            merged.files[name] = there[name]
    # Lists and ACL are of one moment: the ACL of a package whose list is behind may give rights back, whatever it says.
    acl = choose_acl(package, AclHere(there.get(ACL), kept, denied), merged, is_newest=is_newest)
    if acl is not None:
        merged.files[ACL] = acl
    return merged


def _has_the_same(label: str, one: bytes, other: bytes) -> bool:
    """Say whether two PEM files hold the same, in whatever order."""
    return set(pem.pem_blocks(label, one)) == set(pem.pem_blocks(label, other))


def take_as_it_is(package: Package, there: Mapping[str, bytes]) -> Merged:
    """What an older package puts in place when that is asked for by name: all of its own, and what others put there."""
    merged = Merged(dict(there) | {name: package.files[name] for name in FILES if name in package.files})
    cas = pem.pem_blocks("CERTIFICATE", package.files[CA])
    foreign = _sort(pem.pem_blocks("X509 CRL", there.get(CRL, b"")), cas)[1]
    merged.files[CRL] += b"".join(pem.pem_encode("X509 CRL", der) for der in foreign)
    merged.files[CA] = _merge_cas(package, there.get(CA, b""), cas, [], merged)
    return merged


def _name(certificate_der: bytes) -> str:
    return sha256(certificate_der).hexdigest()


# -- lists ------------------------------------------------------------------------------------------------------------


def _merge_crls(package: Package, there: bytes, cas: Sequence[bytes], gone: Sequence[bytes], merged: Merged) -> bytes:
    coming, _ = _sort(pem.pem_blocks("X509 CRL", package.files[CRL]), cas)
    blocks = pem.pem_blocks("X509 CRL", there)
    if len(blocks) < there.count(b"-----BEGIN "):
        merged.dropped.append("a part of crl.pem here could not be read")
    present, others = _sort(blocks, cas)
    _, foreign = _sort(others, gone)
    if len(foreign) < len(others):
        merged.dropped.append("the CRL of a CA that goes")
    chosen: list[_List] = []
    for ca in cas:
        name = _name(ca)
        lists = coming.get(name, []), present.get(name, [])
        is_own = name in own_cas(package)
        own = _choose_lists(package, name, *lists, merged) if is_own else _choose_foreign(name, *lists, merged)
        is_taken = {one.der for one in coming.get(name, [])} <= {one.der for one in own}
        merged.takes_lists = merged.takes_lists and (is_taken or not is_own)
        merged.highest[f"crl {name}"] = max([merged.highest.get(f"crl {name}", 0), *(one.facts.number for one in own)])
        chosen += own
    merged.kept += ["the CRL of another CA"] * len(foreign)
    return b"".join(pem.pem_encode("X509 CRL", der) for der in (*(one.der for one in chosen), *foreign))


def _sort(ders: Iterable[bytes], cas: Sequence[bytes]) -> tuple[dict[str, list[_List]], list[bytes]]:
    """The lists of each of ``cas``, by the name of its certificate, and those of others."""
    own: dict[str, list[_List]] = {}
    others: list[bytes] = []
    for der in dict.fromkeys(ders):
        signed = ((ca, facts) for ca in cas if (facts := _facts_of(der, ca)))
        signer, facts = next(signed, (b"", None))
        if facts is not None:
            own.setdefault(_name(signer), []).append(_List(der, facts))
        else:
            others.append(der)
    return own, others


def _facts_of(der: bytes, ca: bytes) -> CrlFacts | None:
    """What a list says that a CA signed, with this program or another; ``None`` when it did not."""
    for read in (check_crl, foreign_crl_facts):
        with contextlib.suppress(PolicyError):
            return read(der, ca)
    return None


def _choose_lists(
    package: Package, name: str, coming: list[_List], present: list[_List], merged: Merged
) -> list[_List]:
    """The newer ones of one CA's lists; several are a calendar, and stay together."""
    if not coming or {one.der for one in coming} == {one.der for one in present}:
        return coming or present
    number, here = (max((one.facts.number for one in lists), default=0) for lists in (coming, present))
    if not present and number < merged.highest.get(f"crl {name}", 0):
        raise PolicyError(
            f"CRL {number} of this package is older than CRL {merged.highest[f'crl {name}']}, which was here before: it"
            " would un-revoke what was revoked since",
            hint="apply the newest package; --accept-older when you know why this one must go in",
        )
    _refuse_same_number(coming, present)
    if number < here:
        more = set().union(*(one.serials for one in coming)) - set().union(*(one.serials for one in present))
        what = f", and revokes {len(more)} certificates that it does not: two copies of the state are at work"
        merged.older.append(f"CRL {number} is older than CRL {here} here{what if more else ''}")
        merged.is_behind = merged.is_behind or here <= merged.highest.get(f"crl {name}", 0)
        return present
    _refuse_loss(package, name, coming, present, merged)
    return coming


def own_cas(package: Package) -> frozenset[str]:
    """The CAs whose package it is, SHA-256: what comes of the lists of others in it stops nothing."""
    if package.manifest.format > 1:
        return frozenset(one.certificate for one in package.manifest.issuers)
    return frozenset(map(_name, pem.pem_blocks("CERTIFICATE", package.files[CA])))


def _choose_foreign(name: str, coming: list[_List], present: list[_List], merged: Merged) -> list[_List]:
    """As ``_choose_lists``, of a CA of others, which refuses nothing: newer are number and thisUpdate both.

    Why a serial left its list nobody knows here.
    """
    if not coming or {one.der for one in coming} == {one.der for one in present}:
        return coming or present
    number = max(one.facts.number for one in coming)
    if not present and number < merged.highest.get(f"crl {name}", 0):
        merged.older.append(f"CRL {number} of the CA {name[:16]} of others is older than one that was here: left out")
        return []
    here = max((one.facts.number for one in present), default=0)
    begins, begins_here = ([one.facts.this_update for one in lists] for lists in (coming, present))
    if present and (number < here or max(begins) <= max(begins_here)):
        merged.older.append(f"CRL {number} of the CA {name[:16]} of others is not newer than CRL {here} here")
        return present
    return coming


def _refuse_same_number(coming: list[_List], present: list[_List]) -> None:
    numbers = {one.facts.number: one.der for one in present}
    for one in coming:
        if numbers.get(one.facts.number, one.der) != one.der:
            raise ConflictError(
                f"CRL {one.facts.number} of this package is another one than CRL {one.facts.number} here: two copies of"
                " the state are at work",
                hint=f"nothing was touched; {FETCH}",
            )


def _refuse_loss(package: Package, name: str, coming: list[_List], present: list[_List], merged: Merged) -> None:
    if not present:
        return
    stays = set.intersection(*(one.serials for one in coming))
    left = next((dict(one.left) for one in package.manifest.issuers if one.certificate == name), {})
    lost = sorted(set().union(*(one.serials for one in present)) - stays - left.keys())
    number, here = (max(one.facts.number for one in lists) for lists in (coming, present))
    if lost and package.manifest.format == 1:
        merged.dropped.append(f"{len(lost)} serials that CRL {here} here has: a package of form 1 does not say why")
    elif lost:
        raise ConflictError(
            f"CRL {number} of this package lacks {len(lost)} serials that CRL {here} here has ({lost[0]}), and does not"
            " say why: an older copy of the state made it",
            hint=f"nothing was touched; {FETCH}",
        )


# -- CA file ---------------------------------------------------------------------------------------------------------


def _merge_cas(package: Package, there: bytes, cas: Sequence[bytes], gone: Sequence[bytes], merged: Merged) -> bytes:
    """The package's CAs, and those that others put there; what goes, the package says."""
    blocks = pem.pem_blocks("CERTIFICATE", there)
    if len(blocks) < there.count(b"-----BEGIN "):
        merged.dropped.append("a part of ca.crt here could not be read")
    known = {*cas, *gone}
    foreign = [der for der in dict.fromkeys(blocks) if der not in known]
    merged.kept += [f"the CA {_name(der)[:16]} that is of no package" for der in foreign]
    merged.dropped += [f"the CA {_name(der)[:16]}, which goes" for der in dict.fromkeys(gone)]
    return package.files[CA] + b"".join(pem.pem_encode("CERTIFICATE", der) for der in foreign)
