"""Of each CA's lists the newer ones, of what a package and a broker's machine have.

A list is newer by its number, and may lack a serial of the older one only where the package says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.broker.ca_relations import key_of, list_facts
from iotonboard.broker.package import CA, CRL
from iotonboard.errors import ConflictError, PolicyError
from iotonboard.pki import pem
from iotonboard.pki.crl import entries_of_any_writer
from iotonboard.pki.key_id import same_ca

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from iotonboard.broker.merge import Merged
    from iotonboard.broker.merge_cas import Cas
    from iotonboard.broker.package import Package
    from iotonboard.pki.crl import CrlFacts

FETCH = "take this machine's crl.pem to the workstation, type 'iotonboard restore --crl FILE' there, and pack again"


@dataclass(frozen=True, slots=True)
class SignedList:
    """A list (DER) of a CA that is known, with what it says."""

    der: bytes
    facts: CrlFacts

    @property
    def serials(self) -> set[str]:
        """The serials on it, upper-case hex."""
        return {serial.hex for serial, _, _ in entries_of_any_writer(self.der)}


def merge_lists(package: Package, there: bytes, cas: Cas, merged: Merged) -> bytes:
    """The list file that is to be in place, beside the ``cas``; ``merged`` is told of it.

    Raises:
        ConflictError: a list would lose a revocation, or has another one's number.
        PolicyError: it is older than one seen before, and nothing newer is here.
    """
    given = _given(package, cas)
    coming, _ = sort_lists(pem.pem_blocks("X509 CRL", package.files[CRL]), given)
    blocks = pem.pem_blocks("X509 CRL", there)
    if len(blocks) < there.count(b"-----BEGIN "):
        merged.dropped.append("a part of crl.pem here could not be read")
    present, others = sort_lists(blocks, given)
    _, foreign = sort_lists(others, cas.gone)
    if len(foreign) < len(others):
        merged.dropped.append("the CRL of a CA that goes")
    chosen: list[SignedList] = []
    for ca in given:
        chosen += _choose(package, ca, coming.get(_name(ca), []), present.get(_name(ca), []), merged)
    unknown = sort_lists(foreign, [der for der in cas.ders if key_of(der) in cas.siblings])[1]
    merged.kept += ["the CRL of another CA"] * len(unknown)
    return b"".join(pem.pem_encode("X509 CRL", der) for der in (*(one.der for one in chosen), *foreign))


def _given(package: Package, cas: Cas) -> list[bytes]:
    """The CAs of the package, with the certificates that they are to have."""
    own = pem.pem_blocks("CERTIFICATE", package.files[CA])
    found = [next((one for one in cas.ders if one == der or same_ca(one, der)), None) for der in own]
    return list(dict.fromkeys(one for one in found if one is not None))


def sort_lists(ders: Iterable[bytes], cas: Sequence[bytes]) -> tuple[dict[str, list[SignedList]], list[bytes]]:
    """The lists of each of ``cas``, by SHA-256 of its certificate, and those of others."""
    own: dict[str, list[SignedList]] = {}
    others: list[bytes] = []
    for der in dict.fromkeys(ders):
        signed = ((ca, facts) for ca in cas if (facts := list_facts(der, ca)))
        signer, facts = next(signed, (b"", None))
        if facts is not None:
            own.setdefault(_name(signer), []).append(SignedList(der, facts))
        else:
            others.append(der)
    return own, others


def _choose(
    package: Package, ca: bytes, coming: list[SignedList], present: list[SignedList], merged: Merged
) -> list[SignedList]:
    """The lists of one CA, and what is to be remembered of them."""
    name, key = _name(ca), key_of(ca)
    highest = max(merged.highest.get(f"crl {one}", 0) for one in (name, key))
    if key in package.own_keys:
        found = _choose_own(package, ca, coming, present, merged, highest)
        merged.takes_lists = merged.takes_lists and {one.der for one in coming} <= {one.der for one in found}
    else:
        told = len(merged.older)
        found = _choose_foreign(name, coming, present, merged, highest)
        if key in merged.siblings:  # stations have copies of their root's list, and none of them is always the newest
            del merged.older[told:]
    highest = max([highest, *(one.facts.number for one in found)])
    merged.highest |= {f"crl {name}": highest, f"crl {key}": highest}
    return found


def _choose_own(
    package: Package,
    ca: bytes,
    coming: list[SignedList],
    present: list[SignedList],
    merged: Merged,
    highest: int,
) -> list[SignedList]:
    """The newer ones of one CA's lists; several are a calendar, and stay together."""
    if not coming or {one.der for one in coming} == {one.der for one in present}:
        return coming or present
    number, here = (max((one.facts.number for one in lists), default=0) for lists in (coming, present))
    is_office = package.manifest.office is not None
    if not present and number < highest:
        raise PolicyError(
            f"CRL {number} of this package is older than CRL {highest}, which was here before: it would un-revoke what"
            " was revoked since",
            hint="apply the newest package; --accept-older when you know why this one must go in",
        )
    if not is_office:
        _refuse_same_number(coming, present)
    if number < here:
        more = set().union(*(one.serials for one in coming)) - set().union(*(one.serials for one in present))
        what = f", and revokes {len(more)} certificates that it does not: two copies of the state are at work"
        merged.older.append(f"CRL {number} is older than CRL {here} here{what if more else ''}")
        # An office is behind a station until its stick has come.
        merged.is_behind = merged.is_behind or (here <= highest and not is_office)
        return present
    try:
        _refuse_same_number(coming, present)
        _refuse_loss(package, ca, coming, present, merged)
    except ConflictError as error:
        if not is_office:
            raise
        merged.forked.append(error.message)  # one station's lists hold those of no other one back
        return present
    return coming


def _choose_foreign(
    name: str, coming: list[SignedList], present: list[SignedList], merged: Merged, highest: int
) -> list[SignedList]:
    """As ``_choose_own``, of a CA that others keep, which refuses nothing: newer are number and thisUpdate both.

    Why a serial left its list nobody knows here.
    """
    if not coming or {one.der for one in coming} == {one.der for one in present}:
        return coming or present
    number = max(one.facts.number for one in coming)
    if not present and number < highest:
        merged.older.append(f"CRL {number} of the CA {name[:16]} of others is older than one that was here: left out")
        return []
    here = max((one.facts.number for one in present), default=0)
    begins, begins_here = ([one.facts.this_update for one in lists] for lists in (coming, present))
    if present and (number < here or max(begins) <= max(begins_here)):
        merged.older.append(f"CRL {number} of the CA {name[:16]} of others is not newer than CRL {here} here")
        return present
    return coming


def _refuse_same_number(coming: list[SignedList], present: list[SignedList]) -> None:
    numbers = {one.facts.number: one.der for one in present}
    for one in coming:
        if numbers.get(one.facts.number, one.der) != one.der:
            raise ConflictError(
                f"CRL {one.facts.number} of this package is another one than CRL {one.facts.number} here: two copies of"
                " the state are at work",
                hint=f"nothing was touched; {FETCH}",
            )


def _refuse_loss(
    package: Package, ca: bytes, coming: list[SignedList], present: list[SignedList], merged: Merged
) -> None:
    if not present:
        return
    stays = set.intersection(*(one.serials for one in coming))
    lost = sorted(set().union(*(one.serials for one in present)) - stays - _left(package, ca))
    number, here = (max(one.facts.number for one in lists) for lists in (coming, present))
    if lost and package.manifest.format == 1:
        merged.dropped.append(f"{len(lost)} serials that CRL {here} here has: a package of form 1 does not say why")
    elif lost:
        raise ConflictError(
            f"CRL {number} of this package lacks {len(lost)} serials that CRL {here} here has ({lost[0]}), and does not"
            " say why: an older copy of the state made it",
            hint=f"nothing was touched; {FETCH}",
        )


def _left(package: Package, ca: bytes) -> set[str]:
    """The serials of which the package says why they left the lists of a CA, whatever its certificate is."""
    names = {_name(der) for der in pem.pem_blocks("CERTIFICATE", package.files[CA]) if same_ca(der, ca)}
    return {serial for one in package.manifest.issuers if one.certificate in names for serial in one.left}


def _name(certificate_der: bytes) -> str:
    return sha256(certificate_der).hexdigest()
